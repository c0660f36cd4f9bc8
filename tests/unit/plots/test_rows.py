import numpy as np

from circuitviz.plots.curves import loss_frame
from circuitviz.plots.text import matrix_frame


def test_a_map_is_a_table_with_named_rows():
    frame = matrix_frame(np.array([[1, 2, 3], [4, 5, 6]]))
    assert list(frame.columns) == ["layer", "0", "1", "2"]
    assert frame.to_numpy().tolist() == [[0, 1, 2, 3], [1, 4, 5, 6]]
    named = matrix_frame(np.eye(2), "run", ["A", "B"], ["A", "B"])
    assert named["run"].tolist() == ["A", "B"]
    assert named["B"].tolist() == [0.0, 1.0]


def test_losses_stand_beside_their_steps_the_latest_last():
    frame = loss_frame([10, 20, 30], {"removal": [3.0, 2.0, 1.0], "utility": [0.5]})
    assert frame["removal"].tolist() == [3.0, 2.0, 1.0]
    assert frame["utility"].isna().tolist() == [True, True, False]
    assert loss_frame([5], {"removal": [9.0, 1.0]})["removal"].tolist() == [1.0]
    assert loss_frame([], {"removal": [9.0]}).empty
