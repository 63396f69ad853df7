"""A page with nothing but the player, for its tests: a made-up attack on 1000 classes, and what the server knows of it.

The first class has a hostile name. In 30 updates the logits go from a picture of the second class to one of the third.
"""

from dataclasses import replace

import numpy as np
import streamlit as st

from lab.archive import unpack
from lab.runs.attack_run import AttackRun
from models.encodings import OneHot, Prediction
from models.registry import ASSETS
from ui.player.moments import Moment
from ui.player.player import play

CLASSES, UPDATES, BEFORE, WANTED = 1000, 30, 1, 2
HOSTILE = "<img src=x onerror=document.title='hacked'>"


def images(side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """The original, of 8 bits, and what is added to it until the last update; clipped where it leaves [0, 1]."""
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (3, side, side)) / np.float32(255)
    return image, random.normal(0, 0.05, image.shape).astype(np.float32)


@st.cache_resource
def made(side: int) -> tuple[AttackRun, list[Moment]]:
    random = np.random.default_rng(0)
    request, result = unpack((ASSETS / "example.npz").read_bytes())
    image, change = images(side)
    start, end = random.normal(0, 1, (2, CLASSES))
    start[[BEFORE, WANTED]], end[[BEFORE, WANTED]] = (9, 7), (8, 9)
    moments = []
    for update in range(UPDATES + 1):
        weight = update / UPDATES
        attacked, z = np.clip(image + weight * change, 0, 1), start + weight * (end - start)
        seen = Prediction(z, np.array(z.argmax()))
        step = replace(result.steps[0], image=attacked, logits=z, decoded=seen.decoded, forward=update, l2=weight)
        moments.append(Moment(update, f"{update}: step" if update else "0: original", attacked, seen, step))
    moments[0] = replace(moments[0], step=None)
    return AttackRun.finished(request, result), moments


def main() -> None:
    st.set_page_config(layout="wide")
    st.title("Player")
    labels = (HOSTILE, *(f"class {i}" for i in range(1, CLASSES)))
    run, moments = made(int(st.query_params.get("side", 32)))
    moment = play(OneHot(labels), WANTED, run, moments, UPDATES)
    st.session_state["drawn"] = st.session_state.get("drawn", 0) + 1
    st.text(f"Server: update {moment.update}, drawn {st.session_state['drawn']} times.")


if __name__ == "__main__":
    main()
