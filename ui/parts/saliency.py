"""Where does a network look for a label, with the attack and without?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st
from PIL import Image

from jma_core.records import AttackResult
from lab.aftermath import Floats, Maps
from lab.markup import plain
from lab.pictures import as_png, colours, enlarged, heated, to_picture
from lab.request import Request
from lab.runs.aftermath import looking
from lab.runs.attack_run import AttackRun
from lab.runs.pool import models
from models.encodings import Encoding
from ui.parts.asking import answers
from ui.shell.cached import fingerprint

WIDE, THREE = 140, 452
"""Pixels of a picture on the page, and of three in a row: there are six on a desk, two on a telephone."""
STRONGEST = 0.99
"""The share of the values that a scale covers."""


def panel(run: AttackRun, result: AttackResult) -> None:
    """The maps of the label that came and of the one that went, at the original and at the attacked image."""
    st.markdown(
        "Which pixels would change a label most, and where is it seen? Of the label that had to come and of the one "
        "that had to go, at the original and at the attacked image."
    )
    encoding = models().specs[run.request.model].encoding
    for every in answers(run, "Show where it looks", {"saliency": lambda: looking(run.request, result)}):
        for maps in every or []:
            st.markdown(f"**{plain(maps.label)}**")
            with st.container(horizontal=True, gap="small"):
                for when, kinds in pictures(run.request, result, maps, maps.label).items():
                    with st.container(width=THREE, horizontal=True, gap="small"):
                        for kind, png in kinds.items():
                            st.image(png, f"{when}: {kind}", WIDE, alt=f"{maps.label}. {when}: {kind}")
        if every:
            st.caption(about(encoding, every))


@st.cache_resource(
    max_entries=32, show_spinner=False, hash_funcs={AttackResult: lambda result: fingerprint(result.image)}
)
def pictures(request: Request, result: AttackResult, _maps: Maps, label: str) -> dict[str, dict[str, bytes]]:
    """The maps of a label as PNG files, at the original and at the attacked image, each kind to one scale for both."""
    pairs = {"Original": (result.original, _maps.original), "Attacked": (result.image, _maps.attacked)}
    signed = {when: each.gradient.mean(0) for when, (_, each) in pairs.items()}
    sizes = {when: np.abs(each.gradient).max(0) for when, (_, each) in pairs.items()}
    heats = {when: each.cam for when, (_, each) in pairs.items() if each.cam is not None}
    steepest, largest = (_strongest(each, STRONGEST) for each in (signed, sizes))
    hottest = _strongest(heats, 1) if heats else 1.0
    drawn = {
        when: {
            "gradient": colours(np.clip(signed[when] / steepest, -1, 1)),
            "its size": colours(np.clip(sizes[when] / largest, 0, 1)),
        }
        | ({"Grad-CAM": heated(to_picture(image), heats[when] / hottest)} if when in heats else {})
        for when, (image, _) in pairs.items()
    }
    return {
        when: {kind: as_png(Image.fromarray(enlarged(picture))) for kind, picture in kinds.items()}
        for when, kinds in drawn.items()
    }


def _strongest(maps: Mapping[str, Floats], share: float) -> float:
    """What so large a share of the values of all does not exceed; 1 if that is nothing."""
    return float(np.quantile([np.abs(each) for each in maps.values()], share)) or 1.0


def about(encoding: Encoding, every: list[Maps]) -> str:
    """What the maps are, what they show, and what they do not."""
    row = "the label's row of the Jacobian" if encoding.codebook is None else "a sum of rows of the Jacobian, one a bit"
    said = (
        f"**Gradient**: of the {encoding.score.lower()}, {row}, from which JMA makes its step; the mean over channels, "
        "blue where less light would raise it, orange where more would. **Its size**: the largest of the channels. "
    )
    if every[0].original.cam is not None:
        said += "**Grad-CAM**: orange where the maps of the last convolution speak for the label. "
    return said + (
        "They say what an infinitely small change would do here, and where features lie. They do not say why the "
        "network decides so, nor that what is unmarked does not matter: at another image, a step away, they differ."
    )
