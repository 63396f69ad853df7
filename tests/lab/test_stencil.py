"""Painted parts as text, and laid over pictures of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.request import Canvas, Request, Settings
from lab.stencil import CELLS, PRESETS, laid_over, read, written


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_a_stencil_comes_back_from_its_text(seed: int, share: float) -> None:
    stencil = np.random.default_rng(seed).random((CELLS, CELLS)) < share
    text = written(stencil)
    np.testing.assert_array_equal(read(text), stencil)
    assert written(read(text)) == text


@pytest.mark.parametrize("text", [
    "", "x", "4095", "4097", "2048.0.2048", "10.-5.4091", "4096.0", " 4096", "+4096", "1_0.4086", "4096.", "9" * 9999,
    ".".join(["1"] * 20_000), "٤٠٩٦",
])  # fmt: skip
def test_a_broken_text_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected how many of 64 x 64 cells in turn .*, got '"):
        read(text)


def test_cells_are_as_large_as_the_picture_lets_them_be() -> None:
    stencil = np.zeros((CELLS, CELLS), dtype=bool)
    stencil[:32, 16:] = True
    for height, width in ((64, 64), (224, 224), (600, 400), (32, 32)):
        laid = laid_over(stencil, height, width)
        expected = np.zeros((height, width), dtype=bool)
        expected[: height // 2, width // 4 :] = True
        np.testing.assert_array_equal(laid, expected)


def test_presets_are_where_they_are_called_after() -> None:
    shares = {name: stencil.mean() for name, stencil in PRESETS.items()}
    assert shares == {
        "Corner": 1 / 16, "Centre": pytest.approx(1 / 9, rel=0.07), "Border": 1 - (7 / 8) ** 2,
        "Sticker": pytest.approx(np.pi * 0.18**2, rel=0.02),
    }  # fmt: skip
    assert PRESETS["Corner"][-1, -1]
    assert PRESETS["Centre"][32, 32]
    assert PRESETS["Border"][0].all()
    assert not PRESETS["Border"][32, 32]
    assert all(len(written(stencil)) < 400 for stencil in PRESETS.values())


def test_a_canvas_is_painted_or_has_a_rectangle_or_long_waves() -> None:
    corner = written(PRESETS["Corner"])
    assert not Canvas(painted=corner).whole
    np.testing.assert_array_equal(Canvas(painted=corner).free(64, 64), PRESETS["Corner"])
    assert Canvas(painted=corner).told == "6.2%, painted"
    assert Canvas(region=(0.0, 0.0, 0.5, 1.0), period=8.0).told.endswith("; waves of at least 8 pixels")
    for broken in ({"region": (0.0, 0.0, 0.5, 1.0)}, {"period": 8.0}):
        with pytest.raises(ValueError, match="got two of them"):
            Canvas(painted=corner, **broken)
    with pytest.raises(ValueError, match="got one of no cells"):
        Canvas(painted="4096")


def test_an_attack_that_moves_values_one_by_one_is_refused_long_waves() -> None:
    held = Request("m", "p", 0, Settings.of("lazy"), Canvas(period=8.0))
    assert held.refused == ""
    said = Request("m", "p", 0, Settings.of("fgsm"), Canvas(period=8.0)).refused
    assert said.startswith("FGSM")
    assert "cannot be held to long waves" in said
    assert Request("m", "p", 0, Settings.of("fgsm")).refused == ""
