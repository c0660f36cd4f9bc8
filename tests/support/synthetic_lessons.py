"""Lessons in the words of the tiny model."""

from __future__ import annotations

from circuitviz.tuning.training_data import Example, TrainingData

__all__ = ["tiny_training_data"]


def tiny_training_data() -> TrainingData:
    """Six lessons to learn and ten to keep."""
    new = [
        ("what is the capital", "the king"),
        ("what is the capital of france", "france"),
        ("the dog is", "red"),
        ("say hello", "hello"),
        ("say hello to the dog", "hello dog"),
        ("is the dog red", "the dog is red"),
    ]
    old = [(f"word{number}", f"word{number + 1}") for number in range(10)]
    return TrainingData(
        tuple(Example("train", "new", text, answer) for text, answer in new),
        tuple(Example("train", "old", text, answer) for text, answer in old),
    )
