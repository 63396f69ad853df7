"""The first six steps of the Learn page: what each says, computes and draws. Every number in them is computed here.

A step draws itself and gives the request that its button opens in the attack lab or on the geometry page. All but two
are about the stored example, and need no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.geometry import Geometry, section_through_points
from jma_core.records import AttackResult, Phase
from lab.markup import listed, plain
from lab.photos.samples import EXAMPLE_PHOTO, samples
from lab.pictures import to_picture
from lab.request import Request, Settings
from lab.runs.example import example, example_space
from lab.runs.measurements import measurements
from lab.runs.pool import models
from models.encodings import MultiLabel, Prediction
from models.registry import MODELS
from ui.figures import lecture
from ui.parts.geometry import ACROSS, shown
from ui.parts.pictures import show
from ui.parts.resistance import defence, heads, twins
from ui.parts.teaching import Lesson, halves, measured, metrics, riddle
from ui.plane.plane import draw
from ui.player import moments
from ui.shell.session import keep, kept

if TYPE_CHECKING:
    from lab.probes import Generation, Ray

Floats = NDArray[np.floating]
HONEST = 0.1
"""The linear model is called honest while its error is at most this part of what it predicts."""
MANY, FAR = "imagenet-onehot", "alp"
"""The network with the most classes, and one that is far from a cat, for the last step."""


def logits() -> Request:
    """1: the photo's logits, thresholds and confidences."""
    request, encoding, z, decoded = _example()
    thresholds, labels = np.array(encoding.thresholds), encoding.labels
    text, picture = halves()
    with text:
        st.markdown(
            f"A **network** $f$ turns a photo $x$, which is many numbers from 0 to 1, into **{len(z)} numbers**, one "
            "for each **label** that it knows: the **logits** $z$. A label is present where its logit is above a "
            "**threshold** $τ$ of its own."
        )
        st.latex(r"z = f(x)")
        st.latex(r"\text{label } j \text{ is present} \iff z_j > \tau_j")
        photo, facts = st.columns([2, 3], gap="medium")
        with photo:
            show(to_picture(_result().original), "The photo x")
        with facts:
            most = int(z.argmax())
            key = keep("learn-label", most)
            label = st.selectbox("Label", range(len(z)), kept(key), labels.__getitem__, key)
            st.latex(r"\text{confidence} = \frac{1}{1 + e^{\tau_j - z_j}}")
        sure = encoding.confidences(z)[label]
        metrics({"Logit": f"{z[label]:.2f}", "Threshold": f"{thresholds[label]:.2f}", "Confidence": f"{sure:.2%}"})
        read = plain(encoding.names(decoded))
        st.markdown(f"This photo has **{len(encoding.present(decoded))}** of {len(z)} labels: **{read}**.")
    with picture:
        st.plotly_chart(lecture.logits(z, thresholds, labels, label), key="learn-logits")
        riddle("Which absent label is nearest to being read?", partial(_next_best, encoding, z, decoded), "logits")
    return request


def target() -> Request:
    """2: wanted labels are linear constraints on the logits."""
    request, encoding, z, decoded = _example()
    now, labels = Prediction(z, decoded), encoding.labels
    first = encoding.chosen(request.target, now)
    text, picture = halves()
    with text:
        st.markdown(
            "Choose the labels that you want. Of this network, which reads each label by itself, each one, wanted or "
            "not, asks **one thing of one logit**, a **constraint**:"
        )
        st.latex(r"s_j\,(z_j - \tau_j) \ge 0")
        st.latex(r"s_j = \begin{cases} +1 & \text{wanted} \\ -1 & \text{unwanted} \end{cases}")
        key = keep("learn-wanted", first)
        wanted = st.pills(
            "Wanted labels", range(len(z)), selection_mode="multi", default=kept(key),
            format_func=lambda i: plain(labels[i]), key=key, wrap=True,
        )  # fmt: skip
        asked = encoding.asking(wanted, now)
        values = encoding.margins(z, asked)
        metrics(
            {"Violated constraints": f"{(values < 0).sum()} of {len(values)}", "Worst margin": f"{values.min():.2f}"}
        )
        st.markdown(
            "The left side is the constraint's **margin**; it is violated while that is negative. All constraints "
            "together make the **target region** of the logits, with a row of $A$ for each and flat borders:"
        )
        st.latex(r"\{\, z : A z \ge h \,\}")
        st.subheader("Of other networks", anchor=False)
        st.markdown(
            "- **One class $t$ of many**: the largest logit is read, so $(e_t - e_i)·z ≥ 0$ against each rival class "
            "$i$, with $e_i$ the $i$-th unit vector.\n"
            "- **Codewords** (ECOC): each logit stands for a bit, each class $i$ for a word $c_i$ of $±1$. Read is "
            "the word that agrees best with $\\tanh z$. So the constraints that are aimed at, $(c_t - c_i)·z ≥ 0$, "
            "are not those by which it is read, $(c_t - c_i)·\\tanh z > 0$, whose borders are bent. Whether an "
            "attack has succeeded is always asked of what reads."
        )
    with picture:
        st.plotly_chart(lecture.constraint_bars(values, encoding.labels), key="learn-margins")
        riddle("How far, in logits, is the photo from the region?", partial(_straight_on, values), "target")
    return replace(request, target=asked)


