"""What a session remembers across reruns and page changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import streamlit as st

from jma_core.attacks.registry import Group
from jma_core.records import FREE
from lab.comparison import Contender
from lab.links import Query
from lab.photos.samples import samples
from lab.photos.uploads import Photo
from lab.request import Choice, Request, Settings
from lab.runs.attack_run import AttackRun
from lab.runs.example import example
from lab.runs.relay import Relay
from lab.show import EXAMPLE, State
from models.cards import ModelSpec
from models.encodings import Target

KEY = "session"
"""Of the session in Streamlit's state, which has the values of widgets beside it."""
MAX_RUNS = 8
"""Attacks that a session keeps open; the oldest goes first."""
EVERYWHERE, RECTANGLE, PAINTED = "All", "Rectangle", "Painted"
"""What of a picture may change."""

Kept = TypeVar("Kept")
Held = TypeVar("Held", covariant=True)


@dataclass
class Lasting:
    """What a tab that was reloaded finds again."""

    runs: OrderedDict[Request, AttackRun] = field(default_factory=lambda: OrderedDict({example().request: example()}))
    """The attacks, oldest first."""
    bouts: OrderedDict[Request, AttackRun] = field(default_factory=OrderedDict)
    """The attacks of the page Compare, oldest first."""
    reopened: dict[Request, Contender] = field(default_factory=dict)
    """Those of the stored comparison that was opened last."""
    relay: Relay | None = None
    """What runs those."""
    findings: WeakKeyDictionary[AttackRun, dict[str, Future[Any]]] = field(default_factory=WeakKeyDictionary)
    """What was asked of the results of attacks, by the name of the question."""
    upload: Photo | None = None
    """The user's own photo, the newest."""
    restored: Photo | None = None
    """The photo of the stored attack that was opened last, if it had to be made from that."""
    kept: dict[str, Any] = field(default_factory=dict)
    """Values of widgets by key."""
    asked: dict[str, Target] = field(default_factory=dict)
    """Targets that were preferred, by the key of their widget."""
    parts: int = 0
    """How often it was chosen elsewhere than in its widget what of a picture may change."""
    draws: int = 0
    """Presets that were set."""
    followed: Query = field(default_factory=dict)
    """The query that was last written into the address bar."""
    show: list[State] = field(default_factory=lambda: list(EXAMPLE))
    """The states to step through before a class."""
    scene: int | None = None
    """The one that is on stage, from 0 on; None while there is no show."""
    compared: list[int] = field(default_factory=list)
    """Stored attacks to be compared, by number: none, one or two."""

    @property
    def attacks(self) -> list[AttackRun]:
        """All: of the lab, and of the page Compare."""
        return [*self.runs.values(), *self.bouts.values()]


@dataclass
class Session:
    """One tab of a browser, from its opening to its reload."""

    lasting: Lasting = field(default_factory=Lasting)
    token: str = ""
    """By which housekeeping knows the tab."""
    page: str = ""
    """The title of the page that was drawn last."""
    framed: bool = False
    """Whether the frame has been drawn around the page that is about to be."""
    arrived: list[str] | None = None
    """What of its first address could not be had; None until the address was read."""
    led: bool = False
    """Whether a show has led here, so that even an empty address asks for something."""
    show_problem: str = ""
    """What went wrong with a show, in a sentence."""
    gone: str = ""
    """A model that was chosen and then removed by somebody."""
    held_photos: dict[str, Photo] = field(default_factory=dict)
    """The photo in each widget that takes one."""
    before_upload: str = ""
    """The digest of the photo that was chosen before the user's own."""
    upload_problem: str = ""
    """Why a file was not taken, in a sentence."""
    sent: set[str] = field(default_factory=set)
    """Digests of the parcels that the player has got."""
    found: ModelSpec | str | None = None
    """The model that was looked up, or why there is none."""
    go_on: str = ""
    """The file of the page to go on to."""
    runs_problem: str = ""
    """What went wrong with a stored attack, in a sentence."""
    more_runs: int = 0
    """Stored attacks that are listed beyond the first few."""
    more_cells: int = 0
    """Cells of a contact sheet that are shown beyond the first."""
    lesson: int = 1
    """The step of the lecture that was shown last."""


def session() -> Session:
    """That of the tab whose script calls this."""
    if KEY not in st.session_state:
        st.session_state[KEY] = Session()
    mine: Session = st.session_state[KEY]
    return mine


class Key(str, Generic[Held]):
    """The key of a kept widget; the type says what its value is."""


def keep(key: str, default: Kept, options: Collection[Kept] | None = None) -> Key[Kept]:
    """The key of a widget whose value outlives a page change, which makes Streamlit forget widgets that are not drawn.

    Call it where the widget is made, and give the widget the value that it has as its default: ``key = keep("k", 2)``,
    ``st.number_input(..., value=kept(key), key=key)``. A click on a half-drawn page makes Streamlit drop what is set
    here, by an address for example, and fall back to that default. A value that is none of ``options`` gives way to it.

    Streamlit's own ``persist_state`` does as much, but not for a tab that is reloaded, which is a new session.
    """
    values = session().lasting.kept
    if key not in st.session_state:
        st.session_state[key] = values.get(key, default)
    if options is not None and st.session_state[key] not in (None, *options):
        st.session_state[key] = default
    values[key] = st.session_state[key]
    return Key(key)


