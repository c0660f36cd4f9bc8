from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui.run_names import distinct_titles, method_note, method_title, run_labels


def test_a_run_is_named_by_what_sets_it_apart():
    runs = {
        "a": DiscoveryConfig(model="x"),
        "b": DiscoveryConfig(model="x", seed=1),
        "c": DiscoveryConfig(model="y", ablation="mean"),
    }
    assert distinct_titles(runs) == {"a": "x · seed 0", "b": "x · seed 1", "c": "y"}


def test_another_method_or_granularity_is_named_even_if_it_is_the_only_one():
    runs = {"a": DiscoveryConfig(model="x", method="attribution", granularity="heads")}
    assert distinct_titles(runs, {"x": "The model"}) == {
        "a": "The model · Integrated gradients · heads alone"
    }


def test_names_of_one_configuration_are_numbered_since_a_list_knows_entries_by_name():
    runs = {"a": DiscoveryConfig(model="x"), "b": DiscoveryConfig(model="x", controls=True)}
    assert distinct_titles(runs) == {"a": "x", "b": "x (2)"}


def test_labels_name_method_and_seed_and_what_differs():
    labels = run_labels(
        {
            "a": DiscoveryConfig(model="x"),
            "b": DiscoveryConfig(model="x", method="random", seed=2),
            "c": DiscoveryConfig(model="x", granularity="layers"),
        }
    )
    assert labels == {
        "a": "Nested masks · seed 0 · heads and neurons",
        "b": "Random order · seed 2 · heads and neurons",
        "c": "Nested masks · seed 0 · whole layers",
    }


def test_labels_of_the_same_settings_stay_distinct():
    labels = run_labels({name: DiscoveryConfig(model="x") for name in "abc"})
    assert list(labels.values()) == [f"Nested masks · seed 0{n}" for n in ("", " (2)", " (3)")]


def test_the_note_names_method_and_granularity():
    config = DiscoveryConfig(model="x", method="l1", l1_weight=0.5, refine=False)
    assert method_note(config) == (
        "Masks with an L1 weight, heads and neurons · seed 0 · 100 steps · zero ablation · joint "
        "budget · not refined · L1 weight 0.5"
    )


def test_a_method_this_version_does_not_know_goes_by_its_name():
    assert method_title("hessian") == "hessian"
