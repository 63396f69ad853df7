"""The tables of a sweep say what its rows say, and the commands and the example plans work."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image

from lab.sweep.__main__ import _shown, main
from lab.sweep.plan import Plan, spec_of
from lab.sweep.report import Results, Table, write
from lab.sweep.statistics import optimality, paired, share_interval
from lab.sweep.store import ROOT, SCHEMA, Sweep
from models.registry import MODELS
from tests.lab.sweep.conftest import rows

PLANS = sorted((ROOT / "examples" / "plans").glob("*.toml"))
Begin = Callable[..., Sweep]

MADE_UP = {
    "status": "done", "target": "0", "success": True, "mse": 0.5, "ssim": 0.9, "flips_asked": 2, "flips_made": 1,
    "collateral": 0, "right": 1.0, "right_before": 0.5, "n_it": 3, "forward": 10, "backward": 5, "seconds": 0.1,
}  # fmt: skip


@pytest.fixture
def results(begin: Begin) -> Sweep:
    """Two attacks of twelve units each, made up: the second fails in the first, and is skipped in the second."""
    sweep = begin({"attack": "fgsm"}, {"attack": "ddn", "steps": 7}, shard=12)
    for shard in range(2):
        rows = []
        for number in sweep.numbers(shard):
            row = sweep.row(sweep.block(shard), number)
            result = MADE_UP | {"l2": 1.0 + number * (1 + shard), "png_reads": number > 5}
            if shard and number == 0:
                result |= {"success": False, "right": 0.0}
            if shard and number == 1:
                result = {"status": "skipped", "error": "The picture reads so already."}
            rows.append(row | result)
        sweep.write(shard, rows)
    return sweep


def test_the_overview_says_what_the_rows_say(results: Sweep) -> None:
    overview, pairs, failures = Results(results.folder).tables()
    found = {row[0]: dict(zip(overview.head, row, strict=True)) for row in overview.rows}
    ddn, fgsm = found["ddn"], found["fgsm"]
    assert (ddn["n"], ddn["skipped"], ddn["errors"]) == (12, 1, 0)
    assert (ddn["tried"], ddn["reached"], ddn["ASR"]) == (11, 10, pytest.approx(10 / 11))
    assert (ddn["ASR, low"], ddn["ASR, high"]) == share_interval(10, 11)
    assert ddn["bASR"] == pytest.approx(10 / 11)
    assert (ddn["bASR, clean"], ddn["flips made"], ddn["collateral"]) == (0.5, 0.5, 0)
    assert ddn["median L2"] == np.median([np.inf, *(1.0 + 2 * n for n in range(2, 12))])
    assert fgsm["median L2"] == 6.5
    assert fgsm["PNG reads"] == 0.5
    one, two = [1.0 + n for n in (0, *range(2, 12))], [np.inf, *(1.0 + 2 * n for n in range(2, 12))]
    assert (fgsm["optimality"], ddn["optimality"]) == pytest.approx(tuple(optimality([one, two])))
    ((first, second, *figures),) = pairs.rows
    assert (first, second) == ("ddn", "fgsm")
    expected = paired(two, one)
    assert figures[:4] == [expected.wins, expected.ties, expected.losses, pytest.approx(expected.ratio)]
    assert failures.rows == [("skipped", "The picture reads so already.", 1)]


def test_the_files_are_written_in_three_forms(results: Sweep) -> None:
    said = write(Results(results.folder), results.folder)
    assert said.startswith("24 of 24 units are finished.")
    assert "| fgsm |" in said
    assert r"bASR, clean & flips made" in (results.folder / "report.tex").read_text()
    with (results.folder / "report-1.csv").open() as file:
        table = list(csv.DictReader(file))
    assert float(table[0]["ASR"]) == pytest.approx(10 / 11)


def test_curves_are_those_of_the_hits(begin: Begin) -> None:
    sweep = begin(shard=12)
    hits = [([2, 4], [1, 2], [3.0, 1.0]), ([6], [3], [2.0]), ([], [], [])]
    rows = [sweep.row(sweep.block(0), number) | MADE_UP for number in range(3)]
    for row, (forward, backward, l2) in zip(rows, hits, strict=True):
        row |= {"hits_forward": forward, "hits_backward": backward, "hits_l2": l2}
        row |= {"success": bool(l2), "l2": l2[-1] if l2 else 9.0}
    sweep.write(0, rows)
    curves: dict[str, dict[float, float]] = {}
    for _, curve, at, value in Results(sweep.folder).curves("toy", "Random class").rows:
        curves.setdefault(str(curve), {})[float(at or 0)] = float(value or 0)
    assert curves == {
        "share within L2": {1.0: pytest.approx(1 / 3), 2.0: pytest.approx(2 / 3)},
        "median L2 within backward": {1: np.inf, 2: np.inf, 3: 2.0},
        "median L2 within passes": {at: 2.0 if at == 9 else np.inf for at in range(1, 10)},
    }


def test_cells_are_escaped() -> None:
    table = Table("t", ["a_b", "c"], [["x|y 5 %", 0.123456], [None, float("nan")]])
    assert table.as_markdown() == "| a_b | c |\n| --- | --- |\n| x\\|y 5 % | 0.1235 |\n| – | – |"
    assert r"a\_b & c \\" in table.as_latex()
    assert r"x|y 5 \% & 0.1235 \\" in table.as_latex()


def test_sweeps_are_read_while_they_run(begin: Begin) -> None:
    sweep = begin()
    sweep.lose(1, "lost")
    assert write(Results(sweep.folder), sweep.folder).startswith("4 of 12 units are finished.")


def test_a_sweep_of_which_nothing_is_finished_has_no_tables(begin: Begin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(begin().folder)]) == 1
    assert "Nothing is finished" in capsys.readouterr().err


def test_the_commands_follow_each_other(toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out = ROOT / "examples" / "plans" / "signs.toml", tmp_path / "out"
    (tmp_path / "two").mkdir()
    for name in ("00000.png", "00001.png"):
        (tmp_path / "two" / name).write_bytes((toys / "photos" / name).read_bytes())
    given = [str(plan), "--folder", str(tmp_path / "two")]
    assert main(["run", *given, "--out", str(out)]) == 0
    assert main(["status", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    said = capsys.readouterr().out
    units = 2 * len(Sweep(out).blocks)
    assert f"All {units} units are finished." in said
    assert f"{units} of {units} units are finished, {units // 2} of {units // 2} shards." in said
    assert "median L2" in said
    assert main(["run", *given, "--out", str(out)]) == 0


def test_an_estimate_times_each_attack(toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.toml").write_text(
        f'models = ["{toys}/toy.toml"]\nseeds = [0, 1, 2]\n[pictures]\nfolder = "{toys}/photos"\n'
        '[[targets]]\nrule = "Random class"\n'
        '[[attacks]]\nattack = "fgsm"\n[[attacks]]\nattack = "ddn"\nsteps = [2, 3]\n'
    )
    assert main(["estimate", str(tmp_path / "plan.toml")]) == 0
    *attacks, total = capsys.readouterr().out.splitlines()
    assert len(attacks) == 3
    assert total.startswith("108 units, 9 for each of 12 pictures: about ")


def test_the_time_left_is_told_without_the_beginning(
    begin: Begin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", iter([1000.0, 1060.0, 1120.0]).__next__)  # the first shard took 1,000 s
    assert list(_shown(iter(range(3)), begin(shard=4))) == [0, 1, 2]
    told = [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert told == ["4 of 12 units", "8 of 12 units, 60 s left", "12 of 12 units, 0 s left"]


def test_what_is_wrong_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "no.toml"), "--out", str(tmp_path / "out")]) == 1
    assert "no.toml cannot be read as a plan" in capsys.readouterr().err


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_an_example_is_short_and_fits_its_models(path: Path) -> None:
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 16
    plan = Plan.of(tomllib.loads(path.read_text("utf-8")), path.parent)
    blocks, out = plan.blocks({address: spec_of(address) for address in plan.models})
    assert blocks
    assert out == []


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small image sets, made of the sample pictures, which is a folder of photos as well."""
    folder, samples = tmp_path_factory.mktemp("sets"), ROOT / "assets" / "samples"
    signs = sorted((samples / "gtsrb").iterdir())
    x = np.stack([np.asarray(Image.open(path).convert("RGB").resize((32, 32))) for path in signs])
    y = np.array([MODELS["gtsrb-onehot"].encoding.labels.index(path.stem.replace("_", " ")) for path in signs])
    arrays = {f"{name}_{part}": each for part in ("train", "test") for name, each in (("x", x), ("y", y))}
    np.savez(folder / "gtsrb32.npz", **arrays, track_train=np.arange(len(y)))
    photos = sorted((samples / "photos").iterdir())
    tables = ("corel5k/labels_objects.csv", "images", "water"), ("voc2007/labels.csv", "test", "cat")
    for table, place, word in tables:
        (folder / table).parent.mkdir()
        (folder / table).with_name(place).mkdir()
        lines = [f"id,split,{word},people"]
        for number, path in enumerate(photos):
            lines.append(f"{number},{'trainval' if place == 'images' and number % 2 else 'test'},{number % 3 % 2},1")
            Image.open(path).convert("RGB").save((folder / table).with_name(place) / f"{number}.jpg")
        (folder / table).write_text("\n".join(lines) + "\n")
    return folder


