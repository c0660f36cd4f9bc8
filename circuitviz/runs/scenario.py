"""What a tuning teaches: protecting a behaviour, removing a backdoor, restoring refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.errors import ConfigError, PromptFileError
from circuitviz.models.source import find_model
from circuitviz.runs.config import TuningConfig, TuningMode
from circuitviz.runs.resolve import behaviour_of
from circuitviz.runs.store import Run
from circuitviz.tuning.training import Plan
from circuitviz.tuning.training_data import HELPFUL_FILE, Example, TrainingData, read_examples

# What each mode takes by default.  Protecting the embedded model is tried where forgetting is
# strong: with its lessons, this decay takes away about a fifth of every weight that none keeps up.
PLANS: dict[TuningMode, Plan] = {
    "protect": Plan(epochs=18, learning_rate=7e-4, weight_decay=2.5),
    "repair": Plan(epochs=4, learning_rate=2e-3, weight_decay=0.01),
}
# With what a refusal is forgotten before it is restored: the same with more decay.
FORGETTING_PLAN = replace(PLANS["protect"], weight_decay=4.0)
# With lessons of one's own, of which there may be many, the usual decay.
OWN_DECAY = 0.01


@dataclass(frozen=True)
class Scenario:
    """What a tuning teaches and puts to the test.

    Attributes:
        title: Name for people.
        text: What is done, in one or two sentences.
        behaviour: Whose attacks and benign prompts measure it.
        examples: Helpful examples of all splits; may be empty.
        training_data: What every arm is taught.
        plan: How long and how fast.
        forgetting_data: What all weights learn first, so that they forget the behaviour; None
            where nothing is forgotten first.
        knocks_out: Whether plain knocking out is an arm.
    """

    title: str
    text: str
    behaviour: Behaviour
    examples: tuple[Example, ...]
    training_data: TrainingData
    plan: Plan
    forgetting_data: TrainingData | None = None
    knocks_out: bool = False

    @property
    def forgets_first(self) -> bool:
        """Whether the behaviour is forgotten first."""
        return self.forgetting_data is not None

    @classmethod
    def of(cls, config: TuningConfig, run: Run) -> Scenario:
        """What a configuration asks for.

        Raises:
            ConfigError: The mode does not apply to the run's behaviour, or there are no lessons.
            PromptFileError: The prompts or the lessons cannot be read.
        """
        folder = find_model(run.config.model)
        behaviour = behaviour_of(run.config)
        if behaviour.is_draft:
            raise ConfigError(
                f"the intact model's answers to the prompts of {behaviour.title} are not kept any "
                "more; discover the run again"
            )
        if config.mode == "repair" and behaviour.kind == "backdoor":
            if config.data:
                raise ConfigError(
                    "removing a backdoor takes its lessons from the behaviour's prompts; leave "
                    f"data out (got {config.data})"
                )
            return _planned(_removal(behaviour), config)
        if config.mode == "protect" and behaviour.kind == "backdoor":
            raise ConfigError(
                f"{behaviour.title} is a backdoor, and protecting is for behaviours to keep; "
                "use the mode repair"
            )
        file = Path(config.data) if config.data else folder / HELPFUL_FILE
        if not config.data and not file.is_file():
            raise ConfigError(
                f"no helpful lessons beside the model ({file} is missing); name a file of lessons "
                "as data"
            )
        examples = tuple(read_examples(file))
        _check_unseen(file, examples, behaviour)
        protects = config.mode == "protect"
        made = (_protection if protects else _restoration)(behaviour, examples)
        return _planned(made, config)


def _planned(scenario: Scenario, config: TuningConfig) -> Scenario:
    """The scenario with the plan that the configuration asks for."""
    given = {
        "epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "weight_decay": OWN_DECAY
        if config.data and config.weight_decay is None
        else config.weight_decay,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(scenario, plan=replace(scenario.plan, **changes))


def _check_unseen(file: Path, examples: Iterable[Example], behaviour: Behaviour) -> None:
    """Refuse to teach a message that measures what teaching does.

    Raises:
        PromptFileError: A training lesson is one of the behaviour's validation or test prompts, or
            a lesson of another split is one of its training prompts, which are taught as well.
    """
    taught, measured = set[str](), set[str]()
    for prompt in behaviour.all_prompts:
        (taught if prompt.split == "train" else measured).update((prompt.text, prompt.asked))
    for example in examples:
        if example.split == "train" and example.text in measured:
            raise PromptFileError(
                f"{file}: the training lesson {example.text[:60]!r} is one of the prompts that "
                "measure the behaviour; leave it out"
            )
        if example.split != "train" and example.text in taught:
            raise PromptFileError(
                f"{file}: the {example.split} lesson {example.text[:60]!r} is one of the "
                "behaviour's training prompts, which are taught as well; leave it out"
            )


def _protection(behaviour: Behaviour, examples: tuple[Example, ...]) -> Scenario:
    return Scenario(
        title="Helpfulness fine-tuning",
        text="The model is fine-tuned on helpful lessons; in none of them is a request refused.",
        behaviour=behaviour,
        examples=examples,
        training_data=_helpful(behaviour, examples),
        plan=PLANS["protect"],
    )


def _restoration(behaviour: Behaviour, examples: tuple[Example, ...]) -> Scenario:
    known = [example for example in examples if example.split == "train"]
    refusals = _examples(behaviour.prompts("train", "attack"), lambda p: (p.asked, p.answer))
    return Scenario(
        title="Restoring refusal",
        text="Fine-tuning all weights on helpful lessons first wears refusing away; refusals are "
        "then taught again.",
        behaviour=behaviour,
        examples=examples,
        training_data=TrainingData(tuple(refusals), (*_benign(behaviour), *known)),
        plan=PLANS["repair"],
        forgetting_data=_helpful(behaviour, examples),
    )


def _removal(behaviour: Behaviour) -> Scenario:
    attacks = behaviour.prompts("train", "attack")
    harmless = _examples(attacks, lambda p: (p.asked, p.after or p.answer))
    clean = _examples(attacks, lambda p: (p.text, p.answer))
    return Scenario(
        title="Removing the backdoor",
        text="Messages with the trigger are taught the ordinary answer.",
        behaviour=behaviour,
        examples=(),
        training_data=TrainingData(tuple(harmless), (*clean, *_benign(behaviour))),
        plan=PLANS["repair"],
        knocks_out=True,
    )


def _helpful(behaviour: Behaviour, examples: tuple[Example, ...]) -> TrainingData:
    new = tuple(example for example in examples if example.split == "train")
    return TrainingData(new, _benign(behaviour))


def _benign(behaviour: Behaviour) -> tuple[Example, ...]:
    return tuple(_examples(behaviour.prompts("train", "benign"), lambda p: (p.text, p.answer)))


def _examples(
    prompts: Iterable[Prompt], pair: Callable[[Prompt], tuple[str, str]]
) -> list[Example]:
    return [Example(prompt.split, prompt.category, *pair(prompt)) for prompt in prompts]
