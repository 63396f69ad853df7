"""The chart of margins after transformations."""

from __future__ import annotations

from lab.aftermath import Fate, Reading, Trial
from ui.figures.survival import LOOKS, survival_chart


def test_fates_differ_in_colour_and_mark_and_margins_in_length() -> None:
    original = Reading("cat", Fate.ORIGINAL, -9.0)
    fates = {"As saved": Fate.WANTED, "JPEG": Fate.ORIGINAL, "Blur": Fate.OTHER}
    margins = {"As saved": 0.5, "JPEG": -6.0, "Blur": -2.0}
    trials = [Trial(title, Reading("<b>", fate, margins[title]), original) for title, fate in fates.items()]
    figure = survival_chart(trials, "logits")
    bars = {trace.y[0]: trace for trace in figure.data if trace.type == "bar"}
    marks = {trace.y[0]: trace for trace in figure.data if trace.type == "scatter" and len(trace.y) == 1}
    assert {title: bar.x[0] for title, bar in bars.items()} == margins
    for title, fate in fates.items():
        assert (bars[title].marker.color, marks[title].marker.symbol) == LOOKS[fate]
    assert len({*LOOKS.values()}) == len({mark for _, mark in LOOKS.values()}) == len(Fate)
    assert figure.data[-1].x == (-9.0,) * 3
    assert {*figure.data[-1].marker.symbol} == {f"{LOOKS[Fate.ORIGINAL][1]}-open"}
    assert "<b>" not in str(bars["JPEG"].text)
    assert figure.layout.yaxis.categoryarray == ("Blur", "JPEG", "As saved"), "the first is at the top"
