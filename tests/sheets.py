"""A contact sheet as one that a process has half filled, made without a network."""

from __future__ import annotations

import shutil
import tomllib

from lab.request import Settings
from lab.runs.sweeps import OwnSweep, plan
from lab.sweep.store import Sweep
from models.registry import ASSETS

SIGNS = "gtsrb-onehot"
SIGN = ASSETS / "samples" / "gtsrb" / "stop.png"
REACHED = {
    "status": "done", "success": True, "target": "3", "wanted": "limit 60", "before": "stop", "read": "limit 60",
    "l2": 1.0, "linf": 0.1, "ssim": 0.9, "forward": 9, "backward": 9, "seconds": 0.1, "reason": "success",
    "png_reads": False, "file_reads": True, "file_l2": 1.1, "flips_asked": 2, "flips_made": 2, "collateral": 0,
}  # fmt: skip
MISSED = REACHED | {"success": False, "read": "stop", "file_reads": False, "flips_made": 0}


def half_filled() -> OwnSweep:
    """Of three files one has reached its target, one has missed it, and one has not been attacked yet."""
    files = [(name, SIGN.read_bytes() + bytes([n])) for n, name in enumerate(("a.png", "b.png", "c.png"))]
    text = plan("Mine", SIGNS, {"folder": "pictures"}, ("Random class", 1), [Settings.of("ddn")], shard=2, keep=3)
    own = OwnSweep.of(text, files)
    sweep = Sweep.begin(tomllib.loads(text), own.folder, own.results)
    made = [sweep.row(sweep.blocks[0], number) | end for number, end in enumerate((REACHED, MISSED))]
    (sweep.folder / "kept").mkdir()
    for row in made:
        shutil.copy(SIGN, sweep.folder / "kept" / f"{row['key']}.png")
    sweep.write(0, made)
    return own
