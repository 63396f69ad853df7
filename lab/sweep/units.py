"""What becomes of a unit: a picture is read, a target drawn, an attack made, and its end measured. Imports torch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from jma_core import AttackResult, asked, find, run_batch
from jma_core.metrics import distortion
from jma_core.records import FREE, Trace, reads
from lab.comparison import Contender, flips
from lab.photos.uploads import PhotoError
from lab.pictures import to_picture
from lab.request import Request
from lab.runs.launch import as_file, pool
from lab.sweep.pictures import source, split_of
from lab.sweep.plan import GIVEN, OTHER, Block, SweepError
from lab.sweep.store import Row, Sweep, code, written
from models.cards import said
from models.encodings import Answer, Prediction, Target
from models.loaders import LoadedModel, load, predictions, to_tensor

MEMORY = 2**29
"""Bytes for the gradient rows of a batch: a fixed number, for batches to be composed alike on every device."""
NEARER = 0.99
"""A hit is kept if it is as near as this, over the one before."""
DRAWS = 50
"""Other pictures that are looked at for one that reads differently."""


class Skip(Exception):
    """There is nothing to attack; the message is a sentence."""


@dataclass
class Unit:
    """One that is on its way, and its row."""

    row: Row
    number: int
    picture: NDArray[np.uint8]
    target: Target = 0
    result: AttackResult | None = None


class Worker:
    """Computes shards. It keeps the model of the last one: those of one model follow each other."""

    def __init__(self, folder: Path) -> None:
        """Raises SweepError where the code is another than that with which the sweep was begun."""
        self.sweep = Sweep(folder)
        self.plan = self.sweep.plan
        if code() != self.sweep.code:
            raise SweepError("The code here is not the one with which this sweep was begun.")
        torch.set_num_threads(self.plan.threads)

    @lru_cache(maxsize=1)  # noqa: B019, there is one worker in a process
    def _loaded(self, model: str) -> LoadedModel:
        return load(self.sweep.specs[model], self.plan.device)

    @cached_property
    def _source(self) -> Any:
        return source(self.plan.pictures)

    def __call__(self, shard: int) -> None:
        """Compute a shard and write its rows."""
        self.sweep.write(shard, self.rows(self.sweep.block(shard), self.sweep.numbers(shard)))

    def rows(self, block: Block, numbers: Sequence[int]) -> list[Row]:
        """Those of a block's units with these pictures."""
        every = [self.sweep.row(block, number) for number in numbers]
        try:
            loaded = self._loaded(block.model)
        except Exception as error:
            return [row | {"error": f"The model cannot be loaded: {said(error)}"} for row in every]
        for first in range(0, len(numbers), self.plan.batch):
            batch = slice(first, first + self.plan.batch)
            pairs = zip(every[batch], numbers[batch], strict=True)
            units = [unit for row, number in pairs for unit in self._read(row, number, loaded)]
            try:
                self._batch(block, loaded, list(self._aim(block, loaded, units)) if units else [])
            except SweepError:
                raise
            except Exception as error:  # of the network, outside an attack
                for unit in units:
                    unit.row |= {"status": "error", "error": f"The network broke off: {_told_of(error)}"}
        return every

    # --- before the attack

    def _read(self, row: Row, number: int, loaded: LoadedModel) -> Iterator[Unit]:
        """The unit with its picture; none if that cannot be read, which its row then says."""
        try:
            photo = self._source.photo(row["picture"])
            if photo.digest != row["picture_sha256"]:
                raise ValueError("It has changed since the sweep was begun.")
            yield Unit(row, number, loaded.spec.preprocessing(photo.image))
        except Exception as error:
            row["error"] = f"The picture cannot be read: {said(error)}"

    def _aim(self, block: Block, loaded: LoadedModel, units: Sequence[Unit]) -> Iterator[Unit]:
        """Those of the units that have a target, with it."""
        for unit, seen in zip(units, predictions(loaded, [unit.picture for unit in units]), strict=True):
            row = unit.row
            row["before"] = loaded.spec.encoding.names(seen.decoded)
            try:
                unit.target = self._target(block, loaded, unit, seen)
            except Skip as why:
                row |= {"status": "skipped", "error": str(why)}
                continue
            except Exception as error:
                row["error"] = f"There is no target: {said(error)}"
                continue
            text = json.dumps(unit.target)
            row |= {"target": text, "target_sha256": sha256(text.encode()).hexdigest()}
            row["wanted"] = loaded.spec.encoding.wish(unit.target)
            if loaded.spec.encoding.meets(seen, unit.target):
                row |= {"status": "skipped", "error": "The picture reads so already."}
            else:
                yield unit

    def _target(self, block: Block, loaded: LoadedModel, unit: Unit, seen: Prediction) -> Target:
        """The same for all attacks. Raises Skip, and ValueError for labels that the model does not have."""
        spec, rule = loaded.spec, block.rule
        name = unit.row["picture"]
        if self.plan.pictures.right and self.plan.pictures.data == spec.name:
            truth = self._source.truth(name)
            if not reads(seen.decoded, truth):
                raise Skip("The model does not read the picture rightly.")
        if rule.rule == GIVEN:
            labels = rule.labels.get(name) if isinstance(rule.labels, dict) else rule.labels
            if labels is None:
                raise Skip("The plan gives no target for this picture.")
            return spec.encoding.from_link(labels, [], free=False)
        drawn = sha256(repr((unit.row["picture_sha256"], rule.title, unit.row["seed"])).encode()).digest()
        rng = np.random.default_rng(int.from_bytes(drawn[:8]))
        if rule.rule == OTHER:
            return self._other(block, loaded, seen, rng)
        return rule.preset(spec.encoding)(seen, rule.k, rng)

    def _other(self, block: Block, loaded: LoadedModel, seen: Prediction, rng: np.random.Generator) -> Target:
        """What another picture reads as, or what is known of one of the data set: the first drawn that differs."""
        for _ in range(DRAWS):
            try:
                labels = self._labels(block, loaded, rng)
            except (OSError, PhotoError):  # not this unit's fault
                continue
            labels = np.where(labels == FREE, seen.decoded, labels).astype(np.int64)
            if not reads(seen.decoded, labels):
                return tuple(labels.tolist()) if labels.ndim else int(labels)
        raise Skip(f"{DRAWS} other pictures read alike.")

    def _labels(self, block: Block, loaded: LoadedModel, rng: np.random.Generator) -> Answer:
        if block.rule.split:
            if self.plan.pictures.data != loaded.spec.name:
                raise ValueError("the labels of the data set are not this model's")
            targets = self._truths(block.rule.split)
            return np.asarray(targets[int(rng.integers(len(targets)))])
        photo = self._source.photo(self.sweep.picture(int(rng.integers(len(self.sweep.pictures))))[0])
        return predictions(loaded, [loaded.spec.preprocessing(photo.image)])[0].decoded

    @lru_cache  # noqa: B019
    def _truths(self, part: str) -> NDArray[np.int64]:
        return split_of(self.plan.pictures.data, self.plan.pictures.place, part).targets

    # --- the attack, and after it

    def _batch(self, block: Block, loaded: LoadedModel, units: Sequence[Unit]) -> None:
        """Attack units together, or one by one where the clock may end an attack, or one breaks off."""
        size = 1 if block.settings.max_seconds < np.inf else max(1, len(units))
        for group in (units[first : first + size] for first in range(0, len(units), size)):
            try:
                self._attack(block, loaded, group)
            except Exception:
                for unit in group:
                    self._alone(block, loaded, unit)
        ended = [unit for unit in units if unit.result]
        _measure(loaded, ended)
        for unit in ended:
            if unit.number < self.plan.keep:
                self._keep(block, loaded, unit)

    def _alone(self, block: Block, loaded: LoadedModel, unit: Unit) -> None:
        try:
            self._attack(block, loaded, [unit])
        except Exception as error:
            unit.row["error"] = f"The attack broke off: {_told_of(error)}"

    def _keep(self, block: Block, loaded: LoadedModel, unit: Unit) -> None:
        """Save the end of an attack, rounded; or where that undoes it, the nearest picture found that is read so."""
        assert unit.result is not None
        end, row = unit.result.image, unit.row
        row |= {"file_reads": row["png_reads"], "file_l2": row["png_l2"]}
        if unit.result.success and not row["png_reads"]:
            found = as_file(_request(block, unit), loaded, unit.result)
            end = found.image
            row |= {"file_reads": found.success, "file_l2": found.distortion.l2}
        picture = Image.fromarray(to_picture(end))
        written(self.sweep.folder / "kept" / f"{unit.row['key']}.png", lambda part: picture.save(part, "PNG"))

    def _attack(self, block: Block, loaded: LoadedModel, units: Sequence[Unit]) -> None:
        """Make the attacks. Raises what they raise."""
        settings, began = block.settings, time.perf_counter()
        own: dict[str, Any] = dict(settings.own) | ({"seed": block.seed} if "seed" in dict(settings.own) else {})
        if "pool" in settings.entry.needs:
            own["pool"] = pool(_request(block, units[0]), loaded, units[0].picture.shape[1::-1])
        common = {"kappa": settings.kappa, "max_seconds": settings.max_seconds}
        attack, images = find(settings.attack), torch.stack([to_tensor(unit.picture, loaded.device) for unit in units])
        targets = [cast(Any, unit.target) for unit in units]
        results = run_batch(attack, loaded.network, images, loaded.encoding, targets, memory=MEMORY, **own, **common)
        spent = (time.perf_counter() - began) / len(units)
        for unit, result in zip(units, results, strict=True):
            unit.result = result
            unit.row |= {"seconds": spent, "batch": len(units)} | _told(loaded, _request(block, unit), result)


