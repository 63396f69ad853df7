"""The attack lab's right side: pictures, labels, metrics and curves of one attack at one update."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.metrics import distortion
from jma_core.records import FREE, Phase, Step
from models.cards import Kind, ModelSpec
from ui import figures
from ui.backend import Prediction
from ui.images import perturbation_map, show, to_picture
from ui.readout import confidences, constraint_names, names, present
from ui.request import Target
from ui.runner import AttackRun

Floats = NDArray[np.floating]
TITLES = {
    Phase.WALK: "step",
    Phase.LEAP: "full step",
    Phase.BISECT: "halving",
    Phase.SHRINK: "sphere",
    Phase.ROUND: "rounding",
}


@dataclass(frozen=True)
class Frame:
    """One moment of an attack: update 0 is the original, update i the i-th step."""

    update: int
    title: str
    image: Floats
    seen: Prediction
    step: Step | None


def frames(run: AttackRun | None, original: Floats, now: Prediction) -> list[Frame]:
    """Every moment of an attack so far, the original first."""
    steps = run.steps if run else []
    later = [
        Frame(i, f"{i}: {TITLES[step.phase]}", step.image, Prediction(step.logits, step.decoded), step)
        for i, step in enumerate(steps, start=1)
    ]
    return [Frame(0, "0: original", original, now, None), *later]


def best_frame(run: AttackRun | None, moments: list[Frame]) -> Frame:
    """The frame to look at first: the result's once there is one, else the latest."""
    if run is None or run.result is None or len(moments) == 1:
        return moments[-1]
    l2 = run.result.distortion.l2
    return min(moments, key=lambda frame: abs((frame.step.l2 if frame.step else 0.0) - l2))


def pictures(spec: ModelSpec, original: Frame, frame: Frame) -> None:
    """Original, attacked and signed perturbation, side by side."""
    left, middle, right = st.columns(3)
    with left:
        show(to_picture(original.image), f"Original: {names(spec, original.seen.decoded)}")
    with middle:
        show(to_picture(frame.image), f"Attacked: {names(spec, frame.seen.decoded)}")
    with right:
        signed, gain = perturbation_map(original.image, frame.image)
        amplified = "none yet" if frame.step is None else f"× {gain:.0f}, blue darker, orange brighter"
        show(signed, f"Perturbation: {amplified}")


def label_table(spec: ModelSpec, before: Prediction, now: Prediction, target: Target) -> None:
    """Labels before, now and wanted; of many classes, those that matter."""
    sure_before, sure_now = confidences(spec, before.logits), confidences(spec, now.logits)
    if spec.encoding is Kind.MULTI_LABEL:
        flags = list(zip(before.decoded, now.decoded, target, strict=True))
        shown = sorted(range(len(flags)), key=lambda i: (_outcome(*flags[i]) in UNCHANGED, -sure_now[i]))
        outcome = {i: _outcome(*flags[i]) for i in shown}
    else:
        top = [i for sure in (sure_before, sure_now) for i in np.argsort(-sure, kind="stable")[:4].tolist()]
        shown = list(dict.fromkeys([target, *present(now.decoded), *present(before.decoded), *top]))
        outcome = {target: "yes ✓ reached" if present(now.decoded) == [target] else "yes … not yet"}
    columns = {
        "before": st.column_config.NumberColumn(format="percent", width=60),
        "now": st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="percent", width=95),
        "wanted": st.column_config.TextColumn(width=105),
    }
    rows = {
        "label": [spec.labels[i] for i in shown],
        "before": [float(sure_before[i]) for i in shown],
        "now": [float(sure_now[i]) for i in shown],
        "wanted": [outcome.get(i, "") for i in shown],
    }
    st.dataframe(rows, column_config=columns, hide_index=True, height="content")


UNCHANGED = {"present, kept", "absent, kept", "either"}


def _outcome(before: bool, now: bool, wanted: int) -> str:
    if wanted == FREE:
        return "either" if now == before else "either, changed"
    state = "present" if wanted else "absent"
    if now == wanted:
        return f"{state}, kept" if before == wanted else f"{state} ✓ flipped"
    return f"{state} ✗ collateral" if before == wanted else f"{state} … not yet"


def metrics(original: Frame, frame: Frame) -> None:
    """How large the perturbation is, and what it cost."""
    size = distortion(original.image, frame.image)
    psnr = "∞" if np.isinf(size.psnr) else f"{size.psnr:.1f}"
    rows = {
        "L2": f"{size.l2:.3f}",
        "L∞": f"{size.linf:.4f} ({size.linf * 255:.1f} / 255)",
        "MSE": f"{size.mse:.2e}",
        "PSNR": f"{psnr} dB",
        "SSIM": f"{size.ssim:.4f}",
    }
    if step := frame.step:
        rows |= {
            "Backward passes": str(step.backward),
            "Forward passes": str(step.forward),
            "Seconds": f"{step.seconds:.1f}",
        }
        if certificate := step.certificate:
            worst = max(certificate.primal, certificate.dual, certificate.gap, certificate.complementarity)
            rows["Active constraints"] = f"{len(step.active)} of {certificate.total}"
            rows["Optimal to"] = f"{worst:.0e}" if certificate.holds() else f"not certified ({worst:.0e})"
    st.table({"measure": list(rows), "value": list(rows.values())}, hide_index=True, border="horizontal")
    st.caption("Pixels run from 0 to 1. “Optimal to” certifies the step for the linearised network, not the network.")


def curves(spec: ModelSpec, target: Target, steps: list[Step], shown: int) -> None:
    """Margins and norm over the updates."""
    left, right = st.columns(2)
    left.plotly_chart(figures.margins(steps, constraint_names(spec, target), shown), key="margins")
    right.plotly_chart(figures.norms(steps, shown), key="norms")