def kept(key: Key[Kept]) -> Kept:
    """The value of a kept widget."""
    value: Kept = session().lasting.kept[key]
    return value


def forget_widgets() -> None:
    """Drop the values that Streamlit holds for kept widgets, so that those of another page start from what was kept."""
    for key in session().lasting.kept:
        st.session_state.pop(key, None)


def target_key(model: str, photo: str) -> str:
    """The key of the widget that holds a photo's target."""
    return f"target-{model}-{photo}"


def form_key(target: str) -> str:
    """The key, by that of a target, of the widget that says whether one class is asked for, or several."""
    return f"{target}-form"


def several_key(target: str) -> str:
    """The key, by that of a target, of the widget that holds several classes."""
    return f"{target}-several"


def standing_key(target: str) -> str:
    """The key, by that of a target, of the widget that holds labels that are to stay while others float."""
    return f"{target}-standing"


def part_key() -> str:
    """The key of the widget that says what of a picture may change.

    Each choice that is made elsewhere has a new one: a busy browser may miss that the value of an old one is set.
    """
    return f"part-of-{session().lasting.parts}"


def setting_widgets(settings: Settings) -> dict[str, Any]:
    """The values of the widgets that show these settings, by key."""
    attack, group = settings.attack, settings.entry.group
    own = {setting_key(attack, name): value for name, value in settings.own}
    return {
        "group": group,
        group_key(group): attack,
        "kappa": settings.kappa,
        "max_seconds": settings.max_seconds,
    } | own


def group_key(group: Group) -> str:
    """The key of the widget that picks one of a group of attacks."""
    return f"attack-{group}"


def setting_key(attack: str, name: str) -> str:
    """The key of the widget of one of an attack's own settings."""
    return f"setting-{attack}-{name}"


def prefer(choice: Request | Choice) -> None:
    """Make a choice what the attack lab and the geometry page show next."""
    key, canvas, target = target_key(choice.model, choice.photo), choice.canvas, choice.target
    floating = isinstance(target, tuple) and FREE in target
    lasting = session().lasting
    lasting.kept |= {
        **setting_widgets(choice.settings),
        "model": choice.model,
        "photo": choice.photo,
        "held-of-many": target is not None and not floating,
        "native": canvas.native,
        part_key(): PAINTED if canvas.painted else RECTANGLE if canvas.region else EVERYWHERE,
        "period": canvas.period,
    }
    if canvas.region:
        left, top, right, bottom = (round(100 * side) for side in canvas.region)
        lasting.kept |= {"part-across": (left, right), "part-down": (top, bottom)}
    if canvas.painted:
        lasting.kept["painted"] = canvas.painted
    for each in (key, form_key(key), several_key(key), standing_key(key)):
        lasting.kept.pop(each, None)
    lasting.asked.pop(key, None)
    if target is not None:
        lasting.asked[key] = target


def photos(kind: str) -> dict[str, Photo]:
    """The photos on offer for a kind of model by digest: the samples, own ones that were attacked, the newest."""
    lasting = session().lasting
    attacked = [run.own for run in lasting.attacks]
    own = filter(None, (*attacked, lasting.upload, lasting.restored))
    return samples(kind) | {photo.digest: photo for photo in own}


def runs() -> OrderedDict[Request, AttackRun]:
    """This session's attacks, oldest first."""
    return session().lasting.runs


def last_run(model: str, photo: str, target: Target) -> AttackRun | None:
    """The session's latest attack on a photo towards a target, with any settings, that has made a step."""
    asked = [(run, run.request) for run in runs().values() if run.steps]
    found = [run for run, each in asked if (each.model, each.photo, each.target) == (model, photo, target)]
    return found[-1] if found else None


def all_contenders() -> dict[Request, Contender]:
    """The attacks of the page Compare that have ended, stored ones only while this session does not run them anew."""
    lasting = session().lasting
    stored = {request: each for request, each in lasting.reopened.items() if request not in lasting.bouts}
    return stored | {request: Contender(request, run.result) for request, run in lasting.bouts.items() if run.result}


def rivals(model: str, photo: str, target: Target) -> list[Contender]:
    """Those of them on a photo towards a target."""
    asked = [(each, each.request) for each in all_contenders().values()]
    return [each for each, its in asked if (its.model, its.photo, its.target) == (model, photo, target)]


def remember(run: AttackRun) -> None:
    """Add an attack to the session's, and let the oldest go that is not running."""
    runs()[run.request] = run
    runs().move_to_end(run.request)
    idle = [request for request, each in runs().items() if each is not run and not each.busy]
    for request in idle[: max(0, len(runs()) - MAX_RUNS)]:
        forget(request)


def forget(request: Request) -> None:
    """Cancel and drop the attack that answers a request."""
    if run := runs().pop(request, None):
        run.cancel()


def running() -> AttackRun | None:
    """This session's attack in progress: at most one."""
    return next((run for run in session().lasting.attacks if run.busy), None)
