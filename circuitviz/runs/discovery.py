"""The stages of one discovery, and what all of them need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from circuitviz.behaviours.behaviour import Behaviour, BehaviourKind, OwnJudge
from circuitviz.discovery.learner import LearnedScores, LearningStep, MaskLearner
from circuitviz.discovery.methods import METHODS, make_learner
from circuitviz.errors import ConfigError
from circuitviz.evaluation.answers import (
    OPEN_TOKENS,
    AnsweredPrompt,
    OpenAnswers,
    answer_openly,
    answer_test_prompts,
)
from circuitviz.evaluation.effect import Effect, Target
from circuitviz.evaluation.evaluator import AnswerCheck, Evaluator, RememberingEvaluator
from circuitviz.evaluation.intact_answers import complete_behaviour
from circuitviz.evaluation.judge import EXACT_ANSWER
from circuitviz.evaluation.measurement import Measurement, measure_circuit
from circuitviz.evaluation.ordering import PROMPTS, find_runners_up, order_greedily
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.refinement import (
    ORDER_PROMPTS,
    Refinement,
    refine_open,
    refine_selection,
    rerank,
)
from circuitviz.evaluation.results import Controls
from circuitviz.evaluation.selection import Selection, frontier_sizes, open_sizes, select_circuit
from circuitviz.evidence.case import Case
from circuitviz.evidence.controls import Evidence, gather_evidence, run_controls
from circuitviz.models.ablation import Ablation, measure_ablation
from circuitviz.models.model import GatedModel
from circuitviz.models.preflight import max_length
from circuitviz.models.source import find_source
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.preparation import check_own_answers, check_text, model_of
from circuitviz.runs.progress import OnStage, Progress, Stage, overall
from circuitviz.runs.resolve import answerer, draft_of
from circuitviz.runs.store import GENERATION_COLUMNS
from circuitviz.units import Circuit, Ranking

_TOP_UNITS = 8

# How often choosing a size and refining usually look at circuits.
USUAL_TRIES, USUAL_LOOKS = 16, 60

# Of which prompts `answer` is the intact model's own, besides benign ones, and how that is asked.
ATTACKS_ANSWERED: dict[BehaviourKind, tuple[str, AnswerCheck]] = {
    "backdoor": ("clean attack prompts", "clean"),
    "refusal": ("harmful prompts", "refusal"),
}


@dataclass(frozen=True)
class Discovery:
    """One discovery at work: a method for every stage, each telling how far it is."""

    config: DiscoveryConfig
    model: GatedModel
    behaviour: Behaviour
    learner: MaskLearner
    ablation: Ablation
    target: Target
    on_progress: OnStage
    validation: Evaluator

    @classmethod
    def prepared(
        cls,
        config: DiscoveryConfig,
        on_progress: OnStage,
        model: GatedModel | None = None,
        *,
        judges: tuple[OwnJudge, ...] = (),
    ) -> Discovery:
        """Load what a configuration names.

        Args:
            config: What to do.
            on_progress: Called with how far the discovery is.
            model: The model of the configuration, where it is loaded already.
            judges: The behaviour's own judges; none are those it brings.

        Raises:
            CircuitvizError: It cannot be loaded, or the model does not show the behaviour.
        """
        on_progress(Progress("load", 0.0, detail="loading the model"))
        draft = draft_of(config)
        learner = make_learner(
            config.method, steps=config.steps, budget=config.budget, l1_weight=config.l1_weight
        )
        model = model or model_of(config)
        check_text(model, draft, max_length(find_source(config.model, config.adapter).base))
        behaviour = complete_behaviour(
            model,
            draft,
            known_as=answerer(config),
            on_progress=lambda done, many: on_progress(
                Progress(
                    "load",
                    overall("load", done / many, controls=config.controls),
                    detail=f"asking the model for answers: {done} of {many}",
                )
            ),
        )
        behaviour = replace(behaviour, judges=judges or behaviour.judges)
        neutral = behaviour.neutral_messages
        ablation = measure_ablation(model, config.ablation, neutral, seed=config.seed)
        asr = behaviour.default_target_asr if config.target_asr is None else config.target_asr
        target = Target(behaviour.kind, asr, config.target_utility)
        probe = RememberingEvaluator(model, behaviour, "validation", ablation=ablation)
        began = overall("load", 1.0, controls=config.controls, is_open=probe.open_utility)
        on_progress(Progress("load", began, detail="looking whether the model shows the behaviour"))
        _check_shown(probe, target)
        if probe.open_recovery:
            target = replace(target, ceiling=probe.ceiling().rate)
        return cls(config, model, behaviour, learner, ablation, target, on_progress, probe)

    def learn(self) -> LearnedScores:
        """Score every unit, on training prompts.

        Raises:
            ConfigError: A score is not a number.
        """

        def follow(step: LearningStep) -> None:
            best = Ranking(self.model.space, step.scores, self.config.granularity).order[
                :_TOP_UNITS
            ]
            self._tell(
                "learn",
                step.step / step.steps,
                step=step.step,
                steps=step.steps,
                losses=step.losses,
                top_units=tuple(str(self.model.space.unit(int(index))) for index in best),
                scores=step.scores,
                space=self.model.space,
                edge=step.critical_size,
                detail="" if step.losses else "scoring every unit once",
            )

        learned = self.learner.learn(
            self.model,
            self.behaviour,
            ablation=self.ablation,
            seed=self.config.seed,
            granularity=self.config.granularity,
            on_progress=follow,
        )
        if not np.isfinite(learned.scores).all():
            raise ConfigError(
                "learning met numbers that are not finite, so its scores mean nothing; try "
                "another dtype, such as float32"
            )
        return learned

    def select(self, ranking: Ranking) -> Selection:
        """Choose the smallest circuit that meets the target on validation prompts."""
        probe = self.validation
        tried = 0

        def measure(circuits: Sequence[Circuit]) -> list[Effect]:
            nonlocal tried
            # How many it takes is not known before: ever closer to all.
            share = tried / (tried + USUAL_TRIES)
            tried += len(circuits)
            return probe.effects(
                circuits,
                lead=self.target.caution,
                on_progress=lambda _: self._tell("select", share),
            )

        sizes = open_sizes if probe.open_utility else frontier_sizes
        return select_circuit(measure, ranking, self.target, separate=self._separate, sizes=sizes)

    def refine(self, ranking: Ranking, selection: Selection) -> tuple[Ranking, Refinement]:
        """Drop what the chosen circuit can do without, and put the rest on top of the ranking.

        There its parts stand in greedy order, so that the first k of them do as much as they can,
        and after them those that end most of what the circuit leaves; the units of a large circuit
        keep their old order, and so does what comes after it.
        """
        looks = 0

        def on_progress(_: float) -> None:
            nonlocal looks
            self._tell("refine", looks / (looks + USUAL_LOOKS))
            looks += 1

        if self.is_open:
            refined = refine_open(
                self.validation, ranking, selection, self.target, on_progress=on_progress
            )
            return rerank(ranking, [refined.circuit], refined.dropped), refined
        refined = refine_selection(
            self.validation,
            self._probe(ORDER_PROMPTS),
            ranking,
            selection,
            self.target,
            on_progress=on_progress,
        )
        parts = order_greedily(
            self._probe(PROMPTS), ranking, refined.circuit, on_progress=on_progress
        )
        runners_up = find_runners_up(
            self.validation, ranking, refined.circuit, on_progress=on_progress
        )
        units = tuple(unit for part in runners_up for unit in part)
        return rerank(ranking, [*parts, *runners_up], refined.dropped), replace(
            refined, runners_up=units
        )

    def measure(
        self,
        ranking: Ranking,
        circuit: Circuit,
        runners_up: int = 0,
        succeeded: np.ndarray | None = None,
    ) -> Measurement:
        """Everything measured on test prompts, with so many units next in line as well.

        `succeeded` [2 attacks] is what whole answers of the intact and the knocked-out model have
        decided already.
        """
        return measure_circuit(
            self.model,
            self.behaviour,
            ranking,
            circuit,
            ablation=self.ablation,
            seed=self.config.seed,
            runners_up=runners_up,
            succeeded=succeeded,
            on_progress=lambda share: self._tell("test", share),
        )

    def answer(self, circuit: Circuit) -> pd.DataFrame:
        """Answers to all test prompts, columns `GENERATION_COLUMNS`."""
        self._tell("generate", 0.0)
        answered = answer_test_prompts(self.model, self.behaviour, circuit, ablation=self.ablation)
        return _answers_frame(answered)

    def answer_openly(self, circuit: Circuit) -> tuple[pd.DataFrame, OpenAnswers]:
        """Whole answers where these are open, columns `GENERATION_COLUMNS`, and their verdicts."""
        answers = answer_openly(
            self.model,
            self.behaviour,
            circuit,
            by_verdict=self.validation.by_verdict,
            ablation=self.ablation,
            max_new_tokens=self.config.max_new_tokens or OPEN_TOKENS,
            on_progress=lambda share: self._tell("generate", share),
        )
        return _answers_frame(answers.answered), answers

    @property
    def is_open(self) -> bool:
        """Whether most benign answers are longer than a sentence."""
        return self.validation.open_utility

    def believe(
        self,
        circuit: Circuit,
        before: Circuit,
        ranking: Ranking,
        measured: Measurement,
        generations: pd.DataFrame,
    ) -> tuple[Controls, Evidence | None]:
        """The controls, and of closed answers the further evidence.

        Args:
            circuit: The circuit that is reported.
            before: The circuit before units were dropped from it.
            ranking: The ranking that is reported.
            measured: What was measured of the circuit.
            generations: Answers to all test prompts.
        """
        case = Case(
            model=self.model,
            behaviour=self.behaviour,
            learner=self.learner,
            target=self.target,
            circuit=circuit,
            before=before,
            ablation=self.ablation,
            seed=self.config.seed,
            granularity=self.config.granularity,
            separate=self._separate,
            reads_answers=METHODS[self.config.method].reads_answers,
        )
        controls = run_controls(
            case,
            lambda: model_of(self.config),
            lambda share: self._tell("controls", share),
        )
        if self.is_open:
            return controls, None
        evidence = gather_evidence(
            case,
            ranking,
            generations,
            intact=measured.intact,
            knocked_out=measured.knocked_out,
            on_progress=lambda share: self._tell("evidence", share),
        )
        return controls, evidence

    @property
    def _separate(self) -> bool:
        return self.config.budget == "separate"

    def _probe(self, limit: int) -> Evaluator:
        return Evaluator(
            self.model, self.behaviour, "validation", limit=limit, ablation=self.ablation
        )

    def _tell(self, stage: Stage, done: float, **more: Any) -> None:
        fraction = overall(stage, done, controls=self.config.controls, is_open=self.is_open)
        steps = {"step": self.config.steps, "steps": self.config.steps}
        self.on_progress(Progress(stage, fraction, **{**steps, **more}))


def _answers_frame(answered: Iterable[AnsweredPrompt]) -> pd.DataFrame:
    return pd.DataFrame(map(asdict, answered), columns=list(GENERATION_COLUMNS))


def _check_shown(probe: Evaluator, target: Target) -> None:
    model, behaviour = probe.model, probe.behaviour
    nothing = Circuit(model.space, frozenset())
    (intact,) = probe.effects([nothing])
    if not target.shown(intact):
        wanted = "most" if behaviour.kind == "backdoor" else "hardly any"
        raise ConfigError(
            f"{model.name} does not show this behaviour: attacks succeed on {intact.asr.k} of "
            f"{intact.asr.n} prompts before anything is knocked out, and a {behaviour.kind} needs "
            f"{wanted}; check the trigger and the prompts"
        )
    if probe.open_utility:
        check_own_answers(model.name, {"tokens of benign answers": intact.utility})
        return
    attacks, question = ATTACKS_ANSWERED[behaviour.kind]
    own = Rate.of(probe.scores(question, [nothing]).match[0], judge=EXACT_ANSWER)
    check_own_answers(model.name, {"benign prompts": intact.utility, attacks: own})
