"""The last steps of the Learn page: what in a network resists an attack, its head and its training."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from jma_core.geometry import Geometry
from lab.markup import plain
from lab.photos.samples import EXAMPLE_PHOTO, samples
from lab.photos.uploads import Photo
from lab.request import Choice, Request, Settings
from lab.runs.measurements import measurements
from lab.runs.pool import models
from models.cards import ModelSpec
from models.encodings import Target
from ui.figures import lecture
from ui.parts.pictures import show
from ui.parts.scene import ANY
from ui.parts.teaching import halves, measured, metrics, riddle
from ui.shell.cached import predict
from ui.shell.session import photos, session

if TYPE_CHECKING:
    from lab.probes import Siege

LINEAR, DEEP = "scenes", "scenes-mlp"
"""Two models with the same labels on the same features: one linear layer as head, and a small network."""
FEW = 4
"""Sample pictures that are attacked: each takes a second on either network."""
ROBUST = "-robust"
"""What the name of a model ends with that differs from its twin in this alone: it was trained on attacked pictures."""


def heads() -> Request | Choice:
    """The gradients of all labels under a linear head and under a small network, on the photo at hand."""
    photo = _at_hand()
    text, picture = halves()
    with text:
        st.markdown(
            "To flip **half of the labels** at once, each has to be moved its own way. But where the gradients of "
            "two labels point in one direction, what moves the one moves the other: their **cosine** is 1, or −1 if "
            "one rises as the other falls; where they are orthogonal, and free of each other, it is 0. The "
            "**effective rank** says as how many independent gradients all of them act.\n\nBoth networks read this "
            "photo by the same features. The **head**, which makes labels of them, is **one linear layer** in one, "
            "and **a small network** in the other."
        )
        with st.container(width=160):
            show(models().specs[LINEAR].preprocessing(photo.image), photo.name)
    asked = measured([LINEAR, DEEP], partial(_comparing, photo), picture)
    if asked is None:
        return Choice(LINEAR, photo.digest)
    linear, deep, wanted = asked
    with text:
        metrics({"Cosine, linear": f"{linear.mean_cosine:.2f}", "Cosine, network": f"{deep.mean_cosine:.2f}"})
        st.caption("On average over all pairs of labels, signs aside.")
    with picture:
        figure = lecture.alike({"linear head": linear.cosines, "small network as head": deep.cosines})
        st.plotly_chart(figure, key="learn-cosines")
        st.markdown(
            f"The {linear.n} gradients act like **{linear.effective_rank:.1f}** independent ones under the linear "
            f"head, and like **{deep.effective_rank:.1f}** under the small network. Open the example, in which "
            f"{linear.n // 2} labels drawn at random are to flip, and run it; then choose the other model."
        )
        riddle(
            "Move one logit by 1, as cheaply as the pixels allow. How far do all the others go along?",
            partial(_along, linear, deep),
            "heads",
        )
    return Request(LINEAR, photo.digest, wanted, Settings())


def defence() -> Request | Choice:
    """How far an attack has to go against a network, and against its twin that was trained on attacked pictures.

    Of several such twins it is the one that reads most pictures rightly.
    """
    spec, twin = max(twins(), key=lambda pair: pair[1].scores.get("accuracy", 0.0))
    text, picture = halves()
    with text:
        st.markdown(
            "A network can be trained on pictures that are **attacked during its training**, so that it learns to read "
            "them rightly. This is **adversarial training**. It should make the same change of pixels move the logits "
            "less, so that everything costs more. Does it?"
        )
        st.markdown(f"Here are **{plain(spec.title)}** and **{plain(twin.title)}**, of one design.")
    siege = measured([spec.name, twin.name], partial(_besieging, spec, twin), picture)
    first = next(iter(samples(spec.samples)))
    if siege is None:
        return Choice(twin.name, first)
    both = (np.isfinite(siege.distances) & (siege.distances > 0)).all(0)
    ratio = float(np.exp(np.log(siege.distances[1, both] / siege.distances[0, both]).mean()))
    with text:
        plain_one, robust_one = (f"{np.median(each):.2f}" for each in siege.distances)
        metrics({"Distance, as it is": plain_one, "Distance, defended": robust_one})
        st.caption("L2 in pixels, the median over the signs. Each is attacked towards the plain network's runner-up.")
        st.markdown(
            f"Sign by sign the attack goes **{ratio:.1f} times as far** against the defended one, a geometric mean."
        )
    with picture:
        st.plotly_chart(lecture.sieges(siege.names, siege.distances), key="learn-siege")
        riddle("Is it safe now? And what did it cost?", partial(_price_of_defence, spec, twin, siege), "defence")
    return Request(twin.name, first, siege.targets[0], Settings())


def twins() -> list[tuple[ModelSpec, ModelSpec]]:
    """The models on offer whose robust twins are on offer too, with these."""
    specs = models().specs
    return [(spec, specs[f"{name}{ROBUST}"]) for name, spec in specs.items() if f"{name}{ROBUST}" in specs]


def _at_hand() -> Photo:
    """The photo that was chosen last, if it is one for these models; else that of the example."""
    offered = photos(ANY)
    example = next(each for each in samples(ANY).values() if each.name == EXAMPLE_PHOTO)
    return offered.get(session().lasting.kept.get("photo", ""), example)


def _comparing(photo: Photo) -> Future[tuple[Geometry, Geometry, Target]]:
    def compare() -> tuple[Geometry, Geometry, Target]:
        (linear, wanted), (deep, _) = (_half(name, photo) for name in (LINEAR, DEEP))
        return linear, deep, wanted

    return measurements.ask(("heads", photo.digest), compare)


def _half(name: str, photo: Photo) -> tuple[Geometry, Target]:
    """The logit space of a photo when half of a model's labels are to flip, always the same, and that target."""
    from lab.probes import space_at  # imports torch

    loaded = models().request(name).result()
    picture = loaded.spec.preprocessing(photo.image)
    encoding, now = loaded.spec.encoding, predict(name, picture)
    target = encoding.presets["Flip k at random"](now, len(encoding.labels) // 2, np.random.default_rng(0))
    return space_at(loaded, picture, target), target


def _along(linear: Geometry, deep: Geometry) -> str:
    """How far the others follow a logit that is moved by one along its own gradient, on average over all."""
    others = ~np.eye(linear.n, dtype=bool)
    least, most = (float(np.abs(each.gram / each.gram.diagonal())[others].mean()) for each in (linear, deep))
    return (
        f"By **{least:.2f}** on average under the linear head, and by **{most:.2f}** under the small network, up or "
        "down. The cheapest move of one logit is along its own gradient; each other one follows by their scalar "
        "product. Whoever wants to flip many labels has to work against all that follows the wrong way."
    )


def _besieging(spec: ModelSpec, twin: ModelSpec) -> Future[Siege]:
    def besiege() -> Siege:
        from lab.probes import besiege  # imports torch

        loaded = [models().request(each.name).result() for each in (spec, twin)]
        return besiege(loaded, [*samples(spec.samples).values()][:FEW])

    return measurements.ask(("siege", spec.name, spec.sha256, twin.sha256), besiege)


def _price_of_defence(spec: ModelSpec, twin: ModelSpec, siege: Siege) -> str:
    """How many attacks succeed all the same, and what both networks read rightly on test pictures, by their cards."""
    held = int(np.isinf(siege.distances[1]).sum())
    clean = [f"{each.scores['accuracy']:.1%}" if "accuracy" in each.scores else "not stated" for each in (spec, twin)]
    return (
        f"Of {len(siege.names)} attacks **{len(siege.names) - held}** succeed against the defended network too: it "
        "makes them dearer, not impossible. And it reads clean pictures otherwise: its test accuracy is "
        f"**{clean[1]}**, where that of the other is **{clean[0]}** (both by their cards)."
    )
