"""What a page says of a photo is of the picture that the network sees of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from jma_core import AttackResult
from lab.request import Canvas, Request
from lab.runs.attack_run import AttackRun
from models.registry import MODELS
from ui.parts import scene


@pytest.mark.parametrize("native", [False, True])
def test_a_stored_attack_tells_what_was_read_unless_it_was_made_on_the_photo_at_its_own_size(
    native: bool, finished: AttackResult, request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attacks at a photo's own size see it through a resizing that does not round, as the files' preparation does."""
    spec = MODELS["gtsrb-onehot"]
    asked = request_for(model=spec.name, canvas=Canvas(native=native))
    monkeypatch.setattr(scene, "runs", lambda: {asked: AttackRun.finished(asked, finished)})
    monkeypatch.setattr(scene, "models", lambda: SimpleNamespace(ready=lambda name: True))
    fresh = scene.Prediction(np.zeros(5), np.array(1))
    monkeypatch.setattr(scene, "predict", lambda model, picture: fresh)
    now = scene.first_sight(spec, asked.photo, np.zeros((16, 16, 3), np.uint8))
    assert now is not None
    assert now.logits is (fresh.logits if native else finished.logits_before)
