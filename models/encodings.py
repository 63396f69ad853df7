"""What the outputs of a model mean, in numbers and in words: all that is known of an encoding, for whoever shows it.

jma_core.encodings has the same encodings for tensors, which attacks aim with; models/loaders.py makes those from these,
and tests/models/test_encodings.py holds both together. Which forms an answer and a target have is known here, there,
and to the one widget that asks for targets; all others hand them on. Needs no torch.

Shapes: n logits, l classes or labels, and for a target p constraints, as jma_core counts them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from jma_core.records import FREE, reads

Floats = NDArray[np.floating]
Answer = NDArray[Any]
"""What a decoder says: a class () int64, or labels (l,) bool. -1, or no label, where logits were not finite.

A one-hot model that is asked for K classes says the K first (K,), or as a set (l,) bool."""
Target = int | tuple[int, ...] | frozenset[int]
"""What is asked for: a class, or for each label whether it is wanted: 1 present, 0 absent, -1 either.

Of a one-hot model also several classes, the first in order (a tuple of them), or in any order (a set)."""
MOST = 20
"""Classes that may be asked for together."""
PATTERNS = 100
"""Error patterns that are drawn for one which is not corrected."""
CONSTANTS = {
    "thresholds": "one for each label of a multi-label model, none for others",
    "codebook": "a codeword of its own for each class of ECOC models, none for others",
}
"""The numbers that some decoders hold, as cards name them, and what is expected of them."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture: logits (n,) and the decoder's answer."""

    logits: Floats
    decoded: Answer


@dataclass(frozen=True)
class Odds:
    """A target's change, where one class takes another's place: how sure the model is now of the wanted one."""

    confidence: float


@dataclass(frozen=True)
class Ranks:
    """A target's change, where several classes are to be the first: of each of them, its rank now, from 1."""

    now: dict[int, int]


@dataclass(frozen=True)
class Bits:
    """A target's change in code bits, both (n,) bool."""

    now: NDArray[np.bool_]
    wanted: NDArray[np.bool_]


@dataclass(frozen=True)
class Flips:
    """A target's change of labels: those that must go, and those that must come."""

    gone: list[int]
    new: list[int]


Change = Odds | Ranks | Bits | Flips
Preset = Callable[[Prediction, int, np.random.Generator], Target]
"""A target that one click sets, from what the photo has: its prediction, how many labels, a source of chance."""


