"""A sweep on disk: its plan, its pictures, and the rows of its finished shards. Needs no torch.

    FOLDER/sweep.json          the plan, and all that the results depend on
    FOLDER/pictures.parquet    name and sha256 of every picture
    FOLDER/shards/00000.parquet, ...
    FOLDER/kept/KEY.png        attacked pictures, if the plan keeps some

A file is written under another name and renamed: what has its name is whole, whoever was killed when.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lab.sweep.pictures import chosen, part_of, source
from lab.sweep.plan import Block, Plan, SweepError, spec_of, told
from models.cards import ModelSpec, as_card

ROOT = Path(__file__).parents[2]
PACKED = "packed.parquet"
"""The only file of shards of a sweep that was packed."""
COMPUTES = ("jma_core", "models", "lab/photos", "lab/sweep/pictures.py", "lab/sweep/plan.py", "lab/sweep/units.py")
"""The code that results depend on."""
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "daqp", "pillow")
ABANDONED = 600.0
"""Seconds after which a file that never got its name is one of a process that was killed."""
WAY_ON = "Start this plan in another folder, or undo the change."


@dataclass(frozen=True)
class Column:
    """One thing that a row says."""

    name: str
    kind: pa.DataType
    unit: str
    """In words; "" where there is none."""
    meaning: str


TEXT, COUNT, NUMBER, TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_DISTANCE = "values from 0 to 1"
COLUMNS = (
    Column("key", TEXT, "", "hash of all that the unit depends on, the code's version included"),
    Column("case", TEXT, "", "hash of model, picture, rule and seed: the same for all attacks on one target"),
    Column("model", TEXT, "", "the model's name"),
    Column("weights", TEXT, "", "sha256 of the model's card and weights"),
    Column("picture", TEXT, "", "the picture's name in its folder, or its number in its data set"),
    Column("picture_sha256", TEXT, "", "of the file, or of the pixels of a picture in a data set"),
    Column("part", TEXT, "", "tuning or test, by that hash"),
    Column("rule", TEXT, "", "how the target was chosen"),
    Column("seed", COUNT, "", "for the target, and for attacks that have a seed"),
    Column("target", TEXT, "", "JSON: a class, or for each label 1 present, 0 absent, -1 either"),
    Column("target_sha256", TEXT, "", "of that text"),
    Column("attack", TEXT, "", "its name in the registry"),
    Column("settings", TEXT, "", "JSON: the attack and all its settings"),
    Column("norm", TEXT, "", "the norm that the attack keeps small"),
    Column("status", TEXT, "", "done; skipped, where there was nothing to attack; or error"),
    Column("error", TEXT, "", "in a sentence, why it is not done"),
    Column("reason", TEXT, "", "why the attack ended"),
    Column("success", TRUTH, "", "whether the decoder reads the target"),
    Column("before", TEXT, "", "what the original reads as, in words"),
    Column("wanted", TEXT, "", "the target in words"),
    Column("read", TEXT, "", "what the attacked image reads as, in words"),
    Column("right_before", NUMBER, "share", "of labels, bits or places of the original that agree with the target"),
    Column("right", NUMBER, "share", "of the attacked image: the paper's bASR"),
    Column("flips_asked", COUNT, "labels", "that were to change"),
    Column("flips_made", COUNT, "labels", "of these that did"),
    Column("collateral", COUNT, "labels", "that were as wanted and are not any more"),
    Column("n_it", COUNT, "updates", "as the paper counts them"),
    Column("forward", COUNT, "passes", "forward, one an image"),
    Column("backward", COUNT, "passes", "backward, one a gradient"),
    Column("l2", NUMBER, _DISTANCE, "length of the perturbation"),
    Column("linf", NUMBER, _DISTANCE, "its largest value"),
    Column("l0", COUNT, "values", "that differ, over pixels and channels"),
    Column("mse", NUMBER, f"{_DISTANCE}, squared", "mean squared change over pixels and channels"),
    Column("psnr", NUMBER, "dB", "ratio of peak to noise"),
    Column("ssim", NUMBER, "", "structural similarity, at most 1"),
    Column("png_reads", TRUTH, "", "whether the attacked picture reads as the target once it is rounded to 8 bits"),
    Column("png_l2", NUMBER, _DISTANCE, "length of the rounded perturbation"),
    Column("file_reads", TRUTH, "", "whether the kept picture reads as the target; null if none was kept"),
    Column("file_l2", NUMBER, _DISTANCE, "length of its perturbation"),
    Column("hits_forward", pa.list_(pa.int32()), "passes", "forward, at each hit that came nearer by 1 % or more"),
    Column("hits_backward", pa.list_(pa.int32()), "passes", "backward, at these"),
    Column("hits_l2", pa.list_(pa.float32()), _DISTANCE, "length at these"),
    Column("seconds", NUMBER, "seconds", "of the batch that the unit was in, over the units in it"),
    Column("batch", COUNT, "units", "attacked together"),
    Column("device", TEXT, "", "where torch ran"),
    Column("threads", COUNT, "", "of torch"),
    Column("host", TEXT, "", "the computer"),
    Column("code", TEXT, "", "hash of the code"),
    Column("versions", TEXT, "", "JSON: Python's, and those of the libraries"),
)
SCHEMA = pa.schema(
    [pa.field(each.name, each.kind, metadata={"unit": each.unit, "meaning": each.meaning}) for each in COLUMNS]
)
Row = dict[str, Any]


@cache
def code() -> str:
    """A hash of the code that results depend on."""
    found = sha256()
    for path in (ROOT / each for each in COMPUTES):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return found.hexdigest()[:16]


@cache
def versions() -> str:
    """Python's and the libraries', JSON."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[library] = version(library)
    return json.dumps(found)


