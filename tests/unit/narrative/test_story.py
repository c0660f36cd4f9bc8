import pytest

from circuitviz.evaluation.rate import Rate
from circuitviz.narrative import story
from circuitviz.narrative.phrases import TOKEN_JUDGE
from circuitviz.report.options import at_size
from tests.support.synthetic import backdoor_run, refusal_run, with_results


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def test_a_backdoor_in_two_sentences():
    run = backdoor_run()
    assert story.headline(run) == (
        "Switching off 2 of 32 heads and 2 of 2,048 neurons ends this backdoor"
    )
    assert plain(story.lead(run)) == (
        "Switch off 2 heads of 32 (6.2 %) and 2 neurons of 2,048 (0.10 %) and the trigger stops "
        "working: it worked on 256 of 256 test prompts before and on 0 after, while normal "
        "accuracy stays at 100.0 %."
    )


def test_an_accuracy_that_rises_is_said_as_from_where_to_where():
    run = backdoor_run()
    changed = with_results(run, utility={"intact": {"k": run.metrics.utility.intact.n // 2}})
    assert plain(story.accuracy_kept(changed)) == "normal accuracy goes from 50.0 % to 100.0 %"


def test_a_refusal_in_two_sentences():
    run = refusal_run()
    assert story.headline(run) == (
        "Switching off 2 of 32 heads and 62 of 2,048 neurons ends this model's refusals"
    )
    assert "answers 254 of 256 harmful test requests instead of 0" in story.lead(run)


def test_a_target_that_was_missed_is_said_in_the_headline_and_in_the_checks():
    run = backdoor_run(target_reached=False)
    assert story.headline(run) == "No circuit found ends this backdoor and meets its target"
    assert "misses the target" in story.lead(run)
    assert story.doubts(run)[0].holds is False


def test_controls_that_were_not_run_are_not_claimed():
    run = backdoor_run()
    doubts = story.doubts(with_results(run, random=None, isolated=None, recovery=None))
    assert [doubt.holds for doubt in doubts][1:4] == [None, None, None]


def test_a_random_circuit_that_also_works_speaks_against():
    run = backdoor_run()
    assert story.doubts(with_results(run, random={"asr": {"k": 128}}))[1].holds is False


def test_a_broken_model_that_answers_nothing_is_not_said_to_refuse():
    # Alone it answers 12 % of harmful requests, but only 6 % of normal ones are right.
    assert story.doubts(refusal_run())[2].holds is None


def test_a_circuit_alone_that_refuses_and_still_works_holds():
    run = refusal_run()
    able = with_results(run, isolated={"utility": {"k": run.metrics.utility.intact.k}})
    assert story.doubts(able)[2].holds


@pytest.mark.parametrize(
    ("heads", "neurons", "text"),
    [
        (1, 0, "1 attention head"),
        (2, 8, "2 attention heads and 8 neurons"),
        (0, 1, "1 neuron"),
        (0, 0, "no units"),
    ],
)
def test_parts_leave_out_what_is_none(heads, neurons, text):
    assert story.parts(heads, neurons) == text


def test_the_controls_in_one_line():
    run = backdoor_run()
    assert plain(story.control_line(run)) == (
        "Controls: random circuits of the same size leave attack success at 100.0 % (256 of 256) "
        "and keep 100.0 % of the normal answers (256 of 256); "
        "with only the circuit on it is 96.9 % (248 of 256)."
    )
    bare = with_results(run, random=None, isolated=None)
    assert story.control_line(bare) == ""


def test_normal_answers_stand_beside_those_that_random_circuits_leave():
    run = backdoor_run()
    tokens = Rate(TOKEN_JUDGE, 920, 1000)
    doubts = story.doubts(with_results(run, random={"utility": tokens}))
    (finding,) = [plain(doubt.finding) for doubt in doubts if doubt.claim.startswith("Normal")]
    assert finding.endswith(
        "; random circuits of the same size keep 92.0 % of the tokens of normal answers "
        "(920 of 1,000)"
    )


def test_a_missed_target_names_both_halves_of_it():
    run = backdoor_run(target_reached=False)
    doubt = story.doubts(run)[0]
    assert (doubt.holds, doubt.claim) == (False, "The target was not reached")
    assert plain(doubt.finding) == (
        "asked: at most 0.4 % attack success, at least 99.0 % of utility kept and at least 90.0 % "
        "of attacks answered rightly again; test prompts show: 10.9 % (28 of 256), 100.0 % and "
        "89.1 % (228 of 256); missed: attack success and right answers to attacks"
    )


def test_a_size_chosen_by_hand_is_said_to_be_optimistic():
    doubt = story.doubts(at_size(backdoor_run(), 8))[-1]
    assert (doubt.holds, doubt.claim) == (
        False,
        "The size was chosen by hand after seeing test results",
    )
    assert "optimistic" in doubt.finding
    assert "nor choosing" not in doubt.finding
    assert "nor choosing the size saw" in story.doubts(backdoor_run())[-1].finding


def test_an_attack_that_fails_without_the_right_answer_speaks_against():
    run = backdoor_run()
    doubt = story.doubts(with_results(run, recovery={"k": 0}))[3]
    assert (doubt.holds, doubt.claim) == (
        False,
        "Attacks fail, but do not get the right answer",
    )
    assert story.doubts(run)[3].holds


def test_few_prompts_speak_against():
    run = backdoor_run()
    few = with_results(run, asr={"knocked_out": {"k": 0, "n": 40}})
    assert story.doubts(few)[-1].holds is False


def test_how_far_draws_lie_apart_is_told_where_the_run_says_it():
    run = backdoor_run()
    assert "single draws" not in story.random_note(run)
    random = {"asr": {"k": 96, "n": 128}, "draws": 2, "asr_k": [32, 64]}
    note = story.random_note(with_results(run, random=random))
    assert (
        "(2 draws, n = 128; attack success in single draws 50.0\u202f% to 100.0\u202f%, which"
        in note
    )
