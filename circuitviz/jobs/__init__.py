"""Long work: the process that does it, how far it is, and sweeps of many runs."""
