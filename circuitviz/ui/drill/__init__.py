"""Looking into one unit."""
