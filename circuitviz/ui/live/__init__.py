"""Measurements and answers of a loaded model, computed when they are asked for."""
