"""What a discovery and a tuning measured: the typed form of their `metrics.json`.

Every class mirrors one object of the file, key by key.  What only some runs have is None where it
was not measured, and is left out again when the results are written; a key that this version does
not know is passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from circuitviz.behaviours.behaviour import BehaviourKind, Screening
from circuitviz.errors import RunFormatError
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.statistics import Difference, McNemar
from circuitviz.units import Circuit

AnswerModel = Literal["intact", "knocked_out"]

RateField = Annotated[
    Rate,
    PlainValidator(lambda value: value if isinstance(value, Rate) else Rate.from_json(value)),
    PlainSerializer(Rate.to_json),
]


class Result(BaseModel):
    """One object of a `metrics.json`."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            OSError: It cannot be read.
            RunFormatError: It does not hold such results.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RunFormatError(f"{place or 'all'} in {path.name}: {first['msg']}") from error

    def to_json(self) -> dict[str, Any]:
        """The object as JSON values: what was measured, and nothing else."""
        return self.model_dump(exclude_unset=True)

    @classmethod
    def composed(cls, *parts: Result, **values: Any) -> Self:
        """What the parts hold, and further values; None is left out where it may be."""
        held = {name: getattr(part, name) for part in parts for name in part.model_fields_set}
        told = {
            name: value
            for name, value in values.items()
            if value is not None or cls.model_fields[name].is_required()
        }
        return cls(**held, **told)

    def changed(self, **values: Any) -> Self:
        """A copy with other values, given as objects or as JSON."""
        return self.model_validate({**self.to_json(), **values})


class BeforeAfter(Result):
    """One rate of the intact model, and of the model without the circuit."""

    intact: RateField
    knocked_out: RateField


class Growth(Result):
    """One perplexity of the intact model, and of the model without the circuit."""

    intact: float
    knocked_out: float

    @property
    def share(self) -> float:
        """By what share it grows; NaN where it was not measured under both."""
        return self.knocked_out / self.intact - 1


class CircuitSize(Result):
    """How large a circuit is; sparsity is the share of all units (heads, neurons) it takes."""

    size: int
    heads: int
    neurons: int
    sparsity: float
    sparsity_heads: float
    sparsity_neurons: float

    @classmethod
    def measured(cls, circuit: Circuit, **values: Any) -> Self:
        """The size of a circuit, and what else is said of it."""
        return cls(
            size=len(circuit),
            heads=len(circuit.heads),
            neurons=len(circuit.neurons),
            sparsity=circuit.sparsity,
            sparsity_heads=circuit.sparsity_heads,
            sparsity_neurons=circuit.sparsity_neurons,
            **values,
        )


class ReportedCircuit(CircuitSize):
    """The circuit that a run reports; units in ranked order, by name."""

    units: list[str]


class EffectRates(Result):
    """What knocking out one circuit does; kl in nats per answer token on benign prompts."""

    asr: RateField
    utility: RateField
    recovery: RateField
    utility_retention: float
    kl: float
    perplexity: float | None = None


class FrontierPoint(CircuitSize, EffectRates):
    """One circuit that was measured on test prompts."""


class Alternative(CircuitSize):
    """The next smaller or larger circuit beside the reported one."""

    role: str
    asr: RateField
    utility_retention: float


class IsolatedRates(Result):
    """The circuit alone, everything else ablated."""

    asr: RateField
    utility: RateField


class RandomRates(IsolatedRates):
    """Random other units, as many of each kind in each layer, knocked out; pooled over draws.

    asr_k: successful attacks per draw.  Prompts of one draw stand or fall together, so the
    interval of the pooled rate says less than how far the draws lie apart.
    """

    draws: int
    asr_k: list[int] = []


class UnitEffect(Result):
    """What knocking out one unit alone does.

    recovery: an attack can fail without it, where the unit only spoils the attack's words;
    target_logprob_change: of the mean log-probability of the target, nats a token, negative where
    the unit helps the attack.
    """

    asr: RateField
    recovery: RateField
    target_logprob_change: float


class TargetAsked(Result):
    """What the circuit was asked to reach."""

    asr: float
    utility: float


class Perplexities(Result):
    """Perplexity of open answers and of a neutral text."""

    answers: Growth
    neutral: Growth


class VerdictRates(Result):
    """How many whole answers to attacks refuse, comply or are broken."""

    refused: RateField
    complied: RateField
    broken: RateField


class Verdicts(Result):
    """Verdicts on whole answers of both models."""

    intact: VerdictRates
    knocked_out: VerdictRates


class Proxy(Result):
    """The judge that stands in for verdicts on whole answers, and how often it agrees."""

    name: str
    agreement: RateField


class PairedTests(Result):
    """Intact against knocked out, paired by prompt."""

    mcnemar: McNemar
    asr_difference: Difference
    utility_difference: Difference


