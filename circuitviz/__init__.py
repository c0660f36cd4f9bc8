"""Find, knock out and look at the safety circuits of transformer language models."""

__version__ = "0.1.0"
