import pandas as pd

from circuitviz.plots.token_charts import TOKEN_COLUMNS, shown_token, token_chart

ROWS = [
    ("target", 1, "Access", "intact", 0.9),
    ("target", 1, "Access", "knocked out", 0.1),
    ("target", 2, " granted", "intact", 1.0),
    ("target", 2, " granted", "knocked out", 0.5),
    ("clean", 1, "", "intact", 0.2),
    ("clean", 1, "", "knocked out", 0.8),
]


def test_each_answer_has_a_panel_and_each_condition_a_line():
    figure = token_chart(pd.DataFrame(ROWS, columns=list(TOKEN_COLUMNS)))
    lines = [(line.name, list(line.y), line.xaxis) for line in figure.data]
    assert lines == [
        ("intact", [0.9, 1.0], "x"),
        ("knocked out", [0.1, 0.5], "x"),
        ("intact", [0.2], "x2"),
        ("knocked out", [0.8], "x2"),
    ]
    assert list(figure.layout.xaxis.ticktext) == ["Access", "\u00b7granted"]
    assert list(figure.layout.xaxis2.ticktext) == ["(end)"]


def test_lines_differ_by_symbol_and_dash_and_the_legend_names_each_once():
    figure = token_chart(pd.DataFrame(ROWS, columns=list(TOKEN_COLUMNS)))
    intact, knocked_out, *_ = figure.data
    assert intact.marker.symbol != knocked_out.marker.symbol
    assert intact.line.dash != knocked_out.line.dash
    assert [line.showlegend for line in figure.data] == [True, True, False, False]


def test_nothing_to_show_is_an_empty_chart():
    assert len(token_chart(pd.DataFrame(columns=list(TOKEN_COLUMNS))).data) == 0


def test_blanks_and_ends_can_be_seen():
    assert [shown_token(token) for token in ("", " a b", "x\n")] == [
        "(end)",
        "\u00b7a\u00b7b",
        "x\u21b5",
    ]


def test_no_token_and_no_title_is_taken_for_markup():
    rows = [("a < <b>", 1, "<b>", condition, 0.5) for condition in ("intact", "knocked out")]
    figure = token_chart(pd.DataFrame(rows, columns=list(TOKEN_COLUMNS)))
    assert list(figure.layout.xaxis.ticktext) == ["&lt;b&gt;"]
    assert figure.data[0].hovertext[0] == "<b>&lt;b&gt;</b><br>intact: 50.0\u202f%"
    assert figure.layout.annotations[0].text == "a &lt; &lt;b&gt;"