class Encoding(ABC):
    """One-hot, ECOC or multi-label."""

    name: ClassVar[str]
    """As cards, pages and jma_core name it."""
    rule: ClassVar[str]
    """Its decoder, in a sentence."""
    fewest: ClassVar[int]
    """Classes or labels that it needs."""
    several: ClassVar[bool]
    """Whether any number of labels can be there at once, so that an absent one can be wanted; else one class is."""
    ranked: ClassVar[bool] = False
    """Whether a target may also be several classes, in order or as a set, which are to be the first."""
    linear: ClassVar[bool] = True
    """Whether the decoder's region is that of the linear constraints; else its borders are bent."""
    score: ClassVar[str] = "Logit"
    """What each of ``scores`` is called,"""
    unit: ClassVar[str] = "logits"
    """and in what they and margins are measured."""
    sureness: ClassVar[str] = "confidence"
    """What a per cent of ``confidences`` is of."""
    threshold: ClassVar[float | None] = None
    """The confidence above which a label is there; None where the surest is, so that they compete."""
    wanting: ClassVar[Mapping[int, str]]
    """A table's words for each of the values of ``wishes``."""
    codebook: NDArray[np.int8] | None = None
    """(l, n) in {-1, 1}, where logits are bits of codewords."""
    labels: tuple[str, ...]
    """Its classes, or its labels, in the order of the outputs (of the codewords, for ECOC)."""

    @property
    def n(self) -> int:
        """Number of logits."""
        return len(self.labels)

    @property
    def constants(self) -> dict[str, NDArray[Any]]:
        """The decoder's numbers, by their names in cards and files."""
        return {}

    @property
    def logit_names(self) -> list[str]:
        """What each of the n logits is about: a class or a label, or a bit of the codeword."""
        return list(self.labels)

    # --- what logits say

    @abstractmethod
    def decode(self, logits: Floats) -> Answer:
        """The answers to logits (..., n): classes (...), or labels (..., l) bool."""

    def scores(self, logits: Floats) -> Floats:
        """What the decoder compares, of logits (..., n): these, or correlations (..., l) with codewords."""
        return logits

    @abstractmethod
    def confidences(self, logits: Floats) -> Floats:
        """How sure the model is of each class or label, (l,) in [0, 1], of logits (n,)."""

    @abstractmethod
    def present(self, decoded: Answer) -> list[int]:
        """The classes or labels that an answer names, in its order; none where logits were not finite."""

    def asked(self, target: Target | None) -> str:
        """The name by which attacks know what a target asks for; this encoding's own if there is none."""
        return self.name

    def answering(self, seen: Prediction, target: Target | None = None) -> Prediction:
        """A prediction with the answer that is compared with this target, or for none of them with the model's own."""
        return seen

    def names(self, decoded: Answer) -> str:
        """An answer in words."""
        return self._named(self.present(decoded))

    def _named(self, indices: Iterable[int]) -> str:
        return ", ".join(self.labels[i] for i in indices) or "none of its labels"

    # --- what a target asks of them

    @abstractmethod
    def wishes(self, target: Target) -> NDArray[np.int64]:
        """(l,) for each class or label whether it is wanted: 1 present, 0 absent, -1 either."""

    def wish(self, target: Target) -> str:
        """A target in words."""
        return self._named(np.flatnonzero(self.wishes(target) == 1))

    def wishes_in_words(self, target: Target) -> list[str]:
        """The same for each class or label, as a table says it."""
        return [self.wanting[each] for each in self.wishes(target).tolist()]

    def placed(self, decoded: Answer, target: Target) -> NDArray[np.bool_]:
        """(l,) whether each class or label is in an answer, which has the form of the target's.

        One that an order asks for counts only at its place.
        """
        there = np.zeros(len(self.labels), dtype=bool)
        there[self.present(decoded)] = True
        return there

    def ranks(self, logits: Floats, target: Target) -> NDArray[np.int64] | None:
        """(l,) the rank of each class, from 1, where that is what a target is about; else None."""
        return None

    def meets(self, seen: Prediction, target: Target) -> bool:
        """Whether a prediction is what is asked for, free labels aside."""
        return reads(seen.decoded, np.array(target))

    @abstractmethod
    def margins(self, logits: Floats, target: Target) -> Floats:
        """(..., p) the decoder's own margins of logits (..., n), in ``unit``: all above 0 where it reads the target."""

    @abstractmethod
    def constraint_names(self, target: Target) -> list[str]:
        """What each of the p constraints of a target is about: a label, or the class that the target must beat."""

    @abstractmethod
    def clearances(self, logits: Floats, target: Target) -> Floats:
        """(l,) how far each class or label is on the side where it is wanted, in ``unit``; below 0 on the other."""

    @abstractmethod
    def change(self, seen: Prediction, target: Target) -> Change:
        """What a target changes."""

    # --- how a target is chosen

    @property
    @abstractmethod
    def presets(self) -> dict[str, Preset]:
        """What is on offer, by its name on the page."""

    @abstractmethod
    def proposed(self, seen: Prediction) -> Target:
        """A target to begin with: a class that is far; of labels, the strongest swapped for the next best."""

    @abstractmethod
    def chosen(self, target: Target, seen: Prediction) -> Any:
        """The value with which a widget shows a target: a class's index, or the indices of all labels that are lit."""

    @abstractmethod
    def asking(self, chosen: Any, seen: Prediction, *, held: Sequence[int] | None = None) -> Target:
        """The target that such a value asks for. Of several labels, those that stay as they are float but for the
        ``held``; None holds all of them, as they are held if nothing is asked for otherwise.
        """

    def standing(self, target: Target, seen: Prediction) -> list[int]:
        """The labels that a target holds as they are, if it leaves others free."""
        return []

    def easier(self, target: Target, before: Prediction, reached: Floats) -> dict[str, Target]:
        """Targets that ask for less than one that an attack has missed, with these logits, each in a few words."""
        return {}

    # --- how it is written into an address

    @abstractmethod
    def to_link(self, target: Target) -> dict[str, list[str]]:
        """A target as entries of an address: ``want``, where labels float ``not`` and ``free``, for a set ``order``."""

    @abstractmethod
    def from_link(self, want: Sequence[str], unwanted: Sequence[str], *, free: bool, any_order: bool = False) -> Target:
        """The target of such entries, which name labels, none in both.

        Raises ValueError, with a sentence in Markdown, if there is none such.
        """