def digest(spec: ModelSpec) -> str:
    """Of a model's card and weights; a hub's are known by its address."""
    weights = spec.sha256
    if isinstance(spec.weights, Path) and not weights and spec.weights.is_file():
        weights = sha256(spec.weights.read_bytes()).hexdigest()
    return hashed([spec.name, as_card(spec), weights])


def hashed(thing: Any) -> str:
    """16 digits for what JSON can say."""
    return sha256(json.dumps(thing, sort_keys=True, default=str).encode()).hexdigest()[:16]


def written(path: Path, write: Callable[[Path], Any]) -> None:
    """Have a file written under another name, and give it its own. Raises SweepError if that cannot be done."""
    part = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            with part.open("rb") as file:
                os.fsync(file.fileno())  # or a power cut might leave the name without the content
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise SweepError(
            f"{path} cannot be written: {error.strerror or error}. All finished shards are kept: make room, or mend "
            "what is wrong with the folder, and start the same command again."
        ) from error


class Sweep:
    """A sweep that was begun: units by their shards, and which of these are finished."""

    def __init__(self, folder: Path) -> None:
        """Raises SweepError if there is none in the folder."""
        self.folder = folder
        try:
            self._said = json.loads((folder / "sweep.json").read_text("utf-8"))
            self.pictures: pa.Table = pq.read_table(folder / "pictures.parquet", memory_map=True)
        except (OSError, ValueError) as error:
            raise SweepError(f"There is no sweep in {folder} that can be read: {error}.") from error
        self.plan = Plan.of(self._said["plan"], Path(self._said["base"]))
        self.specs = {address: spec_of(address) for address in self.plan.models}
        self.blocks, self.left_out = self.plan.blocks(self.specs)

    @classmethod
    def begin(cls, table: Mapping[str, Any], base: Path, folder: Path) -> Sweep:
        """Begin the sweep of a plan, or open it where it was begun. Raises SweepError if another one is there."""
        plan = Plan.of(table, base)
        specs = {address: spec_of(address) for address in plan.models}
        plan.blocks(specs)
        there = source(plan.pictures)
        depends = {
            "plan": hashed([asdict(plan.pictures) | {"folder": ""}, [*map(asdict, plan.targets)], plan.seeds]),
            "attacks": [told(each) for each in plan.attacks],
            "models": [digest(spec) for spec in specs.values()],
            "pictures": there.stamp(),
            "units": [plan.shard, plan.batch, plan.keep, plan.device, plan.threads],
            "code": code(),
            "versions": versions(),
        }
        if (folder / "sweep.json").exists():
            before = cls(folder)._said["depends"]
            if changed := [CHANGES[name] for name, value in depends.items() if before.get(name) != value]:
                raise SweepError(f"The sweep in {folder} was begun otherwise: {'; '.join(changed)}. {WAY_ON}")
        else:
            there_already = {path.name for path in folder.glob("[!.]*")} - {"pictures.parquet"}
            if there_already:
                raise SweepError(f"{folder} holds other files: name a new folder, or one with this sweep.")
            found = [{"name": name, "sha256": sha} for name, sha in chosen(plan.pictures, there)]
            if not found:
                raise SweepError(f"There are no such pictures in {plan.pictures.place}.")
            pictures = pa.Table.from_pylist(found)
            written(folder / "pictures.parquet", lambda part: pq.write_table(pictures, part))
        for part in (folder / "shards").glob(".*"):
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink(missing_ok=True)
        told_here = {"plan": table, "base": str(base), "depends": depends}
        written(folder / "sweep.json", lambda part: part.write_text(json.dumps(told_here, indent=1) + "\n"))
        return cls(folder)

    @property
    def code(self) -> str:
        """A hash of the code with which it was begun."""
        return str(self._said["depends"]["code"])

    @cached_property
    def _per_block(self) -> int:
        return -(-len(self.pictures) // self.plan.shard)

    @property
    def shards(self) -> int:
        """How many there are. A shard has pictures of one block."""
        return len(self.blocks) * self._per_block

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.blocks) * len(self.pictures)

    def block(self, shard: int) -> Block:
        """What is done in a shard."""
        return self.blocks[shard // self._per_block]

    def numbers(self, shard: int) -> range:
        """The pictures of a shard."""
        first = shard % self._per_block * self.plan.shard
        return range(first, min(first + self.plan.shard, len(self.pictures)))

    def picture(self, number: int) -> tuple[str, str]:
        """Name and sha256 of one."""
        return self.pictures["name"][number].as_py(), self.pictures["sha256"][number].as_py()

    def row(self, block: Block, number: int) -> Row:
        """The row of a unit, as far as it is known before: an error without words."""
        name, sha = self.picture(number)
        spec, entry, depends = self.specs[block.model], block.settings.entry, self._said["depends"]
        weights = depends["models"][self.plan.models.index(block.model)]
        case = [weights, sha or name, block.told()["rule"], block.seed]
        return dict.fromkeys(SCHEMA.names) | {
            "key": hashed([case, block.told(), depends["units"], depends["code"], depends["versions"]]),
            "case": hashed(case),
            "model": spec.name,
            "weights": weights,
            "picture": name,
            "picture_sha256": sha,
            "part": part_of(sha),
            "rule": block.rule.title,
            "seed": block.seed,
            "attack": entry.name,
            "settings": json.dumps(told(block.settings)),
            "norm": str(entry.norm),
            "status": "error",
            "error": "",
            "device": self.plan.device,
            "threads": self.plan.threads,
            "host": socket.gethostname(),
            "code": depends["code"],
            "versions": depends["versions"],
        }

    def path(self, shard: int) -> Path:
        """Where the rows of a finished shard are."""
        return self.folder / "shards" / f"{shard:06}.parquet"

    def missing(self) -> list[int]:
        """The shards that are not finished, in order."""
        done = {path.name for path in (self.folder / "shards").glob("*.parquet")}
        if PACKED in done:
            return []
        return [shard for shard in range(self.shards) if self.path(shard).name not in done]

    @property
    def finished(self) -> int:
        """Units of finished shards."""
        return self.units - sum(len(self.numbers(shard)) for shard in self.missing())

    def write(self, shard: int, rows: Sequence[Row]) -> None:
        """Finish a shard. Raises SweepError if its file cannot be written."""
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        written(self.path(shard), lambda part: pq.write_table(table, part, compression="zstd"))

    def pack(self, folder: Path) -> None:
        """Copy it there with the rows of all finished shards in one file, and without this computer's names.

        What was not finished is left out for good: nobody goes on with a packed sweep.
        """
        paths = sorted((self.folder / "shards").glob("*.parquet"))
        rows = pa.concat_tables(map(pq.read_table, paths)) if paths else SCHEMA.empty_table()
        host = rows.schema.get_field_index("host")
        rows = rows.set_column(host, rows.schema.field(host), pa.nulls(len(rows), TEXT))
        written(folder / "shards" / PACKED, lambda part: pq.write_table(rows, part, compression="zstd"))
        written(folder / "pictures.parquet", lambda part: pq.write_table(self.pictures, part))
        text = json.dumps(self._said | {"base": "."}, indent=1) + "\n"
        written(folder / "sweep.json", lambda part: part.write_text(text))

    def lose(self, shard: int, why: str) -> None:
        """Finish a shard with failures."""
        block = self.block(shard)
        self.write(shard, [self.row(block, number) | {"error": why} for number in self.numbers(shard)])


CHANGES = {
    "plan": "its pictures, targets or seeds differ",
    "attacks": "its attacks differ",
    "models": "its models, or their weights, differ",
    "pictures": "pictures were added, removed or changed",
    "units": "its shard, batch, keep, device or threads differ",
    "code": "the code has changed since",
    "versions": "Python or a library has another version",
}
"""What to say of each thing that results depend on."""
