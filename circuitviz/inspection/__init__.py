"""What single units of a circuit do, and how they work together."""