def _class(target: Target) -> int:
    return cast(int, target)


class _OfClasses(Encoding):
    """Those that read one class."""

    fewest = 2
    several = False
    wanting: ClassVar[Mapping[int, str]] = {1: "wanted", 0: ""}

    def decode(self, logits: Floats) -> Answer:
        return np.asarray(self.scores(logits).argmax(-1))

    def present(self, decoded: Answer) -> list[int]:
        return [int(decoded)] * bool(decoded >= 0)

    def wishes(self, target: Target) -> NDArray[np.int64]:
        asked: NDArray[np.int64] = np.eye(len(self.labels), dtype=np.int64)[_class(target)]
        return asked

    def margins(self, logits: Floats, target: Target) -> Floats:
        compared = self.scores(logits)
        t = _class(target)
        return np.delete(compared[..., t, None] - compared, t, axis=-1)

    def constraint_names(self, target: Target) -> list[str]:
        return [f"against {name}" for i, name in enumerate(self.labels) if i != target]

    def clearances(self, logits: Floats, target: Target) -> Floats:
        """The score of the wanted class less the largest other one; for any other, the wanted one's less its own."""
        compared, t = self.scores(logits), _class(target)
        ahead: Floats = compared[t] - compared
        ahead[t] = np.delete(ahead, t).min()
        return ahead

    @property
    def presets(self) -> dict[str, Preset]:
        return {
            "Runner-up": lambda seen, *_: self.runner_up(seen),
            "Least likely": lambda seen, *_: self.least_likely(seen),
            "Random class": lambda seen, _, rng: self.random_class(seen, rng),
        }

    def proposed(self, seen: Prediction) -> Target:
        """Of l classes the one of rank sqrt(l) after the decoded one: far from it, and not the farthest."""
        return self._other(-self.scores(seen.logits), seen, round(len(self.labels) ** 0.5))

    def runner_up(self, seen: Prediction) -> Target:
        """The class that comes next after the decoded one."""
        return self._other(-self.scores(seen.logits), seen, 1)

    def least_likely(self, seen: Prediction) -> Target:
        """Of the others than the decoded class, that of the smallest logit, or of the codeword that fits least."""
        return self._other(self.scores(seen.logits), seen, 1)

    def _other(self, values: Floats, seen: Prediction, rank: int) -> int:
        """Of the others than the decoded class, that of the smallest value, or of a rank among them, from 1."""
        others = [int(i) for i in np.argsort(values, kind="stable") if i != seen.decoded]
        return others[min(rank, len(others)) - 1]

    def random_class(self, seen: Prediction, rng: np.random.Generator) -> Target:
        """Any class but the decoded one, all equally likely."""
        return (int(seen.decoded) + int(rng.integers(1, len(self.labels)))) % len(self.labels)

    def chosen(self, target: Target, seen: Prediction) -> Any:
        return target

    def asking(self, chosen: Any, seen: Prediction, *, held: Sequence[int] | None = None) -> Target:
        return int(chosen)

    def to_link(self, target: Target) -> dict[str, list[str]]:
        return {"want": [self.wish(target)]}

    def from_link(self, want: Sequence[str], unwanted: Sequence[str], *, free: bool, any_order: bool = False) -> Target:
        if len(want) != 1 or unwanted or free or any_order:
            raise ValueError(
                "For this model one **want** was expected, which names a class, and no **not**, **free** or **order**."
            )
        return self.labels.index(want[0])


