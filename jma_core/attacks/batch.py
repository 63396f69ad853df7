"""Many images attacked at once: each attack is written for one image, and their passes go through the network together.

Every attack runs in a greenlet of its own. Where it asks its network for a pass it pauses; once all have asked, the
passes are run as one batch, and each attack goes on with its own part of the answer. An attack that has ended leaves
the batch. All this is one thread, and always the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor

from jma_core.attacks.trail import Attack, check_image, run
from jma_core.encodings import Encoding, Target
from jma_core.network import Classifier, Loss, Network, Rows, finite
from jma_core.records import AttackResult, Halt, StopReason

Asked = tuple[Callable[[list[Any]], list[Any]], Any]
"""What answers a list of wishes at once, and one wish."""


def run_batch(
    attack: Callable[..., Attack],
    f: Classifier,
    images: Tensor,
    encoding: Encoding,
    targets: Iterable[Target],
    *,
    memory: int | None = None,
    **settings: Any,
) -> list[AttackResult]:
    """Attack images (N, C, H, W), each with its own target: one AttackResult for each.

    ``settings`` are the attack's keywords, the same for all; ``memory``, in bytes, is for all together. Results are
    those of single attacks, up to rounding, which differs with the size of a batch: a batch of one has the same bits,
    float64 agrees to 1e-9, and in float32 a walk along the network's kinks may end some percent away. Seconds include
    what an attack waits for the others. Results hold two steps each unless ``kept`` says otherwise. Raises ValueError
    unless there are N targets, and for what the attack refuses, before any of them runs.
    """
    targets = list(targets)
    if len(targets) != len(images):
        raise ValueError(f"expected {len(images)} targets, one for each image, got {len(targets)}")
    if not targets:
        return []
    host = _Host(f, memory)
    settings = {"kept": 2, **settings, "host": host}
    with host.room():
        attacks = [attack(f, x, encoding, target, **settings) for x, target in zip(images, targets, strict=True)]
        return host.serve(attacks, host.seats(check_image(images[0], settings.get("device"))))


class _Host:
    """Runs the passes that the attacks ask for."""

    def __init__(self, f: Classifier, memory: int | None) -> None:
        self._network = Network(f, memory=memory)
        self._main = getcurrent()
        self._layers: dict[str, _Layer] = {}
        self.room = self._network.room

    def __call__(self, f: Classifier, *, should_stop: Callable[[], bool], memory: int | None) -> Network:
        """The network as one of the attacks sees it. Its memory is that of all."""
        return _Guest(self, f, should_stop)

    def ask(self, *asked: Any) -> Any:
        """Called by a guest: pause until the others have asked as well, and give the answer."""
        answer = self._main.switch(asked)
        if isinstance(answer, Halt):
            raise answer
        return answer

    def seats(self, x: Tensor) -> int:
        """How many attacks on images like ``x`` fit into memory; one, which will halt, if not even one does."""
        try:
            return self._network.measure(x[None])
        except Halt:
            return 1

    def serve(self, attacks: list[Attack], seats: int) -> list[AttackResult]:
        """Run the attacks to their ends, so many at a time."""
        guests = [greenlet(partial(run, attack)) for attack in attacks]
        results: dict[int, AttackResult] = {}
        asked: dict[int, Asked] = {}
        while len(results) < len(guests):
            answers = dict(zip(asked, self._answer(list(asked.values())), strict=True))
            begun = len(results) + len(asked)
            for number in range(begun, min(len(guests), begun + seats - len(asked))):
                answers[number] = None
            for number, answer in answers.items():
                said = guests[number].switch(answer) if number in asked else guests[number].switch()
                asked.pop(number, None)
                if guests[number].dead:
                    results[number] = said
                else:
                    asked[number] = said
        return [results[number] for number in range(len(guests))]

    def _answer(self, asked: list[Asked]) -> list[Any]:
        """Answers to all wishes: those of one kind as a batch, or in halves when memory runs out."""
        kinds: dict[Any, list[int]] = {}
        for number, (method, _) in enumerate(asked):
            kinds.setdefault(method, []).append(number)
        answers: dict[int, Any] = {}
        for method, numbers in kinds.items():
            answers.update(zip(numbers, _in_parts(method, [asked[number][1] for number in numbers]), strict=True))
        return [answers[number] for number in range(len(asked))]

    def at(self, layer: str) -> _Layer:
        """The same object each time, or the wishes of several attacks would not be told to be of one kind."""
        return self._layers.setdefault(layer, _Layer(self._network, layer))

    # Each of these, and of those of a layer, takes the wishes of several attacks and gives an answer to each.

    def push(self, wishes: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        return list(self._network.tangents(*(torch.stack(part) for part in zip(*wishes, strict=True))))

    def differentiate(self, images: list[Tensor]) -> list[tuple[Tensor, _Shared, int]]:
        shared = _Shared(self._network, torch.stack(images))
        return [(z, shared, place) for place, z in enumerate(shared.z)]


@dataclass(frozen=True)
class _Layer:
    """The network as it answers with the features of a layer behind its logits, or with logits alone if it is ""."""

    network: Network
    layer: str

    def logits(self, images: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return list(self.network.call(torch.stack(images), self.layer))

    def descend(self, wishes: list[tuple[Tensor, Loss]]) -> list[tuple[Tensor, Tensor]]:
        images, losses = zip(*wishes, strict=True)
        z, gradients = self.network.gradients(torch.stack(images), losses, self.layer)
        return list(zip(z, gradients, strict=True))


class _Shared:
    """A batch of images that was differentiated once, for the rows that its attacks will ask for."""

    def __init__(self, network: Network, images: Tensor) -> None:
        self._network = network
        self._images = images
        self.z, self._pull = network.pullback(images)

    def rows(self, wishes: list[tuple[int, Tensor]]) -> list[Tensor]:
        """For each wish, a place in the batch and cotangents (k, n), the rows (k, m). Others get cotangents of zero."""
        most = max(len(cotangents) for _, cotangents in wishes)
        padded = self.z.new_zeros(most, *self.z.shape)
        for place, cotangents in wishes:
            padded[: len(cotangents), place] = cotangents
        try:
            rows = self._network.rows(self._pull, padded, self._images.numel()).reshape(*padded.shape[:2], -1)
        except Halt as halt:
            if halt.reason != StopReason.OUT_OF_MEMORY or len(self.z) == 1:
                raise
            alone = {place: _Shared(self._network, self._images[place : place + 1]) for place, _ in wishes}
            return [alone[place].rows([(0, cotangents)])[0] for place, cotangents in wishes]
        return [rows[: len(cotangents), place] for place, cotangents in wishes]


class _Guest(Network):
    """The network of one attack: asks the host for its passes, and counts them, for the host's count is everyone's."""

    def __init__(self, host: _Host, f: Classifier, should_stop: Callable[[], bool]) -> None:
        super().__init__(f, should_stop=should_stop)
        self._host = host

    def room(self) -> AbstractContextManager[None]:
        """The host's holds all the time: guests take turns, and could not leave their own in order."""
        return nullcontext()

    def logits(self, x: Tensor, layer: str = "") -> Tensor:
        self.forward += 1
        return finite(self._host.ask(self._host.at(layer).logits, x))

    def descend(self, x: Tensor, loss: Loss, layer: str = "") -> tuple[Tensor, Tensor]:
        self.forward += 1
        self.backward += 1
        z, gradient = self._host.ask(self._host.at(layer).descend, (x, loss))
        return finite(z), finite(gradient)

    def push(self, x: Tensor, delta: Tensor) -> Tensor:
        self.forward += 2
        return finite(self._host.ask(self._host.push, (x, delta)))

    def differentiate(self, x: Tensor) -> tuple[Tensor, Rows]:
        self.forward += 1
        z, shared, place = self._host.ask(self._host.differentiate, x)

        def rows(cotangents: Tensor) -> Tensor:
            self.check_stop()
            self.backward += len(cotangents)
            return finite(self._host.ask(shared.rows, (place, cotangents)))

        return finite(z), rows


def _in_parts(method: Callable[[list[Any]], list[Any]], wishes: list[Any]) -> list[Any]:
    """What ``method`` answers, in halves if memory runs out; a Halt for what does not fit alone, or halts all."""
    try:
        return method(wishes)
    except Halt as halt:
        if halt.reason != StopReason.OUT_OF_MEMORY or len(wishes) == 1:
            return [halt] * len(wishes)
    half = len(wishes) // 2
    return _in_parts(method, wishes[:half]) + _in_parts(method, wishes[half:])
