"""How likely each token of two answers is, intact and knocked out."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from circuitviz.plots.palette import NEUTRAL, RUN_STYLES, finish
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent
from circuitviz.plots.token_text import token_text

__all__ = ["TOKEN_COLUMNS", "token_chart"]

# answer: which of the answers; position: from 1; token: as written; condition: intact |
# knocked out; probability: in [0, 1].
TOKEN_COLUMNS = ("answer", "position", "token", "condition", "probability")
CONDITIONS = {"intact": RUN_STYLES[0], "knocked out": RUN_STYLES[1]}
HEIGHT = 280


def token_chart(frame: pd.DataFrame) -> go.Figure:
    """One panel an answer, its tokens from left to right, one line a condition.

    Args:
        frame: Columns `TOKEN_COLUMNS`.
    """
    answers = list(dict.fromkeys(frame["answer"]))
    figure = make_subplots(
        cols=max(1, len(answers)),
        shared_yaxes=True,
        subplot_titles=[token_text(str(answer)) for answer in answers],
        horizontal_spacing=0.06,
    )
    for column, answer in enumerate(answers, start=1):
        for condition, style in CONDITIONS.items():
            rows = records(matching(frame, answer=answer, condition=condition))
            figure.add_scatter(
                x=[row["position"] for row in rows],
                y=[row["probability"] for row in rows],
                mode="lines+markers",
                name=condition,
                legendgroup=condition,
                showlegend=column == 1,
                line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"symbol": style.symbol, "size": 9, "color": style.colour},
                hovertext=[_hover(row) for row in rows],
                hovertemplate="%{hovertext}<extra></extra>",
                cliponaxis=False,
                row=1,
                col=column,
            )
        tokens = records(matching(frame, answer=answer, condition="intact"))
        figure.update_xaxes(
            tickvals=[row["position"] for row in tokens],
            ticktext=[shown_token(str(row["token"])) for row in tokens],
            tickangle=-45,
            showgrid=False,
            col=column,
        )
    figure.update_yaxes(range=[-0.03, 1.05], tickvals=[0, 0.5, 1], tickformat=".0%")
    figure.update_yaxes(title="probability", col=1)
    figure.update_annotations(font={"size": 13, "color": NEUTRAL})
    finish(figure, height=HEIGHT, legend=True)
    figure.update_layout(margin={"t": 62}, legend={"y": 1.16})
    return figure


def shown_token(token: str) -> str:
    """A token as a figure shows it: blanks visible, the end of the answer named, no markup."""
    return token_text(token.replace(" ", "\u00b7").replace("\n", "\u21b5")) if token else "(end)"


def _hover(row: Row) -> str:
    return (
        f"<b>{shown_token(str(row['token']))}</b><br>{row['condition']}: "
        f"{percent(float(row['probability']))}"
    )
