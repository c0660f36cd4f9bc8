"""Whether to believe a circuit: controls that must find nothing, and further evidence."""
