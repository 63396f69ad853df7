"""Below the attack lab's player: the moments of an attack, metrics and curves at one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.metrics import distortion
from jma_core.records import Phase, Step, Trace
from lab.curves import curves, left_out
from lab.runs.attack_run import AttackRun
from lab.spectrum import BANDS, DECADES, drawn, shares, spectrum
from models.encodings import Encoding, Prediction, Target
from ui.figures import attack as figures
from ui.parts.pictures import show

Floats = NDArray[np.floating]
TITLES = {
    Phase.WALK: "step",
    Phase.LEAP: "full step",
    Phase.BISECT: "halving",
    Phase.SHRINK: "sphere",
    Phase.PROJECT: "projection",
    Phase.ROUND: "rounding",
}


@dataclass(frozen=True)
class Moment:
    """The original, at update 0, or an attack after the step of a number, at the update of that number."""

    update: int
    title: str
    image: Floats
    seen: Prediction
    step: Step | None
    gradient: Floats | None = None
    """(3, H, W) where the target pulls, of the original before an attack."""


def moments_of(
    run: AttackRun | None, original: Floats, now: Prediction, gradient: Floats | None = None
) -> list[Moment]:
    """Every moment of an attack so far that is kept, the original first, with its ``gradient`` if that is known."""
    steps = run.steps if run else ()
    later = [
        Moment(s.number, f"{s.number}: {TITLES[s.phase]}", s.image, Prediction(s.logits, s.decoded), s) for s in steps
    ]
    return [Moment(0, "0: original", original, now, None, gradient), *later]


def best_update(run: AttackRun | None, moments: list[Moment]) -> int:
    """The update to look at first: the result's once there is one, else the latest."""
    return moments[-1].update if run is None or run.result is None else run.result.update


def metrics(original: Moment, moment: Moment) -> None:
    """How large the perturbation is, and what it cost."""
    size = distortion(original.image, moment.image)
    psnr = "∞" if np.isinf(size.psnr) else f"{size.psnr:.1f}"
    rows = {
        "L2": f"{size.l2:.3f}",
        "L∞": f"{size.linf:.4f} ({size.linf * 255:.1f} / 255)",
        "L0": f"{size.l0} of {original.image.size} values",
        "MSE": f"{size.mse:.2e}",
        "PSNR": f"{psnr} dB",
        "SSIM": f"{size.ssim:.4f}",
    }
    if step := moment.step:
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
    certified = " “Optimal to” certifies the step for the linearised network, not the network." * ("Optimal to" in rows)
    st.caption(f"Pixels run from 0 to 1.{certified}")


def charts(encoding: Encoding, target: Target, before: Floats, trace: Trace, steps: Sequence[Step], shown: int) -> None:
    """Margins and norm over the updates, from an original with logits ``before``."""
    drawn = curves(encoding, target, before, trace, steps)
    left, right = st.columns(2)
    left.plotly_chart(figures.margin_chart(drawn, trace.phase, encoding.unit, shown), key="margins")
    right.plotly_chart(figures.norm_chart(drawn, trace.phase, shown), key="norms")
    if said := left_out(trace, steps):
        st.caption(said)


def frequencies(original: Moment, moment: Moment) -> None:
    """The spectrum of the perturbation, and where its energy lies, once somebody opens it."""
    with st.expander("Spectrum of the perturbation", key="spectrum", on_change="rerun") as opened:
        if not opened.open:
            return
        energy = spectrum(moment.image.astype(np.float64) - original.image)
        if not energy.any():
            st.caption("Nothing has changed yet.")
            return
        left, right = st.columns(2)
        with left:
            alt = f"Spectrum of the perturbation after update {moment.update}, low frequencies in the middle"
            show(drawn(energy), "Low frequencies in the middle, high ones at the border", alt=alt)
        table = {
            "period": BANDS,
            "share of the energy": [f"{share:.1%}" for share in shares(energy)],
            "of white noise": [f"{share:.1%}" for share in shares(np.ones_like(energy))],
        }
        right.table(table, hide_index=True, border="horizontal")
        right.caption(
            f"Brighter by the logarithm of the energy, over {DECADES} decades, of all channels together. The rings are "
            "where the periods are 16 and 4 pixels. Energy is the squared L2 norm; white noise has the same of it at "
            "every frequency."
        )