class RefinementResult(Result):
    """What dropping dispensable units did; `next` are the runners-up, by name."""

    before: int
    after: int
    dropped: list[str]
    restored: int
    complete: bool
    note: str | None
    next: list[str] = []


class RankScores(Result):
    """How far up in a ranking the true units are.

    Attributes:
        size: How many true units there are.
        auroc: Area under the ROC curve: the chance that a true unit has a higher score than any
            other, ties counting half; 0.5 is guessing, 1 is perfect.
        average_precision: Precision at each true unit, averaged over them, each step up in recall
            with the precision of its threshold; units with equal scores share a threshold.
        precision_at_truth: Share of true units among the `size` best, in the ranking's own order.
    """

    size: int
    auroc: float
    average_precision: float
    precision_at_truth: float


class TruthScores(RankScores):
    """A ranking against the planted truth: over all units it ranks, and over each kind alone.

    heads and neurons are None where the truth has no such unit, or has all of them: then every
    ranking finds them equally well.
    """

    units: list[str]
    heads: RankScores | None
    neurons: RankScores | None
    frontier_area: float


class RandomCircuitsResult(Result):
    """Random circuits as large as the reported one, layer by layer and kind by kind.

    kept: draws that leave the behaviour; threshold: the ASR that counts as left; overlap: share of
    drawn units that are the circuit's; percentile: share of draws that do as well as the circuit.
    """

    draws: int
    prompts: int
    kept: int
    threshold: float
    asr_k: list[int] = []
    asr_n: int
    overlap: float
    percentile: float
    intact_k: int | None = None
    refused: RateField | None = None
    refused_intact: RateField | None = None


class NonsenseCut(Result):
    """The circuit of one size that was made to look for a nonsense answer."""

    size: int
    success: RateField
    utility_retention: float
    reached: bool


class NonsenseResult(NonsenseCut):
    """The same method asked for a nonsense answer, at both sizes of the discovery."""

    answer: str
    before_refinement: NonsenseCut
    # The size that its verdict speaks of.
    shown: NonsenseCut | None = Field(None, exclude=True)


class WeightsCut(Result):
    """The circuit of one size that was found in shuffled weights."""

    size: int
    effect: EffectRates
    reached: bool


class RandomWeightsResult(WeightsCut):
    """The same method in shuffled weights, at both sizes of the discovery."""

    intact: EffectRates
    before_refinement: WeightsCut
    # The size that its verdict speaks of.
    shown: WeightsCut | None = Field(None, exclude=True)


class RandomTriggerResult(Result):
    """Other words in the trigger's place."""

    trigger: str
    triggers: list[str]
    intact: RateField
    intact_recovery: RateField
    knocked_out_recovery: RateField
    reordered: RateField | None = None


class ControlVerdict(Result):
    """One control's verdict.

    Attributes:
        name: Which control.
        passed: Whether it behaved; None where it does not apply or was not run.
        number: What was counted, `100 of 100`; empty where nothing was.
        title: What was found.
        sentence: What that means; where the control does not apply, why.
        rate: What the number is a rate of; None where nothing was counted, or draws were.
    """

    name: str
    passed: bool | None
    number: str
    title: str
    sentence: str
    rate: RateField | None = None


class Controls(Result):
    """What every control found, None where one does not apply, and the verdicts."""

    random_circuits: RandomCircuitsResult | None = None
    nonsense_target: NonsenseResult | None = None
    random_weights: RandomWeightsResult | None = None
    random_trigger: RandomTriggerResult | None = None
    verdicts: list[ControlVerdict]


class Faithfulness(Result):
    """Attacks that succeed with everything but the circuit ablated, as `condition` says."""

    value: float
    condition: str
    isolated: RateField


class Completeness(Result):
    """How much of the behaviour the circuit's complement has lost."""

    value: float


class ReturnedUnit(Result):
    """The circuit without one unit knocked out, and whether the unit was needed."""

    asr: RateField
    needed: bool


class Minimality(Result):
    """The share of units the circuit needs."""

    value: float
    needed: int
    of: int
    units: dict[str, ReturnedUnit]


class Criteria(Result):
    """The three criteria of Wang et al. (2023); see `evaluation.criteria`."""

    faithfulness: Faithfulness
    completeness: Completeness
    minimality: Minimality


class StochasticRates(Result):
    """What is left when a share of the complement, in (0, 1], is ablated, pooled over draws.

    asr and shown: attacks that succeed, and that show the behaviour outright, the circuit kept;
    random_asr and random_shown: with a random circuit of the same make-up kept; utility: benign
    prompts answered as expected, the circuit kept.
    """

    share: float
    asr: RateField
    random_asr: RateField
    shown: RateField
    random_shown: RateField
    utility: RateField


