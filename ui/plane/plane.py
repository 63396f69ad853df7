"""The logit space in two coordinates, drawn in the browser: zoomed and panned there, with a target point to drag.

Blue, dashed and square is Euclid; orange, solid and a diamond is Mahalanobis; green is the path of an attack. The
ellipse grows until it touches the target region. While a point is dragged the browser tells its price, and at rest the
server where it lies.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from jma_core.geometry import Section
from lab.pictures import data_url
from ui.figures.comparison import COLOURS
from ui.figures.space import CHEAPEST, GREEN, Margin, Shown, binding, frame_of, marks
from ui.shell.component import component
from ui.shell.session import session

Floats = NDArray[np.floating]
Point = tuple[float, float]
KEY = "plane"
"""Of the drawing that can be touched, and of what was done in it among what a session keeps."""
FEW = 6
"""So many borders that do not bind are named, those nearest to r*; the others where the mouse is."""
ROOM = 3
"""What can be seen by zooming out: so many frames on either side."""
GRID, AROUND = 241, 1.25
"""Points along each side at which the decoder is asked, in a square of so many frames on either side of the middle."""
GREY, OPAQUE = 143, 56
"""Of what the decoder reads as wanted: its brightness and its opacity, of 255."""
FLAT = 1e10
"""Condition from which on an ellipse is a line: what leaves it has no price."""

_component = component("jma_plane", Path(__file__))


def draw(section: Section, shown: Shown, *, key: str = KEY, subject: str = "", live: bool = False) -> None:
    """Put the drawing on the page. In a ``live`` one the free point is dragged, and r' and r* can be chosen.

    ``subject`` says what it is of: what was done in a drawing of something else does not count.
    """
    told = drawing(section, shown) | {"subject": subject, "live": live}
    version = blake2b(repr(told).encode(), digest_size=12).hexdigest()
    # In a tuple, as in ui/player/player.py.
    _component(key=key, data=(told | {"version": version},), on_done_change=_keep if live else None)


def _keep() -> None:
    session().lasting.kept[KEY] = st.session_state[KEY]["done"]


def put(point: Point | None) -> None:
    """Lay the free point of the next drawing, whatever that is of; None where the drawing itself has it."""
    session().lasting.kept[KEY] = {"subject": None, "point": point}


def done(subject: str) -> tuple[str, Point | None]:
    """The target point that was chosen last in the drawing of a subject, by name, and where the free one was laid."""
    told = session().lasting.kept.get(KEY, {})
    if told.get("subject") is None:
        told["subject"] = subject
    if told["subject"] != subject:
        return CHEAPEST, None
    point = told.get("point")
    return told.get("chosen", CHEAPEST), (float(point[0]), float(point[1])) if point else None


def drawing(section: Section, shown: Shown) -> dict[str, Any]:
    """What the browser is sent of a section with two coordinates, in which all of it is told, fit for JSON."""
    low, high = frame_of(section, shown)
    room = ROOM * (high - low)
    told: dict[str, Any] = {
        "frame": _told([low, high]),
        "axes": list(shown.axes),
        "region": _told(region(section.a, section.h, low - room, high + room)),
        "borders": [*_borders(section, shown, low, high), *_moved_borders(section, shown, low, high)],
        "circle": {"at": _told(section.z), "radius": _told(np.linalg.norm(section.nearest - section.z))},
        "ellipse": {"at": _told(section.centre), "axes": _told(section.axes), "level": _told(section.level)},
        "price": _told(np.linalg.inv(section.gram)) if np.linalg.cond(section.gram) < FLAT else None,
        "paths": [
            {"name": name, "colour": colour, "points": _told(path)}
            for (name, path), colour in zip(shown.rivals.items(), cycle(COLOURS), strict=False)
        ],
        "marks": [vars(mark) | {"at": _told(mark.at)} for mark in marks(section, shown)],
        "free": None if shown.free is None else _told(shown.free),
    }
    if len(shown.path) > 1:
        last = {"name": "path of the last attack", "colour": GREEN, "points": _told(shown.path)}
        told["paths"].insert(0, last | {"updates": list(shown.updates)})
    if shown.margin:
        middle, reach = (low + high) / 2, AROUND * float((high - low).max())
        low, high = middle - reach, middle + reach
        told["read"] = {"frame": _told([low, high]), "url": shade(shown.margin, low, high)}
    return told


def _told(values: Any) -> Any:
    """Numbers to five digits, as lists."""
    return np.vectorize(lambda value: float(f"{value:.5g}"), otypes=[float])(values).tolist() if np.size(values) else []


def region(a: Floats, h: Floats, low: Floats, high: Floats) -> Floats:
    """The corners (c, 2) of {a y >= h} within a box: Sutherland and Hodgman's clipping (1974). Empty if none."""
    corners = [
        np.array([x, y]) for x, y in ((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]))
    ]
    for row, need in zip(a, h, strict=True):
        slack = [float(row @ corner - need) for corner in corners]
        tolerance = 1e-9 * max(1.0, abs(float(need)))
        kept = []
        for i, corner in enumerate(corners):
            before, value = slack[i - 1], slack[i]
            if (before < -tolerance) != (value < -tolerance):
                kept.append(corners[i - 1] + (before / (before - value)) * (corner - corners[i - 1]))
            if value >= -tolerance:
                kept.append(corner)
        corners = kept
    return np.array(corners).reshape(-1, 2)


