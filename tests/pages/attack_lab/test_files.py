"""The files that the attack lab offers of an attack."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image

from jma_core import __version__
from lab import exports
from lab.runs import launch
from models import registry
from models.registry import MODELS
from tests.pages.attack_lab.driving import ONE_HOT, SIGNS, check_success, choose, eight_bits, encoded, logits, sample
from tests.pages.page import Page
from ui.parts import downloads


def test_a_margin_keeps_the_attack_alive_in_a_png(signs: Page) -> None:
    lab = signs.widget("slider", "Margin κ").set_value(3.0).run()
    lab.press("Run").settle()
    z = check_success(lab).logits
    wanted = MODELS[SIGNS].encoding.labels.index("stop")
    assert z[wanted] - np.delete(z, wanted).max() >= 3.0
    assert lab.says("**PNG, 8 bits**: :material/check_circle: still read as wanted")


def test_the_files_hold_the_attack_and_the_verdicts_are_true(imagenet: Page) -> None:
    lab = imagenet
    choose(lab, "Persian cat").press("Run").settle()
    result, request = check_success(lab), lab.shown().request
    files, preprocessing = downloads.files(request, result), MODELS[ONE_HOT].preprocessing

    png = Image.open(io.BytesIO(files.png))
    assert (png.format, png.mode, png.size) == ("PNG", "RGB", (384, 256))
    np.testing.assert_array_equal(preprocessing(png), eight_bits(files.end))

    with np.load(io.BytesIO(exports.npz(MODELS[ONE_HOT], request, result, saved=files.end))) as stored:
        for array in ("original", "logits", "logits_before", "decoded", "decoded_before"):
            np.testing.assert_array_equal(stored[array], getattr(result, array))
        np.testing.assert_array_equal(stored["picture"], eight_bits(files.end))
        told = json.loads(str(stored["header"]))
    assert (told["reason"], told["success"], told["distortion"]) == (result.reason, True, asdict(result.distortion))

    record = json.loads(exports.record(MODELS[request.model], request, result))
    assert record["request"] == {
        "model": ONE_HOT,
        "photo": sample("cat").digest,
        "target": MODELS[ONE_HOT].encoding.labels.index("Persian cat"),
        "settings": {
            "attack": "lazy",
            "step": 0.2,
            "max_iter": 200,
            "bisections": 6,
            "kappa": 0.0,
            "max_seconds": 300.0,
        },
        "canvas": {"native": False, "region": None, "painted": "", "period": 0.0},
    }
    assert (record["names_before"], record["names"], record["success"]) == ("tiger cat", "Persian cat", True)
    assert record["versions"] == {"jma_core": __version__} | {
        name: version(name) for name in ("torch", "timm", "numpy", "scipy")
    }
    assert record["weights_sha256"] == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert record["distortion"]["l2"] == pytest.approx(float(np.linalg.norm(result.image - result.original)), rel=1e-4)

    jpeg = Image.open(io.BytesIO(encoded(png, "JPEG", quality=90)))
    wanted = MODELS[ONE_HOT].encoding.labels.index("Persian cat")
    for file, opened in {"PNG, 8 bits": png, "JPEG, quality 90": jpeg}.items():
        z = logits(ONE_HOT, preprocessing(opened)).cpu()
        margin = float(z[wanted] - np.delete(z, wanted).max())
        (line,) = [text for text in lab.texts() if text.startswith(f"**{file}**")]
        assert ("still read as wanted" in line) == (margin > 0)
        said = f"(margin {margin:+.2g} logits).".replace("-", "−")
        assert f"reads as *{MODELS[ONE_HOT].encoding.labels[int(z.argmax())]}* {said}" in line
    assert files.verdicts["PNG, 8 bits"].survives
    assert lab.says("The files, 384 × 256 pixels, are the attacked picture, 224 × 224, and around it what the network")
    assert lab.says("The PNG holds the nearest picture found that does")
    assert lab.says(f"L2 {files.end.distortion.l2:.3f}, where the attack ended at {result.distortion.l2:.3f}.")
    assert {each.label for each in lab.get("download_button")} == {
        "Picture (PNG)",
        "Arrays (NPZ)",
        "Record (JSON)",
        "Report (HTML)",
    }
    lab.session_state["sharing"] = True
    labels = {each.label for each in lab.run().intact().get("download_button")}
    assert {"Film (GIF)", "Film (MP4)", "Film (WebP)", "Moving report", "Run to go (NPZ)"} <= labels
    python, plan = (each.value for each in lab.main.code)
    assert f"target = {request.target}\n" in python
    assert 'labels = {"cat.png" = ["Persian cat"]}' in plan
    html = downloads.html(request, result, files, downloads.credit(request))
    for text in ("Attack report: tiger cat → Persian cat", f"{result.distortion.l2:.4f}", MODELS[ONE_HOT].sha256):
        assert text in html


def test_it_is_said_when_no_picture_of_8_bits_was_found(signs: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "as_file", lambda _, __, result: replace(result, image=result.original, success=False))
    signs.widget("slider", "Margin κ").set_value(4.5).run().press("Run").settle()
    (line,) = [text for text in signs.texts() if text.startswith("**PNG, 8 bits**")]
    assert "no longer read as wanted when opened again; it reads as *give way* (margin −" in line
    assert signs.says("The PNG holds what came closest, for none was found: L2")


def test_the_record_of_an_attack_names_the_weights_of_its_own_model(signs: Page) -> None:
    signs.press("Run").settle()
    request, result = signs.shown().request, check_success(signs)
    record = json.loads(exports.record(MODELS[request.model], request, result))
    assert record["weights_sha256"] == sha256((registry.WEIGHTS / f"{SIGNS}.safetensors").read_bytes()).hexdigest()
    assert record["target_names"] == record["names"] == "stop"
