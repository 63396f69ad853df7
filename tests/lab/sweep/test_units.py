"""What rows say of units: those that are done, skipped, and failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.sweep import planned
from jma_core import find, run
from jma_core.records import Trace
from lab.photos.uploads import read_photo
from lab.pictures import to_picture
from lab.sweep import units
from lab.sweep.plan import OTHER
from lab.sweep.runner import Here
from lab.sweep.runner import run as swept
from lab.sweep.store import Row, Sweep
from lab.sweep.units import hits
from models.loaders import load, to_tensor
from models.recipes import GTSRB
from models.registry import ASSETS
from tests.lab.sweep.conftest import PHOTOS, rows

Begin = Callable[..., Sweep]


def done(sweep: Sweep) -> list[Row]:
    list(swept(sweep, Here()))
    return rows(sweep)


def test_a_row_says_what_the_attack_alone_gives(begin: Begin, toys: Path) -> None:
    sweep = begin({"attack": "ddn", "steps": 20}, batch=1, keep=1)
    found = done(sweep)
    row = found[0]
    model = load(sweep.specs[sweep.plan.models[0]])
    photo = read_photo((toys / "photos" / row["picture"]).read_bytes(), "photo")
    x = to_tensor(np.asarray(photo.image))
    result = run(find("ddn")(model.network, x, model.encoding, int(row["target"]), steps=20))
    told = {name: row[name] for name in ("success", "forward", "backward", "n_it", "l2", "l0", "mse", "ssim")}
    assert told == {name: getattr(result, name, None) or getattr(result.distortion, name, None) for name in told}
    assert (row["picture_sha256"], row["status"], row["error"]) == (photo.digest, "done", "")
    assert row["before"] == model.spec.encoding.labels[int(result.decoded_before)]
    rounded = to_tensor(to_picture(result.image))
    assert row["png_reads"] == (int(model.network(rounded[None]).argmax()) == int(row["target"]))
    assert row["png_l2"] == pytest.approx(float(torch.linalg.vector_norm(rounded - x)), rel=1e-5)
    assert row["hits_l2"][-1] == pytest.approx(row["l2"], rel=1e-5)
    assert len(list((sweep.folder / "kept").iterdir())) == 1


def test_pictures_that_are_kept_read_as_wanted_from_their_files_also_where_rounding_undoes_the_attack(
    tmp_path: Path,
) -> None:
    plan = planned({"attack": "lazy"}, models=["gtsrb-onehot"], pictures={"samples": "gtsrb", "take": 2}, keep=1)
    sweep = Sweep.begin(plan, tmp_path, tmp_path / "sweep")
    *kept, other = done(sweep)
    assert (other["file_reads"], other["file_l2"]) == (None, None)
    assert any(row["success"] and not row["png_reads"] for row in kept), "the test needs one that rounding undoes"
    model = load(sweep.specs["gtsrb-onehot"])
    for row in kept:
        saved = np.asarray(Image.open(sweep.folder / "kept" / f"{row['key']}.png"))
        photo = read_photo((ASSETS / "samples" / "gtsrb" / row["picture"]).read_bytes(), "photo")
        assert row["file_reads"]
        assert int(model.network(to_tensor(saved)[None]).argmax()) == int(row["target"])
        far = to_tensor(saved) - to_tensor(model.spec.preprocessing(photo.image))
        assert row["file_l2"] == pytest.approx(float(torch.linalg.vector_norm(far)), rel=1e-5)


def test_attacks_of_one_case_have_one_target_and_another_seed_draws_others(begin: Begin) -> None:
    found = done(begin({"attack": "fgsm"}, {"attack": "ddn", "steps": 2}, seeds=2))
    of = {(row["attack"], row["seed"], row["picture"]): row for row in found}
    pictures = {row["picture"] for row in found}
    for picture in pictures:
        for seed in (0, 1):
            one, two = of["fgsm", seed, picture], of["ddn", seed, picture]
            assert (one["case"], one["target"]) == (two["case"], two["target"])
            assert one["key"] != two["key"]
    assert [of["fgsm", 0, p]["target"] for p in pictures] != [of["fgsm", 1, p]["target"] for p in pictures]


def test_a_picture_that_cannot_be_read_is_a_row(begin: Begin, place: Path) -> None:
    (place / "photos" / "00003.png").write_bytes(b"no picture")
    found = {row["picture"]: row for row in done(begin(base=place))}
    assert len(found) == PHOTOS
    assert found["00003.png"]["status"] == "error"
    assert found["00003.png"]["error"].startswith("The picture cannot be read: This is plain text")
    assert {row["status"] for name, row in found.items() if name != "00003.png"} == {"done"}


def test_a_picture_that_changes_meanwhile_is_a_row(begin: Begin, place: Path) -> None:
    sweep = begin(base=place)
    (place / "photos" / "00003.png").write_bytes((place / "photos" / "00004.png").read_bytes())
    errors = [row["error"] for row in done(sweep) if row["status"] == "error"]
    assert errors == ["The picture cannot be read: It has changed since the sweep was begun."]


def test_an_attack_that_raises_is_a_row_and_the_others_of_its_batch_are_done(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = units.run_batch, []

    def raising(*args: Any, **settings: Any) -> Any:
        calls.append(len(args[2]))
        if len(args[2]) > 1 or len(calls) == 3:
            raise RuntimeError("out of luck")
        return real(*args, **settings)

    monkeypatch.setattr(units, "run_batch", raising)
    found = done(begin())
    assert [row["error"] for row in found if row["status"] == "error"] == [
        "The attack broke off: RuntimeError: out of luck"
    ]
    assert sum(row["status"] == "done" for row in found) == PHOTOS - 1
    assert {row["batch"] for row in found if row["status"] == "done"} == {1}


def test_a_model_that_cannot_be_loaded_is_said_in_every_row(begin: Begin, place: Path) -> None:
    sweep = begin(base=place)
    (place / "toy.safetensors").write_bytes(b"")
    assert {row["error"][:30] for row in done(sweep)} == {"The model cannot be loaded: It"}


def test_given_targets_are_the_plans_and_others_are_skipped(begin: Begin) -> None:
    labels = {"00000.png": ["a"], "00001.png": ["b"]}
    found = {row["picture"]: row for row in done(begin(targets=[{"rule": "Given", "labels": labels}]))}
    for name, (label,) in labels.items():
        assert found[name]["wanted"] == label
        assert (found[name]["status"] == "skipped") == (found[name]["before"] == label)
    assert found["00005.png"]["error"] == "The plan gives no target for this picture."


def test_labels_of_another_picture_are_what_one_reads_as(begin: Begin) -> None:
    found = done(begin(targets=[{"rule": OTHER}]))
    read = {row["before"] for row in found}
    assert len(read) > 1
    for row in found:
        assert row["wanted"] in read - {row["before"]}


def test_other_pictures_that_cannot_be_read_are_no_units_fault(begin: Begin, place: Path) -> None:
    for number in range(PHOTOS // 2):
        (place / "photos" / f"{number:05}.png").write_bytes(f"no picture {number}".encode())
    errors = [row["error"] for row in done(begin(base=place, targets=[{"rule": OTHER}]))]
    assert sum(error.startswith("The picture cannot be read") for error in errors) == PHOTOS // 2
    assert not [error for error in errors if error.startswith("There is no target")]


def test_a_network_that_breaks_off_outside_an_attack_is_said(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(units, "predictions", broken)
    assert {row["error"] for row in done(begin())} == {"The network broke off: RuntimeError: no memory"}


def test_a_time_cap_has_its_attack_run_alone(begin: Begin) -> None:
    assert {row["batch"] for row in done(begin({"attack": "fgsm", "max_seconds": 60}))} == {1}


def test_seeds_reach_the_attack(begin: Begin) -> None:
    targets = [{"rule": "Given", "labels": ["c"]}]
    found = done(begin({"attack": "apgd", "steps": 1}, seeds=2, targets=targets))
    assert all("seed" not in json.loads(row["settings"]) for row in found)
    by_seed = [[row["l2"] for row in found if row["seed"] == seed] for seed in (0, 1)]
    assert by_seed[0] != by_seed[1]


def test_data_sets_are_read_by_number_and_what_is_misread_is_left_out(tmp_path: Path, begin: Begin) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), np.arange(20)
    arrays = {f"{name}_{part}": each for part in ("train", "test") for name, each in (("x", x), ("y", y))}
    np.savez(tmp_path / "gtsrb32.npz", **arrays, track_train=np.arange(20))
    pictures = {"data": "gtsrb-onehot", "folder": str(tmp_path), "take": 3, "right": True}
    found = done(begin(models=["gtsrb-onehot"], pictures=pictures))
    assert len(found) == 3
    misread = "The model does not read the picture rightly."
    for row in found:
        assert (row["error"] == misread) == (row["before"] != GTSRB[int(row["picture"])])


def trace(l2: list[float], success: list[bool]) -> Trace:
    u = len(l2)
    count = np.arange(1, u + 1)
    return Trace(
        count,
        count,
        np.full(u, "walk"),
        np.array(success),
        np.zeros(u),
        np.zeros(u),
        np.array(l2),
        2 * count,
        count,
        np.zeros(u),
    )


def test_hits_are_those_that_come_nearer_by_a_hundredth_and_the_nearest() -> None:
    found = hits(trace([1.0, 3.0, 2.0, 1.99, 2.5, 1.5, 1.495, 1.49], [False] + [True] * 7))
    assert found == {"hits_forward": [4, 6, 12, 16], "hits_backward": [2, 3, 6, 8], "hits_l2": [3.0, 2.0, 1.5, 1.49]}
    assert hits(trace([1.0], [False])) == {"hits_forward": [], "hits_backward": [], "hits_l2": []}
    assert hits(trace([], [])) == {"hits_forward": [], "hits_backward": [], "hits_l2": []}
