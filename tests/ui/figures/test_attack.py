"""The curves show the numbers of the records."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jma_core import AttackResult
from jma_core.codes import hadamard_codebook
from lab.curves import Curves, curves
from models.cards import ModelSpec
from models.encodings import OneHot
from ui.figures.attack import codebook, margin_chart, margin_chart_of_several, norm_chart, norm_chart_of_several

SPEC = ModelSpec("m", "M", OneHot(tuple("abcde")), "vgg")


@pytest.fixture
def drawn(finished: AttackResult) -> Curves:
    return curves(SPEC.encoding, int(finished.target), finished.logits_before, finished.trace, finished.steps)


def test_margins_show_the_worst_from_the_original_on(finished: AttackResult, drawn: Curves) -> None:
    figure = margin_chart(drawn, finished.trace.phase, "logits", shown=1)
    worst = next(trace for trace in figure.data if trace.name == "worst margin")
    z, target = finished.logits_before, int(finished.target)
    before = (z[target] - np.delete(z, target)).min()
    np.testing.assert_allclose(worst.y, [before, *(step.values.min() for step in finished.steps)])
    assert list(worst.x) == list(range(len(finished.steps) + 1))
    others = [trace for trace in figure.data if trace is not worst]
    active = {int(i) for step in finished.steps for i in step.active}
    assert len(others) == len(active)
    assert all(list(trace.x) == list(worst.x) for trace in others)
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == [
        "active constraints",
        "worst margin",
    ]


def test_norms_start_at_zero_and_end_at_the_last_distance(finished: AttackResult, drawn: Curves) -> None:
    distance, full = norm_chart(drawn, finished.trace.phase, shown=0).data
    assert distance.y[0] == 0
    assert distance.y[-1] == finished.steps[-1].l2
    assert list(full.y) == [step.full_length for step in finished.steps]


def test_an_attack_that_predicts_no_steps_has_no_entry_for_them(drawn: Curves) -> None:
    without = Curves(drawn.worst, {}, drawn.distance, np.empty((0, 2)))
    assert [trace.name for trace in norm_chart(without, ["walk"] * (len(drawn.worst) - 1), shown=0).data] == [
        "distance from original"
    ]


def test_any_number_of_attacks_is_drawn(drawn: Curves) -> None:
    for count in (1, 2, 3, 4):
        several = {f"attack {i}": drawn.distance for i in range(count)}
        assert [trace.name for trace in norm_chart_of_several(several).data] == list(several)
        assert [trace.name for trace in margin_chart_of_several(several, "logits").data] == list(several)


def test_a_codebook_is_drawn_sign_by_sign_with_the_first_class_on_top() -> None:
    codewords, labels = hadamard_codebook(10, 16), [f"class {i}" for i in range(10)]
    figure = codebook(labels, codewords)
    (map_,) = figure.data
    np.testing.assert_array_equal(map_.z, codewords)
    assert list(map_.y) == labels
    assert list(map_.x) == list(range(1, 17))
    np.testing.assert_array_equal(np.array(map_.text) == "+", codewords > 0)
    assert figure.layout.yaxis.autorange == "reversed"


ROOT = Path(__file__).resolve().parents[3]
MEANWHILE = """
import sys, threading
import numpy as np
from ui.figures.attack import codebook

threading.Thread(target=__import__, args=("pandas",)).start()
while "pandas" not in sys.modules:
    pass
codebook(["a", "b"], np.array([[1, -1], [-1, 1]]))
"""


def test_a_figure_is_drawn_while_another_thread_imports_pandas() -> None:
    subprocess.run([sys.executable, "-c", MEANWHILE], cwd=ROOT, check=True, capture_output=True)


def test_every_figure_is_made_where_that_is_taken_care_of() -> None:
    makers = [path.name for path in (ROOT / "ui").rglob("*.py") for _ in range(path.read_text().count("go.Figure("))]
    assert makers == ["attack.py"]