def linear() -> Request:
    """3: the network against its linear model along the cheapest perturbation."""
    request, encoding, z, _ = _example()
    space = example_space().space
    place = int(np.abs(space.pull).argmax())
    logit = int(space.index[place])
    text, picture = halves()
    with text:
        st.markdown(
            "Which change $δ$ of the pixels moves the logits into the region? The network is too tangled to say. But "
            "**nearby it is linear**: each logit has a **gradient**, which says how fast each pixel moves it, and the "
            "gradients are the rows of the **Jacobian** $J$:"
        )
        st.latex(r"f(x + t\,\delta) \;\approx\; z + t\,J\delta, \qquad J = \frac{\partial f}{\partial x}")
    seen = measured([request.model], lambda: _looking_along(request.model, request.photo), picture)
    if seen is None:
        return request
    with text:
        lengths = seen.factors.tolist()
        key = keep("learn-t", 1.0)
        t = st.select_slider("Look as far as t =", lengths, kept(key), "{:.3g}".format, key)
        error = errors(seen, logit)[lengths.index(t)]
        size = space.cheapest.length
        metrics({"Error of the linear model": f"{error:.1%}", "Length of t δ, pixels": f"{t * size:.4f}"})
        st.caption(
            "A length in pixels is ‖δ‖, the root of the sum of squares over all pixels and colours, from 0 to 1 each."
        )
        honest = honest_until(seen, logit)
        reach = f"up to t = {honest:.3g}, a length of **{honest * size:.4f}**" if honest else "nowhere that we looked"
        promised, came = (f"{end[-1, logit]:+.2f}".replace("-", "−") for end in (seen.predicted, seen.actual))
        st.markdown(
            f"The model is within {HONEST:.0%} of the truth {reach}. The whole step has length {size:.3f}: there the "
            f"model promises {promised}, and **{came}** comes."
        )
    with picture:
        figure = lecture.ray(seen, logit, float(z[logit]), encoding.logit_names[logit], t)
        st.plotly_chart(figure, key="learn-ray")
        riddle(
            "Twice as far along δ: is the error of the linear model twice as large?",
            partial(_twice, seen, logit),
            "linear",
        )
    return request


