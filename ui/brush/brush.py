"""A picture on which one paints where it may change, in the browser.

The server is told when a stroke ends; undoing, erasing and presets are strokes too. It tells the number of the stroke
that it shows, so that an answer to an earlier one does not set the browser back; none if the part is from elsewhere.
"""

from __future__ import annotations

import base64
import io
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from lab.stencil import CELLS, PRESETS, read, written
from ui.pixels.pixels import PICTURES
from ui.shell.component import component
from ui.shell.session import Key, kept, session

KEY = "brush"
SIDE = 256
"""Pixels of the picture's longer side, in the browser."""
NOTHING = written(np.zeros((CELLS, CELLS), dtype=bool))

_component = component("jma_brush", Path(__file__), PICTURES)


def paint(picture: NDArray[np.uint8], painted: Key[str]) -> str:
    """Put a picture (H, W, 3) on the page to be painted on. Gives the part that is kept by a key; "" if it is empty."""
    text = kept(painted)
    told = st.session_state.get(KEY, {}).get("painted") or {}
    data = {
        "url": preview(picture),
        "size": picture.shape[1::-1],
        "cells": CELLS,
        "presets": {name: written(stencil) for name, stencil in PRESETS.items()},
        "painted": text or NOTHING,
        "stroke": told.get("stroke") if told.get("text") == (text or NOTHING) else None,
    }
    _component(key=KEY, data=(data,), on_painted_change=partial(_take, painted))  # a tuple as in ui/player/player.py
    return text


def _take(painted: Key[str]) -> None:
    """Keep what the browser tells after a stroke; nothing else than a stencil is believed."""
    try:
        text = written(read(st.session_state[KEY]["painted"]["text"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    st.session_state[painted] = session().lasting.kept[painted] = "" if text == NOTHING else text


def preview(picture: NDArray[np.uint8]) -> str:
    """A picture made small, as a data URL: it is sent with each stroke, and only looked at."""
    small, file = Image.fromarray(picture), io.BytesIO()
    small.thumbnail((SIDE, SIDE))
    small.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
