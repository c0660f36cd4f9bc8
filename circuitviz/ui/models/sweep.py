"""A sweep file for the model and data that are chosen, ready to download and change."""

from __future__ import annotations

from typing import Any

import streamlit as st
import yaml

from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui.models.data import ChosenData

__all__ = ["sweep_section", "sweep_text"]

FILE = "sweep.yaml"
METHODS, SEEDS = ("nested", "attribution"), (0, 1, 2)
# Fields of a configuration that the lists of a sweep give.
LISTED = ("model", "adapter", "behaviour", "method", "seed")
HEADER = """\
# Every model is searched for every behaviour, by every method, with every seed and setting.
# Run it with: circuitviz sweep {file}
"""


def sweep_text(config: DiscoveryConfig) -> str:
    """A sweep of two methods and three seeds around a configuration, as YAML."""
    usual = DiscoveryConfig(model=config.model).to_json()
    model: Any = config.model
    if config.adapter:
        model = {"model": config.model, "adapter": config.adapter}
    settings = {
        name: value
        for name, value in config.to_json().items()
        if name not in LISTED and value != usual[name]
    }
    sweep: dict[str, Any] = {"models": [model]}
    if config.behaviour:
        sweep["behaviours"] = [config.behaviour]
    sweep |= {"methods": list(METHODS), "seeds": list(SEEDS)}
    if settings:
        sweep["settings"] = [settings]
    text = yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True, width=1000)
    return HEADER.format(file=FILE) + text


def sweep_section(config: DiscoveryConfig, data: ChosenData) -> None:
    """What a sweep is, its file and the commands that run it."""
    text = sweep_text(config)
    runs = len(METHODS) * len(SEEDS)

    def download() -> str:
        # The file names the data by its folder, which has to be there.
        data.save()
        return text

    with st.expander(
        "Many seeds, methods or models at once: a sweep", icon=":material/apps:", key="sweep"
    ):
        st.markdown(
            f"A sweep carries out every combination of its lists, {runs} discoveries here, in as "
            "many processes as this machine has room for, or on a Ray cluster. It can be stopped "
            "and goes on where it was; finished runs appear in the app as they land."
        )
        st.code(text, language="yaml", wrap_lines=True)
        if data.made:
            st.caption(
                "The file names your data by its folder. Downloading the file saves that folder, "
                "and so does finding the circuit."
            )
        st.download_button(
            f"Download {FILE}",
            download,
            FILE,
            "application/yaml",
            icon=":material/download:",
            key="download_sweep",
            on_click="ignore",
        )
        st.code(f"circuitviz sweep {FILE}\ncircuitviz sweep {FILE} --ray auto", language="bash")
