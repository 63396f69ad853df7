"""The six steps of the Learn page: what each says, computes and draws. Every number in them is computed here.

A step draws itself and gives the request that its button opens in the attack lab or on the geometry page. All but two
are about the stored example, and need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from jma_core.geometry import section_through_points
from jma_core.records import AttackResult, Halt, Phase
from lab.markup import plain
from lab.photos.samples import EXAMPLE_PHOTO, samples
from lab.pictures import to_picture
from lab.request import Request, Settings
from lab.runs.example import example, example_space
from lab.runs.measurements import failed, measurements
from lab.runs.pool import models
from models.encodings import MultiLabel, Prediction
from models.registry import MODELS
from ui.figures import lecture
from ui.figures.space import plane
from ui.parts.geometry import ACROSS, shown
from ui.parts.pictures import show
from ui.parts.scene import POLL, wait_for, watch
from ui.player import moments
from ui.shell.session import keep, kept

if TYPE_CHECKING:
    from lab.probes import Generation, Ray

Floats = NDArray[np.floating]
Outcome = TypeVar("Outcome")
HONEST = 0.1
"""The linear model is called honest while its error is at most this part of what it predicts."""
MANY, FAR = "imagenet-onehot", "alp"
"""The network with the most classes, and one that is far from a cat, for the last step."""


@dataclass(frozen=True)
class Lesson:
    """One step of the lecture."""

    name: str
    question: str
    draw: Callable[[], Request]
    opens: str
    """Where its example is opened: "lab" or "geometry"."""


def logits() -> Request:
    """1: the photo's logits, thresholds and confidences."""
    request, encoding, z, decoded = _example()
    thresholds, labels = np.array(encoding.thresholds), encoding.labels
    text, picture = _halves()
    with text:
        st.markdown(
            f"A network $f$ turns a photo $x$ into **{len(z)} numbers**, one for each label that it knows: the "
            "**logits** $z$. A label is present where its logit is above its threshold $τ$."
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
        _metrics({"Logit": f"{z[label]:.2f}", "Threshold": f"{thresholds[label]:.2f}", "Confidence": f"{sure:.2%}"})
        read = plain(encoding.names(decoded))
        st.markdown(f"This photo has **{len(encoding.present(decoded))}** of {len(z)} labels: **{read}**.")
    with picture:
        st.plotly_chart(lecture.logits(z, thresholds, labels, label), key="learn-logits")
    return request


def target() -> Request:
    """2: wanted labels are linear constraints on the logits."""
    request, encoding, z, decoded = _example()
    now, labels = Prediction(z, decoded), encoding.labels
    first = encoding.chosen(request.target, now)
    text, picture = _halves()
    with text:
        st.markdown("Choose the labels that you want. Each label, wanted or unwanted, asks **one thing of one logit**:")
        st.latex(r"s_j\,(z_j - \tau_j) \ge 0")
        st.latex(r"s_j = \begin{cases} +1 & \text{wanted} \\ -1 & \text{unwanted} \end{cases}")
        key = keep("learn-wanted", first)
        wanted = st.pills(
            "Wanted labels", range(len(z)), selection_mode="multi", default=kept(key),
            format_func=lambda i: plain(labels[i]), key=key, wrap=True,
        )  # fmt: skip
        asked = encoding.asking(wanted, now)
        values = encoding.margins(z, asked)
        _metrics(
            {"Violated constraints": f"{(values < 0).sum()} of {len(values)}", "Worst margin": f"{values.min():.2f}"}
        )
        st.markdown("All of them together are the **target region** of the logits, with flat borders:")
        st.latex(r"\{\, z : A z \ge h \,\}")
        st.caption(
            "Other networks have other rows in A. One class t of many: $(e_t - e_i)·z ≥ 0$ for each rival i. "
            "Codewords: $(c_t - c_i)·z ≥ 0$, which is what the attack aims at; their decoder sees $\\tanh z$, which "
            "bends the borders."
        )
    with picture:
        st.plotly_chart(lecture.constraint_bars(values, encoding.labels), key="learn-margins")
    return replace(request, target=asked)


def linear() -> Request:
    """3: the network against its linear model along the cheapest perturbation."""
    request, encoding, z, _ = _example()
    space = example_space().space
    place = int(np.abs(space.pull).argmax())
    logit = int(space.index[place])
    text, picture = _halves()
    with text:
        st.markdown(
            "Which change of the pixels $δ$ moves the logits into the region? The network is too tangled to say. But "
            "**nearby it is linear**, with the gradients of its logits as rows of the Jacobian $J$:"
        )
        st.latex(r"f(x + t\,\delta) \;\approx\; z + t\,J\delta, \qquad J = \frac{\partial f}{\partial x}")
    seen = _measured(request.model, lambda: _looking_along(request.model, request.photo), picture)
    if seen is None:
        return request
    with text:
        lengths = seen.factors.tolist()
        key = keep("learn-t", 1.0)
        t = st.select_slider("Look as far as t =", lengths, kept(key), "{:.3g}".format, key)
        error = errors(seen, logit)[lengths.index(t)]
        size = space.cheapest.length
        _metrics({"Error of the linear model": f"{error:.1%}", "Length of t δ, pixels": f"{t * size:.4f}"})
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
    return request


def cheapest() -> Request:
    """4: the nearest point of the region, the cheapest, and all between them."""
    request, encoding, _, _ = _example()
    measured = example_space()
    space, section = measured.space, section_through_points(measured.space)
    text, picture = _halves()
    with text:
        st.markdown(
            "Many points of the region can be aimed at. The **nearest** to z, $r'$, is found with a circle. But pixels "
            "pay, not logits, and a displacement $d$ of the logits costs"
        )
        st.latex(r"\lVert\delta\rVert = \sqrt{d^{\top} (J J^{\top})^{-1} d}")
        st.markdown("which is equal on an **ellipse**. Where it touches the region is the **cheapest** point, $r^*$.")
        key = keep("learn-weight", 0.5)
        weight = st.slider("From r′ (0) to r∗ (1)", 0.0, 1.0, kept(key), 0.05, key=key)
        point = (1 - weight) * section.nearest + weight * section.cheapest
        cost, far = section.effort(point), float(np.linalg.norm(point - section.z))
        _metrics({"Distance, logits": f"{far:.2f}", "Cost, pixels": f"{cost:.3f}"})
        st.markdown(f"This point costs **{cost / space.cheapest.length:.2f} times** what r∗ costs.")
        away = [np.abs(each.logits - space.z) for each in (space.nearest, space.cheapest)]
        times, moved = np.linalg.norm(away[1]) / np.linalg.norm(away[0]), int((away[0] > 1e-9).sum())
        alike = np.abs(space.cosines[np.triu_indices(len(space.z), 1)]).mean()
        st.markdown(
            f"r∗ is **{times:.1f} times as far** as r′ in logits, and r′ costs **{space.price:.1f} times as much** in "
            f"pixels: it moves {moved} logits and holds {len(space.z) - moved}, though the gradients of all are alike "
            f"(mean cosine {alike:.2f}, signs aside)."
        )
    with picture:
        drawn = replace(shown(encoding, measured, request.target, section, ACROSS, [], free=point), landed=())
        figure = plane(section, drawn).update_layout(legend_font_size=lecture.TYPE)
        st.plotly_chart(figure, key="learn-plane")
    return request


def walk() -> Request:
    """5: Algorithm 1 on the stored example."""
    request, encoding, z, decoded = _example()
    result, landing = _result(), example_space().cheapest
    text, picture = _halves()
    walked = [step for step in result.steps if step.phase == Phase.WALK]
    halvings = sum(step.phase == Phase.BISECT for step in result.steps)
    gap = max(step.certificate.gap for step in result.steps if step.certificate)
    with text:
        st.markdown(
            "The linear model is true nearby only. So take **a short step** and **ask for the gradients again**:"
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
        _metrics(facts)
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
    return request


def lazy() -> Request:
    """6: constraint generation on the network with the most classes."""
    spec = MODELS[MANY]
    photo = next(each for each in samples(spec.samples).values() if each.name == EXAMPLE_PHOTO)
    encoding = spec.encoding
    request = Request(MANY, photo.digest, encoding.from_link([FAR], [], free=False), Settings())
    text, picture = _halves()
    with text:
        st.markdown(
            f"With {len(encoding.labels)} classes, the whole Jacobian takes {encoding.n} backward passes at each step. "
            "But few constraints bind. **Ask for a few rows, solve, predict the rest:**"
        )
        st.latex(r"\delta_S = \arg\min \tfrac12 \lVert\delta\rVert^2 \;\text{ s.t. }\; A_S(z + J\delta) \ge h_S")
        st.markdown(
            "One forward-mode derivative $J\\,δ_S$ tells which of the others are violated. Add the worst; repeat."
        )
    made = _measured(MANY, lambda: _generating(request), picture)
    if made is None:
        return request
    with text:
        last = len(made.rounds)
        key = keep("learn-round", 1)
        number = st.select_slider("Round", range(1, last + 1), kept(key), key=key) if last > 1 else 1
        this = made.rounds[number - 1]
        rows, missed = int(this.asked.sum()), int(this.violated.sum())
        _metrics({"Rows asked for": f"{rows} of {len(this.asked)}", "Others violated": f"{missed}"})
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
    with picture:
        figure = lecture.generation(made, number - 1, encoding.constraint_names(request.target))
        st.plotly_chart(figure, key="learn-rows")
        st.caption(f"The same photo, to be read as {plain(encoding.wish(request.target))}. A mark is a rival class.")
    return request


LESSONS = (
    Lesson("Logits", "What is a logit?", logits, "lab"),
    Lesson("Target", "What is a target?", target, "lab"),
    Lesson("Linear model", "How far is a network linear?", linear, "geometry"),
    Lesson("Ellipse", "Why does the ellipse matter?", cheapest, "geometry"),
    Lesson("Walk", "How does the attack get there?", walk, "lab"),
    Lesson("Lazy rows", "How do lazy rows find the same optimum?", lazy, "lab"),
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


def _halves() -> Sequence[DeltaGenerator]:
    return st.columns([2, 3], gap="large")


def _metrics(facts: dict[str, str]) -> None:
    for column, (title, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(title, value)


def _measured(model: str, start: Callable[[], Future[Outcome]], place: DeltaGenerator) -> Outcome | None:
    """What a network was asked, once it is there; until then ``place`` says what is awaited, and None."""
    with place:
        if not models().ready(model):
            wait_for(MODELS[model])
            return None
        asked = start()
        if not asked.done() or failed(asked):
            st.fragment(watch, run_every=POLL)(asked, "Asking the network. This takes a few seconds.")
            return None
        try:
            return asked.result()
        except Halt as halt:
            st.warning(plain(halt.detail))
            return None


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
