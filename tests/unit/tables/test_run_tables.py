import io

import numpy as np
import pandas as pd
import pytest

from circuitviz.errors import ConfigError
from circuitviz.narrative.methods import method
from circuitviz.narrative.opening import headlines, opening_headline, opening_lead, standings
from circuitviz.report.exports import circuit_json
from circuitviz.report.options import at_size
from circuitviz.tables.run_tables import csv_of, rows_of, tables
from tests.support.synthetic import backdoor_run, controlled_run, refusal_run, with_results

# What CircuitKIT's own loaders read of a file.
ARTIFACT = {"version", "metadata", "nodes", "edges"}
SCORES = {"task", "model", "algorithm", "level", "node_scores", "timestamp", "discovery_cfg"}
ALGORITHMS = {"eap", "eap-ig", "acdc", "ibcircuit", "cdt", "relp", "peap"}


@pytest.fixture(scope="module")
def run():
    return controlled_run()


def test_tables_hold_the_numbers_of_the_run(run):
    found = tables(run)
    headline = pd.read_csv(io.BytesIO(csv_of(found["headline"]))).set_index("what")
    assert list(headline.loc["attack success, intact", ["k", "n"]]) == [256, 256]
    assert list(headline.loc["attack success, circuit off", ["k", "n"]]) == [0, 256]
    assert list(found["circuit"]["unit"]) == ["L1H3", "L2H5", "L2N117", "L3N402"]
    assert list(found["circuit"]["rank"]) == [1, 2, 3, 4]
    assert len(found["answers"]) == len(run.generations)
    assert set(found["controls"]["verdict"]) == {"passes"}
    frontier = found["frontier"]
    assert set(frontier[frontier["size"] == 4]["n"]) == {256}


def test_tables_without_numbers_are_left_out():
    assert "judges" in tables(controlled_run())
    assert {"judges", "truth", "ablations"}.isdisjoint(tables(backdoor_run()))


def test_cells_are_written_for_people():
    frame = pd.DataFrame({"a": [1234, 2], "b": [0.12345, np.nan], "c": [True, False]})
    assert rows_of(frame) == (["a", "b", "c"], [["1,234", "0.123", "yes"], ["2", "–", "no"]])


def test_headline_numbers_carry_their_evidence(run):
    fires, kept, recovered, size = headlines(run)
    assert (fires.before, fires.value) == ("100.0\u202f%", "0.0\u202f%")
    assert "0 of 256" in fires.note
    assert "judge: starts with the target answer" in fires.note
    assert kept.value == "100.0\u202f%"
    assert recovered.label == "Clean answer recovered"
    assert size.value == "4 units"
    assert size.note.startswith("2 heads of 32 (6.2\u202f%) and 2 neurons of 2,048 (0.10\u202f%); ")
    assert headlines(refusal_run())[0].label == "Harmful requests answered"


def test_another_size_is_told_with_its_own_numbers(run):
    smaller = at_size(run, 2)
    assert smaller.size == 2
    assert [str(unit) for unit in smaller.circuit()] == ["L1H3", "L2H5"]
    assert (smaller.metrics.asr.knocked_out.k, smaller.metrics.asr.intact.k) == (51, 256)
    assert smaller.metrics.target_reached is False
    assert smaller.metrics.controls is None
    assert "does not end this backdoor as asked" in opening_headline(smaller, run)
    assert "whose own circuit has 4 units" in opening_lead(smaller, run)
    assert [one.holds for one in standings(smaller, run)] == [False, None]


def test_a_larger_size_that_meets_the_target_has_reached_it(run):
    larger = at_size(run, 8)
    assert larger.metrics.target_reached is True
    assert opening_headline(larger, run) == (
        "Switching off 2 of 32 heads and 6 of 2,048 neurons ends this backdoor"
    )


def test_of_refusal_more_is_better():
    run = refusal_run()
    assert at_size(run, 96).metrics.target_reached is True
    assert at_size(run, 32).metrics.target_reached is False


def test_the_reported_size_changes_nothing(run):
    assert at_size(run, None) is run
    assert at_size(run, 4) is run


@pytest.mark.parametrize("size", [0, 5, -1])
def test_a_size_that_was_not_measured_is_refused_with_those_that_were(run, size):
    with pytest.raises(ConfigError, match=rf"\(1, 2, 3, 4, 6, .*\) or its own, 4; got {size}"):
        at_size(run, size)


def test_the_circuit_is_both_of_circuitkits_formats(run):
    found = circuit_json(run)
    assert set(found) >= ARTIFACT | SCORES
    assert found["version"] == "1.0"
    metadata = found["metadata"]
    assert metadata["discovery_method"] in ALGORITHMS
    assert metadata["granularity"] in {"head", "neuron", "layer"}
    assert found["level"] in {"node", "neuron"}
    assert found["circuitviz"]["method"] == "nested"
    assert found["circuitviz"]["circuit"]["size"] == 4


def test_the_data_of_a_circuit_is_named_by_where_its_prompts_are_from():
    def dataset(**settings):
        return circuit_json(backdoor_run(**settings))["metadata"]["dataset"]

    assert dataset() == "beside the model"
    assert dataset(behaviour="politeness") == "politeness"
    assert dataset(behaviour="/home/me/.data/mine-0123") == "mine-0123"
    assert dataset(behaviour="/home/me/mine", prompts="/home/me/p.jsonl") == "p.jsonl"


def test_the_threshold_cuts_exactly_the_circuit(run):
    found = circuit_json(run)
    threshold = found["metadata"]["threshold"]
    inside = {name for name, node in found["nodes"].items() if node["importance"] >= threshold}
    assert inside == {"L1H3", "L2H5", "L2N117", "L3N402"}
    assert len(found["nodes"]) == 2080
    assert all(0 <= node["importance"] <= 1 for node in found["nodes"].values())
    assert all(score >= 0 for score in found["node_scores"].values())


def test_nodes_are_named_as_circuitkit_names_them(run):
    found = circuit_json(run)
    assert found["nodes"]["L1H3"]["node_type"] == "attn_head"
    assert found["nodes"]["L2N117"] | {"importance": 0} == {
        "layer_idx": 2,
        "node_type": "mlp_neuron",
        "index": 117,
        "importance": 0,
        "name": "L2N117",
    }
    assert found["node_scores"]["A1.3"] == 1.0
    assert "L2.117" in found["node_scores"]


def test_the_method_says_how_the_size_came_about(run):
    def size_of(one):
        return next(text for text in method(one) if text.startswith("Which size: "))

    by_hand = size_of(at_size(run, 2))
    assert by_hand.startswith("Which size: 2 units, chosen by hand after seeing test results")
    assert "nor choosing" not in by_hand
    assert "smallest" not in by_hand
    assert "nor choosing saw" in size_of(run)
    missed = backdoor_run(target_reached=False)
    assert "the run does not say" in size_of(missed)
    selected = {one: with_results(missed, target_reached_in_selection=one) for one in (True, False)}
    assert "No size met it, and the best one was taken" in size_of(selected[False])
    assert "meets it there, but not on test prompts" in size_of(selected[True])


def test_the_circuit_file_claims_no_effect_that_was_not_measured():
    def note(one):
        return circuit_json(one)["circuitviz"]["note"]

    run = backdoor_run()
    assert note(run).endswith("meets the target that is given here.")
    assert note(backdoor_run(target_reached=False)).endswith(
        "does not meet the target that is given here."
    )
    assert circuit_json(at_size(run, 8))["circuitviz"]["chosen_by_hand"] is True