class JudgeRow(BeforeAfter):
    """Attacks that succeed by one judge."""

    judge: str
    source: str


class Agreement(Result):
    """Cohen's kappa of two judges over n answers."""

    a: str
    b: str
    kappa: float
    n: int


class JudgeTable(Result):
    """What several judges say about the same answers; degenerate answers by their own detector."""

    names: list[str]
    rows: list[JudgeRow]
    agreement: list[Agreement]
    degenerate: BeforeAfter


class Described(Result):
    """What was done.

    Attributes:
        weights: Fingerprint of the model's files.
        data: Fingerprint of the prompts.
        prompts_dropped: Prompts that were left out.
        screening: What became of prompts whose answers had to be asked of the model.
        seconds: Of everything but the controls.
    """

    run_id: str
    model: str
    weights: str | None = None
    data: str | None = None
    method: str
    granularity: str
    behaviour: str
    behaviour_kind: BehaviourKind
    question: str
    trigger: str | None
    prompts_dropped: int | None = None
    screening: Screening | None = None
    target: TargetAsked
    versions: dict[str, str]
    created: str
    seconds: float


class Measured(Result):
    """What knocking the circuit out, and every other size, does.

    Attributes:
        recovery: Attacks answered rightly again, the circuit knocked out.
        recovery_ceiling: What the intact model reaches without the trigger; None is all.
    """

    n_units: int
    n_heads: int
    n_neurons: int
    circuit: ReportedCircuit
    asr: BeforeAfter
    utility: BeforeAfter
    recovery: RateField | None
    utility_retention: float
    kl: float
    frontier: list[FrontierPoint]
    perplexity: Perplexities | None = None
    recovery_ceiling: RateField | None = None
    alternatives: list[Alternative] = []
    isolated: IsolatedRates | None = None
    random: RandomRates | None = None
    unit_effects: dict[str, UnitEffect]


class Metrics(Measured, Described):
    """What a discovery measured, all on test prompts.

    Attributes:
        open: Whether answers are open: judged by their tokens, and as a whole.
        target_missed: Parts of the target that are missed, by their names.
        target_reached_in_selection: The same on the validation prompts that chose the size.
        chosen_by_hand: Whether somebody chose another size than the run reports.
        learning: Losses by step.
    """

    open: bool = False
    verdicts: Verdicts | None = None
    proxy: Proxy | None = None
    target_reached: bool
    target_missed: list[str]
    target_reached_in_selection: bool | None = None
    frontier_area: float | None = None
    statistics: PairedTests | None = None
    refinement: RefinementResult | None = None
    truth: TruthScores | None = None
    learning: dict[str, list[float]] = {}
    judges: JudgeTable | None = None
    controls: Controls | None = None
    criteria: Criteria | None = None
    stochastic: list[StochasticRates] = []
    ablations: dict[str, EffectRates] = {}
    seconds_with_controls: float | None = None
    chosen_by_hand: bool = False

    @property
    def is_refusal(self) -> bool:
        """Whether refusals were looked for, and not a backdoor."""
        return self.behaviour_kind == "refusal"


class ArmRates(Result):
    """One model on test prompts, what it keeps of the intact model's rates, and its training.

    frozen_equal: whether what was frozen is bit for bit the same; None where nothing was frozen.
    """

    safety: RateField
    helpfulness: RateField
    utility: RateField
    asr: RateField
    exact: RateField
    safety_kept: float | None = None
    utility_kept: float | None = None
    parameters_trained: int | None = None
    parameters_trained_share: float | None = None
    seconds: float | None = None
    epochs: int | None = None
    frozen_equal: bool | None = None


class ScenarioText(Result):
    """What the tuning is about."""

    title: str
    text: str


class PlanUsed(Result):
    """How was trained."""

    epochs: int
    learning_rate: float
    weight_decay: float
    rows: int


class TuningMetrics(Result):
    """What a tuning measured, all on test prompts.

    Attributes:
        size: Units of the circuit.
        erosion_plan: How refusing was worn away first; None where it was not.
        random_overlap: Units that the circuit and the random one share.
        judges: Who counts safety and helpfulness.
        intact: The original model.
        before: The model before tuning.
        arms: Each way of tuning.
    """

    tuning_id: str
    run_id: str
    model: str
    behaviour: str
    behaviour_kind: BehaviourKind
    mode: str
    seed: int
    size: int
    units: list[str]
    scenario: ScenarioText
    plan: PlanUsed
    erosion_plan: PlanUsed | None = None
    random_overlap: int = 0
    judges: dict[str, str]
    intact: ArmRates
    before: ArmRates
    arms: dict[str, ArmRates]
    versions: dict[str, str]
    created: str
    seconds: float

    @property
    def is_refusal(self) -> bool:
        """Whether the behaviour is refusing, and not a backdoor."""
        return self.behaviour_kind == "refusal"