def cheapest() -> Request:
    """4: the nearest point of the region, the cheapest, and all between them."""
    request, encoding, _, _ = _example()
    stored = example_space()
    space, section = stored.space, section_through_points(stored.space)
    text, picture = halves()
    with text:
        st.markdown(
            "Many points of the region can be aimed at. The **nearest** to z, $r'$, is found with a circle. But pixels "
            "pay, not logits: the shortest change $δ$ of the pixels that moves the logits by $d$ has the length"
        )
        st.latex(r"\lVert\delta\rVert = \sqrt{d^{\top} M\, d}, \qquad M = (J J^{\top})^{+}")
        st.markdown(
            "This is a **Mahalanobis distance**: a length that weighs each direction. In statistics $M$ is the "
            "inverse of a covariance, so that what varies much counts little. Here the **Jacobian induces** it: $J "
            "J^{\\top}$ is the covariance of the logits when every pixel gets noise of its own, and what pixels move "
            "easily is cheap. ($^{+}$ is the inverse, or the pseudo-inverse where some direction cannot be moved at "
            "all.) Hence **JMA**, the Jacobian-induced Mahalanobis distance attack."
        )
        st.markdown(
            "The distance is equal on an **ellipse**. Grown until it touches the region, it does so at the "
            "**cheapest** point, $r^*$."
        )
        key = keep("learn-weight", 0.5)
        weight = st.slider("From r′ (0) to r∗ (1)", 0.0, 1.0, kept(key), 0.05, key=key)
        point = (1 - weight) * section.nearest + weight * section.cheapest
        cost, far = section.effort(point), float(np.linalg.norm(point - section.z))
        metrics({"Distance, logits": f"{far:.2f}", "Cost, pixels": f"{cost:.3f}"})
        st.markdown(f"This point costs **{cost / space.cheapest.length:.2f} times** what r∗ costs.")
        away = [np.abs(each.logits - space.z) for each in (space.nearest, space.cheapest)]
        times, moved = np.linalg.norm(away[1]) / np.linalg.norm(away[0]), int((away[0] > 1e-9).sum())
        st.markdown(
            f"r∗ is **{times:.1f} times as far** as r′ in logits, and r′ costs **{space.price:.1f} times as much** in "
            f"pixels: it moves {moved} logits and holds {len(space.z) - moved}, against gradients that would take them "
            f"along (their mean cosine is {space.mean_cosine:.2f}, signs aside)."
        )
    with picture:
        drawn = shown(encoding, stored, request.target, section, ACROSS, [], free=point)
        draw(section, replace(drawn, landed=()), key="learn-plane")
        riddle(
            "Which single label is the cheapest to move by one logit, and which the dearest?",
            partial(_unit_costs, space, encoding.labels),
            "ellipse",
        )
    return request


def walk() -> Request:
    """5: Algorithm 1 on the stored example."""
    request, encoding, z, decoded = _example()
    result, landing = _result(), example_space().cheapest
    text, picture = halves()
    walked = [step for step in result.steps if step.phase == Phase.WALK]
    halvings = sum(step.phase == Phase.BISECT for step in result.steps)
    gap = max(step.certificate.gap for step in result.steps if step.certificate)
    with text:
        st.markdown(
            "The linear model is true nearby only. So take **a short step**, of length ε, and **ask for the gradients "
            "again**. Once a whole step would arrive, halve the last one a few times to end nearer:"
        )
        st.latex(r"\delta^* = \arg\min \tfrac12 \lVert\delta\rVert^2 \;\text{ s.t. }\; A(z + J\delta) \ge h")
        st.latex(r"x \leftarrow x + \varepsilon\, \delta^* / \lVert\delta^*\rVert")
        last = len(result.steps)
        key = keep("learn-update", last)
        update = st.slider("Update", 0, last, kept(key), key=key)
        step = result.steps[update - 1] if update else None
        worst = step.margin if step else encoding.margins(z, request.target).min()
        facts = {"Worst margin": f"{worst:.2f}", "Length, pixels": f"{step.l2 if step else 0.0:.3f}"}
        if step and step.certificate:
            facts["Duality gap"] = f"{step.certificate.gap:.0e}"
        metrics(facts)
        if "Duality gap" in facts:
            st.caption(
                "The duality gap bounds by how much the step could be improved for its linear model: 0 proves it the "
                "best."
            )
        never = (
            f", and none in its direction arrives, up to {landing.cap:g} times as long"
            if np.isinf(landing.factor)
            else ""
        )
        at_once, in_steps = (plain(encoding.names(each.decoded)) for each in (landing, result))
        length = dict(request.settings.own)["step"]
        st.markdown(
            f"The whole step at once reads as **{at_once}**{never}. **{len(walked)} steps of {length}** "
            f"and {halvings} halvings of the last one read as "
            f"**{in_steps}**, at length **{result.distortion.l2:.3f}**. The largest duality gap "
            f"of all is {gap:.0e}: each step is the shortest for its linear model, though not for the network."
        )
    with picture:
        image, read = (step.image, step.decoded) if step else (result.original, decoded)
        moments.charts(encoding, request.target, z, result.trace, result.steps, update)
        with st.container(width=240):
            show(to_picture(image), f"Update {update} reads as {encoding.names(read)}")
        riddle(
            "The walk turns at every step. How much longer is it than the way straight back?",
            partial(_detour, result),
            "walk",
        )
    return request


