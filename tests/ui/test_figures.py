"""The curves show the numbers of the records."""

import numpy as np

from jma_core import AttackResult
from jma_core.codes import hadamard_codebook
from ui.figures import codebook, margins, norms


def test_margins_show_the_worst_constraint_after_each_update(finished: AttackResult) -> None:
    figure = margins(finished.steps, ["a", "b", "c", "d"], shown=1)
    worst = next(trace for trace in figure.data if trace.name == "worst constraint")
    np.testing.assert_allclose(worst.y, [step.values.min() for step in finished.steps])
    assert list(worst.x) == list(range(1, len(finished.steps) + 1))
    others = [trace for trace in figure.data if trace is not worst]
    active = {int(i) for step in finished.steps for i in step.active}
    assert len(others) == len(active)


def test_norms_start_at_zero_and_end_at_the_last_distance(finished: AttackResult) -> None:
    distance, full = norms(finished.steps, shown=0).data
    assert distance.y[0] == 0
    assert distance.y[-1] == finished.steps[-1].l2
    assert list(full.y) == [step.full_length for step in finished.steps]


def test_a_codebook_is_drawn_sign_by_sign_with_the_first_class_on_top() -> None:
    codewords, labels = hadamard_codebook(10, 16), [f"class {i}" for i in range(10)]
    figure = codebook(labels, codewords)
    (map_,) = figure.data
    np.testing.assert_array_equal(map_.z, codewords)
    assert list(map_.y) == labels
    assert list(map_.x) == list(range(1, 17))
    np.testing.assert_array_equal(np.array(map_.text) == "+", codewords > 0)
    assert figure.layout.yaxis.autorange == "reversed"