@dataclass(frozen=True)
class OneHot(_OfClasses):
    """One logit a class; the largest wins. It may be asked for several: which are the K largest, in order or as a set.

    Of equal logits the one of the smaller index counts as the larger.
    """

    name = "one-hot"
    rule = "One output a class; the largest wins."
    ranked = True

    labels: tuple[str, ...]

    @property
    def most(self) -> int:
        """Classes that may be asked for together."""
        return min(MOST, len(self.labels) - 1)

    def confidences(self, logits: Floats) -> Floats:
        """Softmax, eq. (1) of the paper."""
        weights = np.exp(logits - logits.max())
        sure: Floats = weights / weights.sum()
        return sure

    # --- what logits say

    def asked(self, target: Target | None) -> str:
        return self.name if target is None or isinstance(target, int) else "top-K"

    def answering(self, seen: Prediction, target: Target | None = None) -> Prediction:
        z = seen.logits
        if target is None or isinstance(target, int):
            return Prediction(z, self.decode(z)) if seen.decoded.ndim else seen
        ordered = isinstance(target, tuple)
        if not np.isfinite(z).all():
            return Prediction(z, np.full(len(target), -1) if ordered else self._answer([], ordered=False))
        return Prediction(z, self._answer(_ranking(z)[: len(target)].tolist(), ordered=ordered))

    def _answer(self, classes: Sequence[int], *, ordered: bool) -> Answer:
        return np.array(classes) if ordered else np.isin(np.arange(len(self.labels)), classes)

    def present(self, decoded: Answer) -> list[int]:
        if decoded.ndim == 0:
            return super().present(decoded)
        return np.flatnonzero(decoded).tolist() if decoded.dtype == bool else decoded[decoded >= 0].tolist()

    def names(self, decoded: Answer) -> str:
        classes = self.present(decoded)
        if decoded.ndim == 0 or not classes:
            return super().names(decoded)
        return self._together(classes, ordered=decoded.dtype != bool)

    def _together(self, classes: Sequence[int], *, ordered: bool) -> str:
        names = [self.labels[i] for i in classes]
        if ordered:
            return ", ".join(f"{rank}. {name}" for rank, name in enumerate(names, 1))
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) + ", in any order"

    # --- what a target asks of them

    def wishes(self, target: Target) -> NDArray[np.int64]:
        return np.isin(np.arange(len(self.labels)), _classes(target)).astype(np.int64)

    def wishes_in_words(self, target: Target) -> list[str]:
        if isinstance(target, int):
            return super().wishes_in_words(target)
        words = [""] * len(self.labels)
        for rank, i in enumerate(_classes(target), 1):
            words[i] = f"rank {rank}" if isinstance(target, tuple) else f"in the first {len(target)}"
        return words

    def wish(self, target: Target) -> str:
        if isinstance(target, int):
            return super().wish(target)
        return self._together(_classes(target), ordered=isinstance(target, tuple))

    def placed(self, decoded: Answer, target: Target) -> NDArray[np.bool_]:
        there = super().placed(decoded, target)
        if isinstance(target, tuple):
            there[list(target)] = decoded == np.array(target)
        return there

    def ranks(self, logits: Floats, target: Target) -> NDArray[np.int64] | None:
        if isinstance(target, int) or not np.isfinite(logits).all():
            return None
        return 1 + np.argsort(_ranking(logits))

    def meets(self, seen: Prediction, target: Target) -> bool:
        wanted: Any = target
        if isinstance(target, frozenset):
            wanted = self._answer(_classes(target), ordered=False)
        return reads(self.answering(seen, target).decoded, np.array(wanted))

    def margins(self, logits: Floats, target: Target) -> Floats:
        if isinstance(target, int):
            return super().margins(logits, target)
        first, others = logits[..., _classes(target)], logits[..., self._others(target)]
        if isinstance(target, tuple):
            steps = first[..., :-1] - first[..., 1:]
            return np.concatenate([steps, first[..., -1:] - others], axis=-1)
        apart: Floats = first[..., :, None] - others[..., None, :]
        return apart.reshape(*logits.shape[:-1], -1)

    def constraint_names(self, target: Target) -> list[str]:
        if isinstance(target, int):
            return super().constraint_names(target)
        first, others = ([self.labels[i] for i in each] for each in (_classes(target), self._others(target)))
        if isinstance(target, tuple):
            pairs = [*pairwise(first), *((first[-1], name) for name in others)]
        else:
            pairs = [*product(first, others)]
        return [f"{larger} against {smaller}" for larger, smaller in pairs]

    def clearances(self, logits: Floats, target: Target) -> Floats:
        """The least margin of all constraints that a class takes part in."""
        if isinstance(target, int):
            return super().clearances(logits, target)
        inside, others = _classes(target), self._others(target)
        first, clear = logits[inside], np.empty_like(logits)
        if isinstance(target, tuple):
            steps = first[:-1] - first[1:]
            clear[inside] = np.minimum([np.inf, *steps], [*steps, first[-1] - logits[others].max(initial=-np.inf)])
            clear[others] = first[-1] - logits[others]
        else:
            clear[inside] = first - logits[others].max()
            clear[others] = first.min() - logits[others]
        return clear

    def _others(self, target: Target) -> list[int]:
        return np.flatnonzero(self.wishes(target) == 0).tolist()

    def change(self, seen: Prediction, target: Target) -> Change:
        if isinstance(target, int):
            return Odds(float(self.confidences(seen.logits)[target]))
        ranks = 1 + np.argsort(_ranking(seen.logits))
        return Ranks({i: int(ranks[i]) for i in _classes(target)})

    # --- how a target is chosen

    def together(self, classes: Sequence[int], *, ordered: bool) -> Target:
        """The target of these classes, the first ones in this order, or in any. Of one class it is that class."""
        if len(classes) == 1:
            return int(classes[0])
        return tuple(map(int, classes)) if ordered else frozenset(map(int, classes))

    def next_best(self, seen: Prediction, k: int) -> tuple[int, ...]:
        """The k classes that follow the first, in their order."""
        return tuple(_ranking(seen.logits)[1 : k + 1].tolist())

    def presets_together(self, *, ordered: bool) -> dict[str, Preset]:
        """What is on offer of targets of k classes, k being how many."""

        def reverse(seen: Prediction, k: int, _: np.random.Generator) -> Target:
            return self.together(_ranking(seen.logits)[:k][::-1].tolist(), ordered=ordered)

        def following(seen: Prediction, k: int, _: np.random.Generator) -> Target:
            return self.together(self.next_best(seen, k), ordered=ordered)

        def last(seen: Prediction, k: int, _: np.random.Generator) -> Target:
            return self.together(_ranking(seen.logits)[::-1][:k].tolist(), ordered=ordered)

        def chance(seen: Prediction, k: int, rng: np.random.Generator) -> Target:
            """Any but the decoded one, without repetition, all equally likely: the targets of QuadAttacK."""
            others = _ranking(seen.logits)[1:]
            return self.together(rng.choice(others, k, replace=False).tolist(), ordered=ordered)

        reversible: dict[str, Preset] = {"Top k reversed": reverse} if ordered else {}  # as a set they are there
        return reversible | {"Next k": following, "Least likely k": last, "k at random": chance}

    def chosen(self, target: Target, seen: Prediction) -> Any:
        return target if isinstance(target, int) else _classes(target)

    def easier(self, target: Target, before: Prediction, reached: Floats) -> dict[str, Target]:
        if isinstance(target, int):
            return {}
        classes = _classes(target)
        hardest = min(classes, key=self.clearances(reached, target).__getitem__)
        fewer = self.together([i for i in classes if i != hardest], ordered=isinstance(target, tuple))
        return {f"Leave out {self.labels[hardest]}": fewer}

    # --- how it is written into an address

    def to_link(self, target: Target) -> dict[str, list[str]]:
        anyhow = {"order": ["any"]} if isinstance(target, frozenset) else {}
        return {"want": [self.labels[i] for i in _classes(target)]} | anyhow

    def from_link(self, want: Sequence[str], unwanted: Sequence[str], *, free: bool, any_order: bool = False) -> Target:
        if not 1 <= len({*want}) == len(want) <= self.most or unwanted or free:
            raise ValueError(
                f"For this model one **want** was expected, which names a class, or up to {self.most} different ones, "
                "and no **not** or **free**."
            )
        return self.together([self.labels.index(name) for name in want], ordered=not any_order)