def _told_of(error: Exception) -> str:
    return f"{type(error).__name__}: {said(error)}"


def _request(block: Block, unit: Unit) -> Request:
    return Request(block.model, unit.row["picture_sha256"], unit.target, block.settings)


def _told(loaded: LoadedModel, request: Request, result: AttackResult) -> Row:
    """What a row says of an attack that has ended."""
    made, due, collateral = flips(loaded.spec, Contender(request, result))
    encoding = asked(loaded.encoding, cast(Any, request.target))
    wanted, before = encoding.check_target(cast(Any, request.target)), torch.from_numpy(result.logits_before)
    return (
        asdict(result.distortion)
        | hits(result.trace)
        | {
            "status": "done",
            "reason": str(result.reason),
            "success": result.success,
            "read": loaded.spec.encoding.names(result.decoded),
            "right_before": encoding.fraction_right(before, wanted),
            "right": result.fraction_right,
            "flips_asked": due,
            "flips_made": made,
            "collateral": collateral,
            "n_it": result.n_it,
            "forward": result.forward,
            "backward": result.backward,
        }
    )


def hits(trace: Trace) -> Row:
    """Passes until each hit that came nearer by 1 % or more, and its length; the nearest one in any case."""
    l2 = np.where(trace.success, trace.l2, np.inf)
    kept: list[int] = []
    for place in np.flatnonzero(trace.success):
        if not kept or l2[place] <= NEARER * l2[kept[-1]]:
            kept.append(int(place))
    if kept and (nearest := int(l2.argmin())) != kept[-1]:
        kept.append(nearest)
    return {name: getattr(trace, kind)[kept].tolist() if kept else [] for name, kind in _HITS.items()}


_HITS = {"hits_forward": "forward", "hits_backward": "backward", "hits_l2": "l2"}


def _measure(loaded: LoadedModel, units: Sequence[Unit]) -> None:
    """Round the ends of attacks to 8 bits, and read them again."""
    if not units:
        return
    pictures = [to_picture(unit.result.image) for unit in units if unit.result]
    for unit, picture, seen in zip(units, pictures, predictions(loaded, pictures), strict=True):
        assert unit.result is not None
        unit.row["png_reads"] = loaded.spec.encoding.meets(seen, unit.target)
        unit.row["png_l2"] = distortion(unit.result.original, np.moveaxis(picture, 2, 0) / np.float32(255)).l2
