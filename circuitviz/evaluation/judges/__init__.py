"""Judges of attacks, one a file: whatever `register` of `evaluation.judge` knows is in here."""