def _classes(target: Target) -> list[int]:
    """The classes that a one-hot model is asked for: in order, or of a set by their numbers."""
    return [target] if isinstance(target, int) else list(target) if isinstance(target, tuple) else sorted(target)


def _ranking(logits: Floats) -> NDArray[np.int64]:
    """All classes, the largest logit's first."""
    return np.argsort(-logits, kind="stable")


@dataclass(frozen=True, eq=False)
class ECOC(_OfClasses):
    """One logit a code bit; the class wins whose codeword correlates best with tanh of the logits, eq. (2)."""

    name = "ECOC"
    rule = "One output a code bit; the class whose codeword agrees best wins."
    linear = False
    score, unit = "Correlation", "correlation"
    sureness = "share of the positive correlations with codewords"

    labels: tuple[str, ...]
    codebook: NDArray[np.int8]

    def __post_init__(self) -> None:
        words = len(np.unique(self.codebook, axis=0)) if self.codebook is not None else None
        if words != len(self.labels):
            raise ValueError(f"codebook: expected {CONSTANTS['codebook']}; got {words}")

    @property
    def n(self) -> int:
        return int(self.codebook.shape[1])

    @property
    def constants(self) -> dict[str, NDArray[Any]]:
        return {"codebook": self.codebook}

    @property
    def logit_names(self) -> list[str]:
        return [f"bit {i}" for i in range(1, self.n + 1)]

    def scores(self, logits: Floats) -> Floats:
        # in double: tanh of float32 has another last bit in a stack of logits than alone, on some processors
        correlations: Floats = np.tanh(logits, dtype=np.float64) @ self.codebook.T
        return correlations

    def confidences(self, logits: Floats) -> Floats:
        """Positive correlations with the codewords over their sum."""
        weights = np.maximum(self.scores(logits), 0)
        sure: Floats = weights / max(weights.sum(), np.finfo(np.float64).tiny)
        return sure

    def change(self, seen: Prediction, target: Target) -> Change:
        return Bits(seen.logits > 0, self.codebook[_class(target)] > 0)

    def error_pattern(self, seen: Prediction, count: int, rng: np.random.Generator) -> Target:
        """The class to which so many errors in the decoded class's codeword lead, as the released code draws targets.

        Bits are flipped at random, the first one never, and the nearest codeword is taken, the first of equally near
        ones; again and again, until that is another class's. If it never is, so few errors being corrected, it is the
        next class.
        """
        now = int(seen.decoded)
        for _ in range(PATTERNS):
            word = self.codebook[now].astype(int)
            word[1 + rng.choice(self.n - 1, count, replace=False)] *= -1
            if (nearest := int((self.codebook @ word).argmax())) != now:
                return nearest
        return (now + 1) % len(self.labels)