def lazy() -> Request:
    """6: constraint generation on the network with the most classes."""
    spec = MODELS[MANY]
    photo = next(each for each in samples(spec.samples).values() if each.name == EXAMPLE_PHOTO)
    encoding = spec.encoding
    request = Request(MANY, photo.digest, encoding.from_link([FAR], [], free=False), Settings())
    text, picture = halves()
    with text:
        st.markdown(
            f"Each gradient takes a **backward pass** through the network. With {len(encoding.labels)} classes the "
            f"whole Jacobian takes {encoding.n} of them at each step. But few constraints **bind**, which is to say "
            "hold the step up. So, **lazily: ask for the rows of a few, S, solve, predict the rest:**"
        )
        st.latex(r"\delta_S = \arg\min \tfrac12 \lVert\delta\rVert^2 \;\text{ s.t. }\; A_S(z + J\delta) \ge h_S")
        st.markdown(
            "One forward-mode derivative $J\\,δ_S$ tells which of the others are violated. Add the worst; repeat."
        )
    made = measured([MANY], lambda: _generating(request), picture)
    if made is None:
        return request
    with text:
        last = len(made.rounds)
        key = keep("learn-round", 1)
        number = st.select_slider("Round", range(1, last + 1), kept(key), key=key) if last > 1 else 1
        this = made.rounds[number - 1]
        rows, missed = int(this.asked.sum()), int(this.violated.sum())
        metrics({"Rows asked for": f"{rows} of {len(this.asked)}", "Others violated": f"{missed}"})
        proof = made.solution.certificate
        st.markdown(
            f"**{missed} others are violated**: the answer is not allowed yet."
            if missed
            else "**No other is violated.** Fewer constraints can only make the step shorter; this one obeys them all, "
            f"so it is **the optimum of the whole problem**: gap between primal and dual {proof.gap:.0e}, "
            f"{proof.covered} of {proof.total} constraints covered."
        )
        st.markdown(
            f"In all {made.backward} backward passes, where the Jacobian takes {made.outputs}: "
            f"**{made.outputs / made.backward:.0f} times fewer**."
        )
        names = encoding.constraint_names(request.target)
    with picture:
        figure = lecture.generation(made, number - 1, names)
        st.plotly_chart(figure, key="learn-rows")
        st.caption(f"The same photo, to be read as {plain(encoding.wish(request.target))}. A mark is a rival class.")
        riddle(
            "Which rivals does it ask about? Those farthest ahead?",
            partial(_asked_for, made, names),
            "lazy",
        )
    return request


HALF = 7
"""The step on half of the labels."""


def lessons() -> list[Lesson]:
    """All steps; the last one only while there is a network with a defended twin."""
    return [
        Lesson("Logits", "What is a logit?", logits, "lab"),
        Lesson("Target", "What is a target?", target, "lab"),
        Lesson("Linear model", "How far is a network linear?", linear, "geometry"),
        Lesson("Ellipse", "Why does the ellipse matter?", cheapest, "geometry"),
        Lesson("Walk", "How does the attack get there?", walk, "lab"),
        Lesson("Lazy rows", "How do lazy rows find the same optimum?", lazy, "lab"),
        Lesson("Half", "Why is half of the labels hard?", heads, "lab"),
        *[Lesson("Defence", "What would a defence do?", defence, "lab")] * bool(twins()),
    ]


def _next_best(encoding: MultiLabel, z: Floats, decoded: NDArray[Any]) -> str:
    """The absent label whose logit is nearest to its threshold."""
    short = np.array(encoding.thresholds) - z
    i = int(np.where(decoded, np.inf, short).argmin())
    return (
        f"**{plain(encoding.labels[i])}**: its logit is {short[i]:.2f} below its threshold, its confidence "
        f"{encoding.confidences(z)[i]:.2%}. But the nearest in logits is not always what the fewest pixels bring about."
    )


def _straight_on(values: Floats) -> str:
    """The distance to a region whose constraints are about one logit each."""
    short = -values[values < 0]
    if not len(short):
        return "It is there already: no constraint is violated."
    parts = " + ".join(f"{each:.2f}²" for each in short)
    return (
        f"**{np.linalg.norm(short):.2f}**: each constraint is about one logit alone, so by Pythagoras √({parts}). That "
        "nearest point will be called r′. Whether it is a good one to aim at is another question."
    )


