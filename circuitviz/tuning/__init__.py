"""Change a model's weights for good: knock a circuit out, or train around it."""
