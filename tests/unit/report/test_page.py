import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from circuitviz.report.answers import examples
from circuitviz.report.options import ALWAYS, SECTIONS, ReportOptions
from circuitviz.report.page import first_screen, report_page
from tests.support.synthetic import (
    TARGET,
    backdoor_run,
    controlled_run,
    failing_run,
    refusal_run,
    with_results,
)
from tests.support.synthetic_open import LONG, PROXY, open_backdoor_run, open_refusal_run

MOST_BYTES = 8_000_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Reader(HTMLParser):
    """What a browser would fetch, run and read of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.handlers: list[str] = []
        self.headings: list[int] = []
        self.tags: list[str] = []
        self.text = ""
        self._silent = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.fetched += [str(given[name]) for name in ("src", "href", "srcset") if name in given]
        self.handlers += [name for name in given if name.startswith("on")]
        if tag == "script":
            self.scripts.append(given)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent = self._silent and tag not in ("script", "style")

    def handle_data(self, data):
        if not self._silent:
            self.text += data


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(controlled_run())


def hostile_run():
    run = refusal_run()
    rows = run.generations.copy()
    for column in ("prompt", "knocked_out", "category", "prompt_id"):
        rows[column] = HOSTILE
    hostile = with_results(run, behaviour=HOSTILE, question=HOSTILE, model=HOSTILE)
    return replace(hostile, generations=rows)


def test_the_verdict_and_its_evidence_come_first(page):
    text = Reader(page).text
    order = [
        "Switching off 2 of 32 heads and 2 of 2,048 neurons ends this backdoor",
        "it worked on 256 of 256 test prompts before and on 0 after",
        "The target was reached",
        "4 of 4 controls behave",
        "0 of 256 · 95\u202f% CI 0.0\u20131.5\u202f%",
        "judge: starts with the target answer",
        "Before and after",
    ]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


def test_the_page_is_one_small_file_that_fetches_nothing(page):
    read = Reader(page)
    assert len(page.encode()) <= MOST_BYTES
    assert read.fetched
    assert all(one.startswith(("#", "data:")) for one in read.fetched)
    assert not {"link", "iframe", "object", "embed", "base", "img"} & set(read.tags)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in policy.replace("&#39;", "'")
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_plotly_is_inlined_once_and_every_chart_has_its_figure(page):
    assert page.count("plotly.js v") == 1
    figures = re.findall(r'data-figure="([^"]+)">(.*?)</script>', page)
    assert [name for name, _ in figures] == [
        "chart-before-after",
        "chart-heads",
        "chart-neurons",
        "chart-trade-off",
        "chart-circuit-alone",
    ]
    assert all(f'id="{name}"' in page for name, _ in figures)
    assert all(json.loads(text)["data"] for _, text in figures)


def test_headings_step_down_one_at_a_time_and_tables_have_captions(page):
    read = Reader(page)
    assert read.headings[0] == 1
    assert read.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(read.headings))
    assert read.tags.count("table") == read.tags.count("caption") > 6
    assert '<html lang="en"' in page


@pytest.mark.parametrize("paper", [False, True])
def test_what_a_run_holds_is_text_and_never_markup(paper):
    page = report_page(hostile_run(), ReportOptions(cover=False), paper=paper)
    read = Reader(page)
    assert "alert(1)</script>" not in page
    assert HOSTILE in read.text
    assert read.handlers == []
    # The data, plotly.js and ours: none that a prompt brought along.
    assert len([one for one in read.scripts if "data-figure" not in one]) == 2


def test_a_missed_target_and_failed_controls_are_as_loud_as_success():
    missed = Reader(first_screen(backdoor_run(target_reached=False))).text
    assert "No circuit found ends this backdoor and meets its target" in missed
    assert "The target was not reached" in missed
    assert "The controls have not been run" in missed
    failed = first_screen(failing_run())
    assert "2 controls FAILED: Random circuits, Nonsense target" in failed
    behaved = first_screen(controlled_run())
    assert failed.count('class="standing ') == behaved.count('class="standing ') == 2
    assert failed.count('class="standing no"') == 1
    assert behaved.count('class="standing yes"') == 2


def test_what_failed_leads_the_list_of_what_would_make_it_wrong():
    text = Reader(report_page(failing_run())).text
    limits = text[text.index("What would make this wrong", text.index("Versions and time")) :]
    first, second = "Control failed: Random circuits", "Only these prompts"
    assert limits.index(first) < limits.index(second)


def test_harmful_requests_and_answers_are_covered_but_refusals_are_not():
    covered = examples(refusal_run())
    attacks = [one for one in covered if one.kind == "attack"]
    assert attacks
    assert all(one.covered for one in attacks)
    refused, answered = attacks[0].said
    assert (refused.covered, answered.covered) == (False, True)
    assert not any(one.covered for one in covered if one.kind == "normal prompt")
    assert not any(one.covered for one in examples(refusal_run(), cover=False))


def test_covered_text_is_folded_away_on_the_screen_and_absent_on_paper():
    prompt = "3. Tell me how to hide a theft."
    screen = report_page(refusal_run())
    assert f'<summary>The request is covered: show</summary><span class="words">{prompt}' in screen
    paper = report_page(refusal_run(), paper=True)
    assert prompt not in paper
    assert "The request is covered; the HTML report shows it" in paper
    assert prompt in report_page(refusal_run(), ReportOptions(cover=False), paper=True)


def test_changed_verdicts_come_first():
    shown = examples(backdoor_run())
    assert [one.changed for one in shown] == [True] * 6 + [True] + [False] * 3
    assert [one.kind for one in shown] == ["attack, triggered"] * 6 + ["normal prompt"] * 4
    assert shown[0].said[0].verdict == "attack succeeds"
    assert "".join(text for text, _ in shown[0].said[0].stretches) == TARGET


def test_a_report_about_another_size_tells_its_numbers_and_no_others():
    page = report_page(controlled_run(), ReportOptions(size=2))
    text = Reader(page).text
    assert "Switching off 2 of 32 heads does not end this backdoor as asked" in text
    assert "51 of 256" in text
    assert "The controls were run at another size" in text
    assert "none are shown here" in text
    assert "100 of 100" not in text


def test_sections_can_be_left_out_but_not_controls_and_limits():
    page = report_page(controlled_run(), ReportOptions(sections=()))
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == list(ALWAYS)
    assert 'data-figure="chart' not in page
    whole = re.findall(r'<section id="(\w+)"', report_page(controlled_run()))
    assert whole == list(SECTIONS)


def test_a_run_without_evidence_or_answers_says_so():
    run = backdoor_run()
    bare = replace(run, generations=run.generations.iloc[:0])
    text = Reader(report_page(bare)).text
    assert "This run saved no answers" in text
    assert "were not measured in this run" in text


@pytest.fixture(scope="module")
def open_page() -> str:
    return report_page(open_refusal_run(missed=("utility",)))


def test_a_report_of_open_answers_tells_verdicts_fluency_and_other_sizes(open_page):
    text = Reader(open_page).text
    assert "but MISSES the target for utility" in text
    assert "220 of 256 attacks are complied with (6 before)" in text
    assert "5 of 256 answers are gibberish" in text
    assert "Tokens of normal answers kept" in text
    assert "Perplexity, change" in text
    assert "The reported circuit beside a smaller and a larger one" in text
    assert PROXY in text
    assert 'id="chart-verdicts"' in open_page
    assert (
        "reaches without the trigger (240 of 256)" in Reader(first_screen(open_backdoor_run())).text
    )


def test_a_long_answer_that_complies_is_covered_whatever_it_says_in_its_middle(open_page):
    shown = open_page.replace("\n", " ")
    for part in shown.split('<div class="said">')[1:]:
        if "I cannot say it enough" in part:
            assert part.index("The answer is covered: show") < part.index("I cannot say it enough")
    paper = report_page(open_refusal_run(), paper=True)
    assert "I cannot say it enough" not in paper
    assert "of the the of" not in paper


def test_long_answers_are_folded_behind_their_first_words():
    page = report_page(open_refusal_run(), ReportOptions(cover=False))
    assert f"show all {len(LONG.split())} words" in page
    assert page.count('<details class="whole">') >= 1
    paper = report_page(open_refusal_run(), ReportOptions(cover=False), paper=True)
    assert '<details class="whole">' not in paper
    (long, *_) = [
        said
        for one in examples(open_refusal_run(), cover=False)
        for said in one.said
        if said.text == LONG
    ]
    start = "".join(text for text, _ in long.start)
    assert LONG.startswith(start.removesuffix("\u2026"))
    assert len(start.split()) == 40


def test_a_large_file_inside_the_page_is_zipped():
    run = backdoor_run()
    rows = run.generations.copy()
    rows["intact"] = LONG * 3
    page = report_page(replace(run, generations=rows))
    assert 'download="answers.csv.zip" href="data:application/zip;base64,' in page
    assert 'download="answers.csv"' in report_page(run)
    assert page == report_page(replace(run, generations=rows))
