"""A run that is opened again tells what it told when it had just ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jma_core import AttackResult
from lab import exports
from lab.curves import curves, left_out
from lab.request import Canvas
from lab.runs.attack_run import AttackRun
from lab.store import Store
from lab.story import effort, standing, whereabouts
from models.encodings import Prediction
from tests.attacks import takes
from tests.ui.test_truth import ATTACKS, SPECS, attacked
from ui.player.moments import Moment, best_update, moments_of
from ui.player.player import Film


@pytest.mark.parametrize(
    ("kind", "attack"),
    [(kind, name) for kind in SPECS for name in ATTACKS if takes(ATTACKS[name], SPECS[kind].encoding.name)],
)
def test_a_reopened_run_has_the_numbers_curves_and_words_of_the_live_one(
    kind: str, attack: str, tmp_path: Path
) -> None:
    spec, (request, live, _) = SPECS[kind], attacked(kind, attack, seed=0, kept=256, kappa=0.0)
    store = Store(tmp_path / "runs.sqlite3")
    store.add(spec, request, live)
    again, stored = store.get(1)
    assert again == request

    def moments(result: AttackResult) -> list[Moment]:
        run = AttackRun.finished(request, result)
        return moments_of(run, result.original, Prediction(result.logits_before, result.decoded_before))

    then, now = ({moment.update: moment for moment in moments(result)} for result in (live, stored))
    assert now.keys() <= then.keys()
    assert {0, live.update, max(then)} <= now.keys()
    for update, moment in now.items():
        assert moment.title == then[update].title
        np.testing.assert_array_equal(moment.seen.logits, then[update].seen.logits)
        np.testing.assert_allclose(moment.image, then[update].image, atol=1e-3)
        if moment.step:
            assert moment.step.l2 == then[update].step.l2
            assert moment.step.certificate == then[update].step.certificate
            np.testing.assert_array_equal(moment.step.multipliers, then[update].step.multipliers)

    titles = []
    for result in (live, stored):
        best = best_update(AttackRun.finished(request, result), moments(result))
        data, _ = Film().data(spec.encoding, request.target, moments(result), best, live=False, ended=True)
        titles.append((data["shown"], [each["title"] for each in data["film"] if "(result)" in each["title"]]))
    assert titles[0] == titles[1]

    one, other = (
        curves(spec.encoding, request.target, each.logits_before, each.trace, each.steps) for each in (live, stored)
    )
    for name in ("worst", "distance", "predicted"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in one.active.keys() & other.active.keys():
        assert set(map(tuple, other.active[name])) <= set(map(tuple, one.active[name]))
    assert (left_out(stored.trace, stored.steps) == "") == (len(now) == len(then))

    assert exports.facts(spec, request, live) == exports.facts(spec, request, stored)
    for said in (
        lambda result: effort(result.steps, result),
        lambda result: standing(spec, request, Prediction(result.logits, result.decoded), result),
        lambda result: whereabouts(result.original, result.image, Canvas()),
    ):
        assert said(live) == said(stored)
    np.testing.assert_array_equal(stored.image, live.image)
