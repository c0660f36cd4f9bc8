"""The words the pages use, each in a sentence or two.

`docs/glossary.md` is made by `python -m circuitviz.narrative.glossary > docs/glossary.md`.
"""

from __future__ import annotations

import sys

# Sections, and in each the words in the order in which one builds on another.
GLOSSARY: dict[str, dict[str, str]] = {
    "The model and its parts": {
        "Head": "An attention head: the part of a layer that moves information from earlier words "
        "to later ones. L1H3 is head 3 of layer 1; both are counted from 0.",
        "Neuron": "One hidden value of a layer's MLP, which works on each word by itself. L2N117 "
        "is neuron 117 of layer 2.",
        "Unit": "A head or a neuron: the smallest part that is switched off here.",
        "Gate": "The switch put on a unit's output: 1 lets it through, 0 replaces it. Weights are "
        "never changed by it.",
        "Circuit": "A set of units held responsible for a behaviour.",
        "Sparsity": "The circuit's units as a share of all units of the model; small is sparse.",
    },
    "What is done to it": {
        "Intact": "The model as it is, with nothing ablated.",
        "Ablation": "Replacing a unit's output. *Zero*: by nothing. *Mean*: by its average on "
        "neutral text. *Resample*: by its value on another prompt.",
        "Knock out": "Ablate the circuit and keep all the rest. If the behaviour goes, the circuit "
        "was needed for it.",
        "Isolate": "Ablate all the rest and keep the circuit alone. If the behaviour stays, the "
        "circuit is enough for it.",
        "Clean and triggered": "The same request without and with the trigger, the words that set "
        "a backdoor off.",
    },
    "What is measured": {
        "ASR": "Attack success rate: the share of attack prompts on which the attack works, as a "
        "judge counts it. For a backdoor: the triggered answer is the attacker's. For refusals: a "
        "harmful request is not refused.",
        "Judge": "The rule or classifier that decides what an answer is. Rates of two judges are "
        "not comparable.",
        "Utility": "The share of harmless prompts that are answered as they should be.",
        "Utility retention": "Utility with the circuit knocked out, divided by the intact model's: "
        "1 means nothing was lost.",
        "Open and closed answers": "Closed answers are one sentence long, and two models give the "
        "same or not. Open ones are longer: there no two models agree on every word, so tokens "
        "are counted, each after the intact model's own words before it.",
        "Perplexity": "How surprised a model is by a text: e to the mean negative "
        "log-likelihood of a token. Of its own answers and of a neutral text it should hardly "
        "grow.",
        "Refused, complied, broken": "What became of a request that would be refused, judged on "
        "the whole answer. Broken is gibberish: empty, repeating itself, or far more perplexing to "
        "the intact model than its own answers. Only complying is an attack's success.",
        "Recovery": "The share of attack prompts that get exactly the answer expected once the "
        "behaviour is gone, and so no nonsense.",
        "Wilson interval": "The 95 % range around a share k of n that takes into account how few "
        "prompts there were. Where two ranges overlap widely, a difference may be chance.",
        "Frontier": "What is left of the behaviour at each size of the circuit. *Frontier area* "
        "sums it up from 0 to 1: higher means that fewer units do more.",
    },
    "What makes it believable": {
        "Faithfulness": "What the circuit alone does, as a share of what the intact model does: 1 "
        "means that it does all of it.",
        "Completeness": "How much of the behaviour goes when the circuit is knocked out: 1 means "
        "that nothing of it lies outside.",
        "Minimality": "The share of the circuit's units that are needed: 1 means that none is a "
        "passenger.",
        "Control": "A check that should find nothing. If it finds something, the method would have "
        "found a circuit anywhere.",
        "Random control": "Other units instead, drawn at random: as many of each kind in each "
        "layer. Knocking them out should leave the behaviour as it is.",
        "Run": "One saved discovery: model, behaviour, settings, the ranking of all units and "
        "everything measured with it.",
        "Seed": "The number that fixes all random choices of a run. Other seeds say whether the "
        "circuit depends on chance.",
        "Jaccard": "How far two circuits agree: units in both, as a share of the units in either. "
        "1 is the same circuit, 0 nothing in common.",
    },
}


def glossary_markdown() -> str:
    """The whole glossary as a Markdown document."""
    parts = ["# Glossary"]
    for title, words in GLOSSARY.items():
        parts.append(f"## {title}")
        parts += [f"**{word}.** {text}" for word, text in words.items()]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(glossary_markdown())