SHORTER = {
    "cw": {"searches": 3, "steps": 100, "c": 10.0},
    "lazy": {"max_iter": 60},
    "ml_cw": {"searches": 3, "steps": 60},
    "mla_lp": {"max_iter": 8},
    "refined": {"steps": 60},
}
"""Settings with which attacks take seconds where the plans' take minutes."""


@pytest.mark.slow
@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_an_example_runs_on_a_few_pictures(path: Path, sets: Path, tmp_path: Path) -> None:
    plan = tomllib.loads(path.read_text("utf-8"))
    plan["pictures"] |= {"take": 3 if "data" in plan["pictures"] else 1}
    plan["attacks"] = [
        SHORTER.get(name, {}) | each | {"attack": name}
        for each in plan["attacks"]
        for name in np.atleast_1d(each["attack"]).tolist()
    ]
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(plan))
    folder = ["--folder", str(sets)] if "folder" in plan["pictures"] else []
    out = tmp_path / "out"
    assert main(["run", str(tmp_path / "plan.toml"), *folder, "--out", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    found = rows(Sweep(out))
    assert {row["status"] for row in found} <= {"done", "skipped"}
    assert {row["attack"] for row in found if row["success"]} == {row["attack"] for row in found}


def test_there_are_five_examples() -> None:
    assert len(PLANS) == 5
    assert len(SCHEMA.names) == len(set(SCHEMA.names))
