"""What a plan may say, what it unfolds into, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.sweep import planned
from lab.sweep.pictures import Folder, chosen, part_of
from lab.sweep.plan import Pictures, Plan, SweepError, read_plan, spec_of
from models.registry import MODELS

ZOO = {"models": ["scenes", "gtsrb-onehot"]}


def plan(*attacks: dict[str, Any], **more: Any) -> Plan:
    return Plan.of(planned(*(attacks or [{"attack": "fgsm"}]), **ZOO | more), Path("/somewhere"))


def blocks(made: Plan) -> tuple[list[Any], list[str]]:
    return made.blocks({name: spec_of(name) for name in made.models})


def test_lists_of_settings_are_attacks_of_their_own() -> None:
    made = plan({"attack": "refined", "steps": [50, 100], "kappa": [0, 1]}, {"attack": "ddn"})
    assert [(each.attack, dict(each.own).get("steps"), each.kappa) for each in made.attacks] == [
        ("refined", 50, 0), ("refined", 50, 1), ("refined", 100, 0), ("refined", 100, 1), ("ddn", 100, 0),
    ]  # fmt: skip


def test_models_targets_seeds_and_attacks_unfold_and_what_does_not_fit_is_said() -> None:
    rules = [{"rule": "Flip k at random", "k": 2}, {"rule": "Remove all"}]
    made = plan({"attack": "ddn"}, {"attack": "sema"}, models=["scenes"], targets=rules, seeds=3)
    found, out = blocks(made)
    assert len(found) == 2 * 2 * 3
    assert out == []
    found, out = blocks(
        plan({"attack": "ddn"}, {"attack": "ml_deepfool"}, targets=[{"rule": "Labels of another picture"}])
    )
    assert [(block.model, block.settings.attack) for block in found] == [
        ("scenes", "ddn"), ("scenes", "ml_deepfool"), ("gtsrb-onehot", "ddn"),
    ]  # fmt: skip
    assert out == ["ML-DeepFool is left out for gtsrb-onehot: it cannot be asked for one-hot."]


def test_a_one_hot_model_can_be_asked_for_several_classes() -> None:
    rules = [{"rule": "k at random", "k": 3}]
    found, out = blocks(plan({"attack": "quadattack"}, {"attack": "pgd"}, models=["gtsrb-onehot"], targets=rules))
    assert "quadattack" in {block.settings.attack for block in found}
    assert [sentence for sentence in out if "top-K" in sentence] == out


def test_error_patterns_are_a_rule_for_codewords_alone() -> None:
    rules = [{"rule": "Error pattern", "k": 5}]
    ((block,), _) = blocks(plan({"attack": "ecoc"}, models=["mnist-ecoc16"], targets=rules))
    assert block.rule.title == "Error pattern, k = 5"
    with pytest.raises(SweepError, match="'Error pattern' is no rule for one-hot"):
        blocks(plan({"attack": "ddn"}, models=["gtsrb-onehot"], targets=rules))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": ["scenes"]}, r"Unknown entries: model\. A plan may hold attacks, batch"),
        ({"models": "scenes"}, r"^models: expected a list, got 'scenes'"),
        ({"models": []}, r"^models: expected at least one"),
        ({"models": ["scenes", "scenes"]}, "counts? twice|count twice"),
        ({"pictures": {}}, "^pictures: expected samples"),
        ({"pictures": {"samples": "photos", "folder": "x"}}, "^pictures: expected samples"),
        ({"pictures": {"samples": "photos", "takes": 3}}, "^pictures: expected samples, folder, .* got 'takes'"),
        ({"pictures": {"samples": "photos", "take": "3"}}, "expected take of type int, got '3'"),
        ({"pictures": {"samples": "photos", "right": True}}, "expected data beside right"),
        ({"pictures": {"folder": "x", "part": "train"}}, "a part of tuning or test"),
        ({"targets": [{"rule": "Given"}]}, "^targets: expected labels with rule"),
        ({"targets": [{"rule": "Random class", "k": 0}]}, "expected k of at least 1"),
        ({"attacks": [{"attack": "refind"}]}, "^attacks: expected an attack, one of"),
        ({"attacks": [{"attack": "ddn", "step": 1}]}, "^attacks: ddn has no setting step"),
        ({"attacks": [{"attack": "ddn", "steps": -1}]}, "^attacks: expected steps to be a whole number"),
        (
            {"attacks": [{"attack": "ddn", "steps": [50, 10**9]}]},
            "steps to be a whole number from 1 to 100000, got 10{9}",
        ),
        ({"attacks": [{"attack": "apgd", "seed": 1}]}, "no seed in an attack"),
        ({"seeds": [True]}, "^seeds: expected a whole number"),
        ({"shard": 0}, "at least 1"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SweepError, match=said):
        Plan.of(planned({"attack": "fgsm"}, **ZOO) | change, Path())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"targets": [{"rule": "Random labels"}]},
            "'Random labels' is no rule for multi-label models. They have: Flip",
        ),
        ({"targets": [{"rule": "Random class"}], "models": ["scenes"]}, "no rule for multi-label"),
        ({"targets": [{"rule": "Given", "labels": ["tiger", "yeti"]}]}, r"'yeti'.* are no labels of this model"),
        ({"models": ["scene"]}, "models: expected scenes, .* got 'scene'"),
        ({"models": ["no.toml"]}, "The model .*no.toml cannot be used"),
    ],
)
def test_what_does_not_fit_its_models_is_said(more: dict[str, Any], said: str) -> None:
    with pytest.raises(SweepError, match=said):
        blocks(plan(**more))


def test_a_plan_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(SweepError, match=r"Nothing is left of this plan\. ML-DeepFool is left out for gtsrb-onehot"):
        blocks(plan({"attack": "ml_deepfool"}, models=["gtsrb-onehot"]))


def test_a_file_that_is_no_plan_is_said(tmp_path: Path) -> None:
    for content in (b"models = [", b"\xff"):
        (tmp_path / "plan.toml").write_bytes(content)
        with pytest.raises(SweepError, match="cannot be read as a plan"):
            read_plan(tmp_path / "plan.toml")
    with pytest.raises(SweepError, match="No such file"):
        read_plan(tmp_path / "none.toml")


def test_another_folder_takes_the_place_of_the_plans(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[pictures]\nsamples = "photos"\ntake = 3\n')
    assert read_plan(tmp_path / "plan.toml", "elsewhere")["pictures"] == {
        "take": 3, "folder": str(Path("elsewhere").resolve())
    }  # fmt: skip


def test_pictures_are_split_by_hash_and_taken_from_everywhere(toys: Path) -> None:
    source = Folder(toys / "photos")
    every = dict(chosen(Pictures(folder="x"), source))
    parts = [dict(chosen(Pictures(folder="x", part=part), source)) for part in ("tuning", "test")]
    assert parts[0] | parts[1] == every
    assert not parts[0].keys() & parts[1].keys()
    assert [*every] != sorted(every)
    assert [*chosen(Pictures(folder="x", take=5), source)] == [*every.items()][:5]
    digests = [f"{first:02x}" for first in range(256)]
    assert sum(part_of(digest) == "tuning" for digest in digests) == 64


def test_the_same_picture_is_taken_once(place: Path) -> None:
    (place / "photos" / "copy.png").write_bytes((place / "photos" / "00000.png").read_bytes())
    assert len(list(chosen(Pictures(folder="x"), Folder(place / "photos")))) == 12


def test_every_model_of_the_zoo_is_known_by_its_name() -> None:
    assert all(spec_of(name) is spec for name, spec in MODELS.items())
