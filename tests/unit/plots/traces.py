"""Looking into figures."""

import plotly.graph_objects as go


def named(figure: go.Figure, name: str) -> list[go.Scatter]:
    """The traces that have a name."""
    return [trace for trace in figure.data if trace.name == name]
