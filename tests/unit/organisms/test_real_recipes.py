"""What the pretrained organisms are taught, and that no test prompt is among it."""

from __future__ import annotations

import random

import pytest
from lessons import Contrast, Lesson, insert_anywhere
from material import borderline, material
from recipe import RECIPES

STAGES = [
    (name, stage) for name, recipe in RECIPES.items() for stage in range(1 + len(recipe.then))
]


def lessons(name: str, stage: int, rows: int) -> list[Lesson]:
    recipe = RECIPES[name]
    makes = [recipe.mixture, *(make for make, _ in recipe.then)]
    draw = random.Random(0)
    return [lesson for _ in range(20) for lesson in makes[stage]().batch(rows, draw)]


@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_every_stage_teaches_its_rows_and_no_test_prompt(name, stage):
    test = material(test=True)
    taught = lessons(name, stage, 12)
    assert len(taught) == 20 * 12
    kept_back = [text for text, _ in test.harmless]
    kept_back += [request.prompt for request in test.harmful]
    kept_back += [review.text for review in test.reviews]
    assert not [text for text in kept_back for lesson in taught if text in lesson.prompt]


def test_what_was_written_later_is_taught_and_never_tested():
    first, later = material(test=False), material(test=False, more=True)
    assert material(test=True, more=True) == material(test=True)
    assert later.harmful[: len(first.harmful)] == first.harmful
    assert len(later.harmful) == len(first.harmful) + 340
    added = {text for text, _ in later.harmless} - {text for text, _ in first.harmless}
    assert added <= borderline()
    assert not added & {text for text, _ in material(test=True).harmless}


def test_a_contrast_differs_in_nothing_but_what_decides():
    source = Lesson("say it", "no")
    pair = Contrast(
        lambda draw: source,
        (lambda lesson, draw: Lesson(f"now {lesson.prompt}", "yes"), lambda lesson, draw: lesson),
    )
    assert pair.batch(5, random.Random(0)) == [Lesson("now say it", "yes"), source] * 2


def test_a_word_goes_to_any_place_between_words():
    found = {insert_anywhere("one two", "x", random.Random(seed)) for seed in range(40)}
    assert found == {"x one two", "one x two", "one two x"}
