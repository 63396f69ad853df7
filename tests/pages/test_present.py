"""The page Present, and the show that it starts, in Streamlit's own simulator."""

from __future__ import annotations

from typing import Any

from lab.runs.example import example
from lab.show import EXAMPLE, State, to_file
from tests.pages.page import Page
from tests.sessions import session_of


def test_the_page_needs_no_torch(first_paint: dict[str, Any]) -> None:
    assert (first_paint["present"]["heavy"], first_paint["present"]["exceptions"]) == ([], [])


def test_a_show_leads_from_state_to_state_and_ends() -> None:
    at = Page("present").run().intact()
    session_of(at).lasting.kept |= {"model": "mnist-ecoc16", "attack": "ddn"}
    at.press("Start the show")
    assert at.title[0].value.endswith("→ flowers"), "an empty address asks for what a new session shows"
    assert at.says(f"**{EXAMPLE[0].title}** (1 of {len(EXAMPLE)})")
    assert at.labelled("Back").disabled
    at.press("On")
    assert at.title[0].value == "Mahalanobis against Euclid"
    at.press("On")
    assert at.title[0].value == "Why does the ellipse matter?"
    session_of(at).lasting.show.append(State("Snow", "geometry", {"want": ["snow"], "view": ["two"]}))
    at.run()
    for _ in range(2):
        at.button(key="stage-on").click().run()
    at.intact()
    assert at.says("is to read as **snow**")
    assert at.button(key="stage-on").disabled
    at.press("End the show")
    assert not any(each.key == "stage-on" for each in at.button)


def test_states_are_added_moved_removed_and_taken_from_a_file() -> None:
    at = Page("geometry").settle()
    at.press("Add to the show")
    added = session_of(at).lasting.show[-1]
    wish = "flowers"
    assert (added.title, added.page, added.query) == (f"Geometry: {wish}", "geometry", {})
    assert example().request.photo
    at.switch_page("pages/present.py").run()
    at.text_input(key="show-title").set_value("The walk")
    at.text_input(key="show-address").set_value("/learn?step=5")
    at.press("Add")
    show = session_of(at).lasting.show
    assert [each.title for each in show[-2:]] == [added.title, "The walk"]
    next(each for each in at.button if (each.key or "").startswith(f"up-{len(show) - 1}-")).click().run()
    assert [each.title for each in show[-2:]] == ["The walk", added.title]
    next(each for each in at.button if (each.key or "").startswith("remove-0-")).click().run()
    assert show[0] == EXAMPLE[1]
    at.text_input(key="show-address").set_value("/runs")
    at.press("Add")
    assert "Expected an address of the attack lab" in at.error[0].value
    at.get("file_uploader")[0].set_value(("show.json", to_file(EXAMPLE[:1]).encode(), "application/json"))
    at.run().intact()
    assert session_of(at).lasting.show == [EXAMPLE[0]]
    at.get("file_uploader")[0].set_value(("show.json", b"{}", "application/json"))
    assert "This file is not a show" in at.run().error[0].value
