"""JMA, the Jacobian-induced Mahalanobis distance attack, on any encoding of labels.

    from jma_core import OneHot, jma, run

    result = run(jma(network, image, OneHot(1000), target=651))

The names below are imported on first use, since torch takes seconds to import and stored records do not need it.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jma_core.attacks.registry import Entry, Group, Norm, Setting, attack, catalogue, find

if TYPE_CHECKING:
    from jma_core.attacks.batch import run_batch
    from jma_core.attacks.trail import Task, Trail, run
    from jma_core.codes import hadamard_codebook
    from jma_core.encodings import ECOC, Constraints, Encoding, MultiLabel, OneHot, TopK, asked
    from jma_core.linearise import Linearisation, Solution
    from jma_core.network import Network
    from jma_core.records import AttackResult, Phase, Step, StopReason

__version__ = "0.1.0"

# Heeded only if torch is imported later. OpenMP's threads otherwise spin while they wait for each other, and on two
# cores of which another program keeps one busy, an attack of 5 s then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "attacks.batch": ["run_batch"],
    "attacks.trail": ["Task", "Trail", "run"],
    "codes": ["hadamard_codebook"],
    "encodings": ["ECOC", "Constraints", "Encoding", "MultiLabel", "OneHot", "TopK", "asked"],
    "linearise": ["Linearisation", "Solution"],
    "network": ["Network"],
    "records": ["AttackResult", "Phase", "Step", "StopReason"],
}
_ATTACKS = {entry.function: entry.name for entry in catalogue().values()}

__all__ = [
    "ECOC",
    "AttackResult",
    "Constraints",
    "Encoding",
    "Entry",
    "Group",
    "Linearisation",
    "MultiLabel",
    "Network",
    "Norm",
    "OneHot",
    "Phase",
    "Setting",
    "Solution",
    "Step",
    "StopReason",
    "Task",
    "TopK",
    "Trail",
    "asked",
    "attack",
    "catalogue",
    "find",
    "hadamard_codebook",
    "run",
    "run_batch",
    *_ATTACKS,
]


def __getattr__(name: str) -> Any:
    if name in _ATTACKS:
        return find(_ATTACKS[name])
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"jma_core.{home}"), name)
    raise AttributeError(f"module 'jma_core' has no attribute {name!r}")
