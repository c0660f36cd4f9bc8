import pytest

from circuitviz.errors import ConfigError
from circuitviz.ui.view_state import read_units, written_units


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "none"),
        (["L1H3"], "L1H3"),
        (["L1H7", "L1H3"], "L1H3.7"),
        (["L2N119", "L2N40", "L2N118", "L2N117", "L1H3"], "L1H3_L2N40.117-119"),
        (["L0H1", "L0N1", "L1H1"], "L0H1_L1H1_L0N1"),
        (["L10H2", "L2H2"], "L2H2_L10H2"),
    ],
)
def test_a_set_is_written_short_and_read_back(names, text):
    assert written_units(names) == text
    assert read_units(text) == set(names)


@pytest.mark.parametrize(
    "text", ["", "L1H", "L1X3", "L1H3,L2N4", "L1H3-", "L1H7-3", "L1N0-999999", "<b>", "L1H3__L2H1"]
)
def test_what_is_no_set_is_named(text):
    with pytest.raises(ConfigError):
        read_units(text)
