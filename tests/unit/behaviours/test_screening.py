"""What became of the prompts, as runs keep it and as the command line says it."""

from circuitviz.behaviours.screening import Changed, Screening
from circuitviz.commands.output import run_summary
from tests.synthetic import backdoor_run, with_results

DROPPED = (("attack", "not refused", 3), ("benign", "refused", 1))


def test_it_reads_as_counts_with_reasons():
    assert str(Screening(20, 20)) == "20 of 20 attack prompts"
    told = "17 of 20 attack prompts; left out: 3 not refused, 1 benign refused"
    assert str(Screening(20, 17, DROPPED)) == told


def test_it_comes_back_from_json():
    for one in (Screening(20, 17, DROPPED, Changed(19, 2, 20)), Screening(5, 5)):
        assert Screening.from_json(one.to_json()) == one


def test_the_summary_of_a_run_says_it_under_the_rate_of_success(tmp_path):
    run = backdoor_run()
    assert "shown by" not in run_summary(run, tmp_path)
    run = with_results(run, screening=Screening(20, 17, DROPPED))
    lines = run_summary(run, tmp_path).split("\n")
    place = next(at for at, line in enumerate(lines) if line.startswith("ASR"))
    assert lines[place + 1] == (
        "  shown by    17 of 20 attack prompts; left out: 3 not refused, 1 benign refused"
    )