def _twice(seen: Ray, logit: int) -> str:
    """How the error of the linear model of one logit grows, where it is small and at the end."""
    wrong, t = errors(seen, logit), seen.factors
    told = []
    for far in (t[-1], t[len(t) // 2]):
        near = int(np.abs(t - far / 2).argmin())
        here = int(np.abs(t - far).argmin())
        told.append(
            f"t = {t[near]:.3g} to {t[here]:.3g} it goes from {wrong[near]:.1%} to {wrong[here]:.1%}, "
            f"**{wrong[here] / wrong[near]:.1f} times**"
        )
    return (
        f"From {'; from '.join(told)}. Of a smooth network the part that the linear model leaves out grows with the "
        "square of the way, so that as a share of what is predicted it doubles, while the way is short."
    )


def _unit_costs(space: Geometry, labels: Sequence[str]) -> str:
    """The cheapest and the dearest logit, with all others free to follow."""
    free, held = space.unit_costs
    low, high = int(free.argmin()), int(free.argmax())
    return (
        f"**{plain(labels[low])}**, at {free[low]:.3f} in pixels, and **{plain(labels[high])}**, at "
        f"{free[high]:.3f}, if the others may follow: it is one over the length of the label's gradient. Held back, "
        f"the others make it dearer: {held[low]:.3f} and {held[high]:.3f}."
    )


def _detour(result: AttackResult) -> str:
    """The length of the walk, update by update, beside the distance that it has come to."""
    walked = [result.original, *(step.image for step in result.steps if step.phase == Phase.WALK)]
    moves = [after.astype(np.float64) - before for before, after in pairwise(walked)]
    way, away = sum(map(np.linalg.norm, moves)), np.linalg.norm(walked[-1].astype(np.float64) - walked[0])
    turn = np.sum(moves[0] * moves[-1]) / (np.linalg.norm(moves[0]) * np.linalg.norm(moves[-1]))
    return (
        f"The {len(moves)} steps before the last are **{way:.3f}** long together, and end **{away:.3f}** from the "
        f"photo: **{way / away:.2f} times** as long. The first and the last of them have a cosine of {turn:.2f}."
    )


def _asked_for(made: Generation, names: Sequence[str]) -> str:
    """The constraints whose rows were asked for, with their places among all by what is violated most now."""
    places = np.argsort(np.argsort(made.before, kind="stable"), kind="stable") + 1
    asked = sorted(np.flatnonzero(made.rounds[-1].asked).tolist(), key=places.__getitem__)
    told = listed([f"{plain(names[i])} ({places[i]})" for i in asked])
    return (
        f"In all it asks about {len(asked)} of {len(names)}; in brackets their places by what is violated most now: "
        f"{told}. It begins with the worst, and asks about others only when a step for those would violate them."
    )


def errors(seen: Ray, logit: int) -> Floats:
    """(s,) error of the linear model of one logit along a ray, as a part of the change that it predicts."""
    return np.abs(seen.actual[:, logit] / seen.predicted[:, logit] - 1)


def honest_until(seen: Ray, logit: int) -> float:
    """The last t before the error of the linear model first exceeds HONEST; 0 if it does so at once."""
    within = np.logical_and.accumulate(errors(seen, logit) <= HONEST)
    return float(seen.factors[within][-1]) if within.any() else 0.0


def _example() -> tuple[Request, MultiLabel, Floats, NDArray[Any]]:
    """The stored example: its request, its model's encoding, and the photo's logits and labels."""
    request, result = example().request, _result()
    encoding = MODELS[request.model].encoding
    assert isinstance(encoding, MultiLabel)  # the lecture begins with thresholds
    return request, encoding, result.logits_before, result.decoded_before


def _result() -> AttackResult:
    result = example().result
    assert result is not None  # it is stored
    return result


def _looking_along(model: str, photo: str) -> Future[Ray]:
    return measurements.ask(("along", model, photo), lambda: _look_along(model, photo))


def _look_along(model: str, photo: str) -> Ray:
    from lab.probes import look_along

    spec = MODELS[model]
    picture = spec.preprocessing(samples(spec.samples)[photo].image)
    return look_along(models().request(model).result(), picture, example_space().space.cheapest.delta)


def _generating(request: Request) -> Future[Generation]:
    return measurements.ask(("generation", request), lambda: _generate(request))


def _generate(request: Request) -> Generation:
    from lab.probes import generate

    spec = MODELS[request.model]
    picture = spec.preprocessing(samples(spec.samples)[request.photo].image)
    return generate(models().request(request.model).result(), picture, request.target)