@dataclass(frozen=True)
class MultiLabel(Encoding):
    """One logit a label; a label is present where it is above its threshold. Thresholds are zero if not given."""

    name = "multi-label"
    rule = "One output a label; each above its threshold is present."
    fewest = 1
    several = True
    threshold = 0.5
    wanting = {1: "present", 0: "absent", FREE: "either"}  # noqa: RUF012

    labels: tuple[str, ...]
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.thresholds:
            object.__setattr__(self, "thresholds", (0.0,) * len(self.labels))
        if len(self.thresholds) != len(self.labels):
            raise ValueError(
                f"thresholds: expected {CONSTANTS['thresholds']}; got {len(self.thresholds)} for {len(self.labels)} "
                "labels"
            )

    @property
    def constants(self) -> dict[str, NDArray[Any]]:
        return {"thresholds": np.array(self.thresholds)}

    @property
    def _tau(self) -> Floats:
        """(n,), rounded as jma_core rounds them."""
        return np.array(self.thresholds, dtype=np.float32)

    def decode(self, logits: Floats) -> Answer:
        return logits > self._tau

    def confidences(self, logits: Floats) -> Floats:
        """Logistic function of the distance to the threshold; above one half means present."""
        sure: Floats = 1 / (1 + np.exp(np.float64(self._tau) - logits))
        return sure

    def present(self, decoded: Answer) -> list[int]:
        return np.flatnonzero(decoded).tolist()

    def wishes(self, target: Target) -> NDArray[np.int64]:
        return np.array(target, dtype=np.int64)

    def wish(self, target: Target) -> str:
        asked = self.wishes(target)
        if FREE not in asked:
            return super().wish(target)
        said = [self.labels[i] for i in np.flatnonzero(asked == 1)]
        return ", ".join(said + [f"not {self.labels[i]}" for i in np.flatnonzero(asked == 0)]) + " (other labels float)"

    def margins(self, logits: Floats, target: Target) -> Floats:
        asked = self.wishes(target)
        values: Floats = np.where(asked == 1, 1, -1)[asked != FREE] * (logits - self._tau)[..., asked != FREE]
        return values

    def constraint_names(self, target: Target) -> list[str]:
        return [name for name, wanted in zip(self.labels, self.wishes(target), strict=True) if wanted != FREE]

    def clearances(self, logits: Floats, target: Target) -> Floats:
        """s_j (z_j - tau_j), and |z_j - tau_j| for a free label, which is right on both sides."""
        above, asked = logits - self._tau, self.wishes(target)
        return np.where(asked == FREE, np.abs(above), np.where(asked == 1, above, -above))

    def change(self, seen: Prediction, target: Target) -> Change:
        asked = self.wishes(target)
        gone, new = seen.decoded & (asked == 0), ~seen.decoded & (asked == 1)
        return Flips(np.flatnonzero(gone).tolist(), np.flatnonzero(new).tolist())

    @property
    def presets(self) -> dict[str, Preset]:
        return {
            "Flip the top label": lambda seen, *_: self.flip_top(seen),
            "Swap two": lambda seen, *_: self.proposed(seen),
            "Remove all": lambda *_: (0,) * len(self.labels),
            "Flip k at random": self.flip_random,
        }

    def proposed(self, seen: Prediction) -> Target:
        sure, has = self.confidences(seen.logits), seen.decoded
        swapped = [int(np.where(has, -1, sure).argmax())]
        if has.any():
            swapped.append(int(np.where(has, sure, -1).argmax()))
        return self._flipped(has, swapped)

    def flip_top(self, seen: Prediction) -> Target:
        """Without the most confident label of those present; if there is none, with the likeliest."""
        sure, has = self.confidences(seen.logits), seen.decoded
        return self._flipped(has, [int(np.where(has, sure, -1).argmax() if has.any() else sure.argmax())])

    def flip_random(self, seen: Prediction, count: int, rng: np.random.Generator) -> Target:
        """So many labels flipped, drawn without repetition: the targets of the paper's Tables VII to IX."""
        return self._flipped(seen.decoded, rng.choice(len(self.labels), count, replace=False).tolist())

    def _flipped(self, has: Answer, places: Sequence[int]) -> Target:
        wanted = has.copy()
        wanted[places] ^= True
        return tuple(wanted.astype(int).tolist())

    def chosen(self, target: Target, seen: Prediction) -> Any:
        """Those wanted; of those that are left free, the ones that the photo has."""
        asked = self.wishes(target)
        return np.flatnonzero(np.where(asked == FREE, seen.decoded, asked)).tolist()

    def asking(self, chosen: Any, seen: Prediction, *, held: Sequence[int] | None = None) -> Target:
        labels = np.arange(len(self.labels))
        wanted = np.isin(labels, chosen)
        asked = (wanted != seen.decoded) | np.isin(labels, labels if held is None else held)
        return tuple(np.where(asked | ~asked.any(), wanted, FREE).tolist())

    def easier(self, target: Target, before: Prediction, reached: Floats) -> dict[str, Target]:
        asked, now = self.wishes(target), before.decoded.astype(np.int64)
        flips = np.flatnonzero((asked != FREE) & (asked != now))
        targets: dict[str, Target] = {}
        if (asked == now).any():
            targets["Free the other labels"] = tuple(np.where(asked == now, FREE, asked).tolist())
        if len(flips) > 1:
            hardest = flips[self.clearances(reached, target)[flips].argmin()]
            fewer = np.where(np.arange(len(asked)) == hardest, FREE if FREE in asked else now, asked)
            targets[f"Leave out {self.labels[hardest]}"] = tuple(fewer.tolist())
        return targets

    def standing(self, target: Target, seen: Prediction) -> list[int]:
        asked = self.wishes(target)
        return np.flatnonzero(asked == seen.decoded).tolist() if FREE in asked else []

    def to_link(self, target: Target) -> dict[str, list[str]]:
        asked = self.wishes(target)
        want, unwanted = ([self.labels[i] for i in np.flatnonzero(asked == value)] for value in (1, 0))
        if FREE not in asked:
            return {"want": want or [""]}
        return {name: labels for name, labels in (("want", want), ("not", unwanted)) if labels} | {"free": ["1"]}

    def from_link(self, want: Sequence[str], unwanted: Sequence[str], *, free: bool, any_order: bool = False) -> Target:
        if any_order:
            raise ValueError("For this model no **order** was expected: its labels have none.")
        if free and not (want or unwanted):
            raise ValueError("With **free**, a label was expected in **want** or **not**.")
        others = FREE if free or unwanted else 0
        return tuple(1 if name in want else 0 if name in unwanted else others for name in self.labels)


ENCODINGS: dict[str, type[Encoding]] = {each.name: each for each in (OneHot, ECOC, MultiLabel)}
"""All of them, by name."""
Plain = type[OneHot] | type[MultiLabel]
"""An encoding that labels are enough for: of networks that were made elsewhere."""
