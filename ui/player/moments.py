"""Below the attack lab's player: the moments of an attack, metrics and curves at one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.metrics import distortion
from jma_core.records import Phase, Step
from models.cards import ModelSpec
from ui import figures
from ui.backend import Prediction
from ui.readout import constraint_names
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
    if run is None or run.result is None:
        return moments[-1]
    best = run.result.best
    return next(frame for frame in moments if frame.step is best)


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
