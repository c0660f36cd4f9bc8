"""The commands of the shell, one module each, and what they share."""