def shade(margin: Margin, low: Floats, high: Floats) -> str:
    """What the decoder reads as wanted within a box, as a PNG: opaque where its margin is positive, one point soft."""
    across, up = (np.linspace(low[i], high[i], GRID) for i in range(2))
    margins = margin(np.stack(np.meshgrid(across, up[::-1]), axis=-1))
    steep = np.linalg.norm(np.gradient(margins), axis=0)
    inside = np.clip(0.5 + margins / np.maximum(steep, 1e-12), 0, 1)
    grey = np.stack([np.full(inside.shape, GREY), np.round(OPAQUE * inside)], axis=-1).astype(np.uint8)
    return data_url(Image.fromarray(grey, "LA"))


def _borders(section: Section, shown: Shown, low: Floats, high: Floats) -> list[dict[str, Any]]:
    """The constraints' borders that can be seen by zooming out, those that go through r* first."""
    binds = binding(section)
    away = np.abs(section.a @ section.cheapest - section.h) / np.maximum(np.linalg.norm(section.a, axis=1), 1e-12)
    order = sorted(range(len(away)), key=lambda i: (not binds[i], float(away[i])))
    room = ROOM * (high - low)
    crossing = [(i, border(section.a[i], section.h[i], low - room, high + room)) for i in order]
    lines = [(i, line) for i, line in crossing if line is not None]
    most = FEW + sum(bool(binds[i]) for i, _ in lines)
    return [
        {
            "name": shown.constraints[i],
            "line": _told(line),
            "kind": "binding" if binds[i] else "idle",
            "named": place < most,
        }
        for place, (i, line) in enumerate(lines)
    ]


def _moved_borders(section: Section, shown: Shown, low: Floats, high: Floats) -> list[dict[str, Any]]:
    """Borders through r' that are elsewhere than those with the other logits as in r*."""
    size, told = float((high - low).max()), []
    for row, need, moved, name in zip(section.a, section.h, section.h_nearest, shown.constraints, strict=True):
        apart = abs(moved - need) > 1e-3 * np.linalg.norm(row) * size
        at_nearest = abs(float(row @ section.nearest - moved)) <= 1e-6 * max(1.0, abs(moved))
        if apart and at_nearest and (line := border(row, moved, low, high)) is not None:
            title = f"{name}, with the other logits as in r′"
            told.append({"name": title, "line": _told(line), "kind": "moved", "named": False})
    return told


def border(row: Floats, need: float, low: Floats, high: Floats) -> Floats | None:
    """Two points (2, 2), far away, of the line row . y = need; None if it does not cross a box."""
    steep = float(np.linalg.norm(row))
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
    if steep < 1e-9 or len(set(np.sign(corners @ row - need))) < 2:
        return None
    middle, normal = (low + high) / 2, row / steep
    foot = middle + (need / steep - normal @ middle) * normal
    reach = ROOM * float((high - low).max()) * np.array([[-1.0], [1.0]])
    return np.asarray(foot + reach * np.array([-normal[1], normal[0]]))
