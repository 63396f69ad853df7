"""The page Compare in Streamlit's own simulator: attacks one after another, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.comparison import COLUMNS
from lab.request import Settings
from lab.store import store
from models.registry import MODELS
from tests.markdown import seen
from tests.pages.page import Page
from tests.sessions import session_of

SIGNS = "gtsrb-onehot"
CHOSEN = f"contest-{MODELS[SIGNS].encoding.name}"
BRIEF = {"contest-ddn-steps": 12, "contest-fmn-steps": 12, "contest-pgd-steps": 3, "contest-pgd-eps": 0.05}


def opened(*attacks: str, **kept: Any) -> Page:
    """The page with these attacks, briefly each, on a traffic sign."""
    at = Page("compare")
    session_of(at).lasting.kept = {"model": SIGNS, CHOSEN: list(attacks), **BRIEF, **kept}
    return at.run().loaded()


@pytest.fixture
def ran() -> Iterator[Page]:
    """Two attacks that get there and one that cannot, after their ends."""
    at = opened("ddn", "fmn", "pgd").press("Run")
    yield finished(at)
    at.close()


def finished(at: Page) -> Page:
    """After the ends of the attacks, and of what is looked at then."""
    at.until(lambda: not session_of(at).lasting.relay.busy)
    at.run()
    return at.until(lambda: not at.says("saved as files of 8 bits")).intact()


def test_attacks_run_one_after_another_with_their_settings_and_are_compared(ran: Page) -> None:
    requests = list(ran.bouts())
    assert [each.settings for each in requests] == [
        Settings.of("ddn", steps=12), Settings.of("fmn", steps=12), Settings.of("pgd", steps=3, eps=0.05),
    ]  # fmt: skip
    assert len({(each.model, each.photo, each.target, each.canvas) for each in requests}) == 1
    results = {name: run.result for name, run in zip(("DDN", "FMN", "PGD"), ran.bouts().values(), strict=True)}
    assert [each.success for each in results.values()] == [True, True, False]
    best = min(("DDN", "FMN"), key=lambda name: results[name].distortion.l2)
    assert ran.says(f"{best} came nearest, at L2 {results[best].distortion.l2:.3f}")
    assert ran.says("PGD failed: at its best image ")
    frame = ran.dataframe[0].value
    assert frame["Attack"].tolist() == list(results)
    assert frame.columns.tolist() == ["Attack", *(column.title for column in COLUMNS)]
    assert frame["Reached"].tolist() == ["yes", "yes", "no"]
    assert frame["L2"].tolist() == [each.distortion.l2 for each in results.values()]
    assert frame["Reads again"].tolist() == ["yes", "yes", "–"], "what was looked at in a thread is in the table"
    assert len(ran.get("plotly_chart")) == 3
    assert ran.says("Without a hit: PGD.")
    assert ran.labelled("Run again")
    row = store().rows()[0]
    assert row.attacks == 3
    assert [each.request for each in store().comparison(row.id)] == requests


def test_what_has_ended_stays_when_attacks_are_added_and_only_the_new_ones_run(ran: Page) -> None:
    before = dict(ran.bouts())
    ran.widget("multiselect", "Attacks").set_value(["ddn", "fgsm"]).run()
    ran.intact()
    assert ran.dataframe[0].value["Attack"].tolist() == ["DDN"]
    finished(ran.press("Run 1 of 2"))
    assert ran.dataframe[0].value["Attack"].tolist() == ["DDN", "FGSM"]
    assert {request: ran.bouts()[request] for request in before} == before


def test_a_result_opens_in_the_lab(ran: Page) -> None:
    ran.widget("selectbox", "Result").set_value("FMN").run()
    ran.press("Open in the lab")
    assert ran.in_the_lab()
    assert ran.says("The result reads as")
    assert ran.shown().request.settings == Settings.of("fmn", steps=12)


def test_stop_halts_the_one_that_runs_and_begins_no_other() -> None:
    at = opened("cw", "ddn", **{"contest-cw-searches": 9, "contest-cw-steps": 1000})
    at.press("Run")
    first, second = at.bouts().values()
    at.until(lambda: len(first.steps) > 1)
    at.press("Stop").run()
    assert not session_of(at).lasting.relay.busy
    assert (first.ended, first.busy, second.busy, len(second.steps)) == (False, False, False, 0)
    assert at.says("C&W: Paused".replace("&", "&#38;"))
    at.close()


def test_without_attacks_the_page_says_what_to_do(ran: Page) -> None:
    ran.widget("multiselect", "Attacks").set_value([]).run()
    assert ran.says("Choose up to 8 attacks.")
    assert ran.labelled("Run again").disabled


def test_the_page_needs_no_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["compare"]
    assert (page["titles"], page["exceptions"], page["heavy"]) == (["Compare"], [], [])


def test_a_finished_comparison_is_there_before_the_network_is(first_paint: dict[str, Any]) -> None:
    page = first_paint["compare"]
    for text in ("came nearest, at L2", "was first to be read as wanted", "★ best in its column"):
        assert any(text in each for each in page["texts"])
    assert page["charts"] == 3
    gallery = page["player"]
    assert [each["name"] for each in gallery["attacks"]] == ["JMA", "Refined", "DDN", "FMN", "ML-C&W", "MLA-LP", "SemA"]
    assert {"Run again", "Open in the lab"} <= set(page["enabled"])


def link(at: Page) -> str:
    return at.code[0].value.partition("?")[2] if "?" in at.code[0].value else ""


QUERY = "model=gtsrb-onehot&photo=no_entry&want=stop&kappa=0.5&attacks=ddn,pgd&ddn.steps=12&pgd.eps=0.05"


def test_an_address_sets_the_attacks_and_the_page_gives_it_back() -> None:
    at = Page("compare", **dict(part.split("=") for part in QUERY.split("&"))).run().loaded()
    assert at.widget("multiselect", "Attacks").value == ["ddn", "pgd"]
    assert link(at) == QUERY
    assert not at.warning
    at.widget("multiselect", "Attacks").set_value(["ddn"]).run()
    assert link(at) == QUERY.replace(",pgd", "").replace("&pgd.eps=0.05", "")


def test_what_an_address_asks_for_in_vain_is_explained() -> None:
    at = Page("compare", model=SIGNS, attacks="ddn,ml_cw,nonsense", **{"ddn.steps": "0", "a": "1"}).run().loaded()
    (warning,) = at.warning
    for words in ("“ml_cw”, “nonsense”", "“0”, where a whole number from 1", "“a”: this page has nothing"):
        assert words in seen(warning.value)
    assert at.widget("multiselect", "Attacks").value == ["ddn"]
    at.press("Dismiss")
    assert not at.warning


def test_an_attack_stands_there_once_more_with_other_settings_but_not_with_the_same() -> None:
    at = Page("compare", **dict(part.split("=") for part in QUERY.split("&"))).run().loaded()
    at.widget("menu_button", "Once more").click("ddn").run().intact()
    assert at.widget("multiselect", "Attacks").value == ["ddn", "pgd", "ddn-2"]
    (warning,) = at.warning
    assert "apart (2)” has the same settings as “DDN: " in seen(warning.value)
    assert link(at) == QUERY, "the second is left out"
    assert at.number_input(key="contest-ddn-2-steps").value == 12
    at.number_input(key="contest-ddn-2-steps").set_value(20).run().intact()
    assert not at.warning
    assert link(at) == QUERY.replace("ddn,pgd", "ddn,pgd,ddn") + "&ddn-2.steps=20"
    again = Page("compare", **dict(part.split("=") for part in link(at).split("&"))).run().loaded()
    assert again.widget("multiselect", "Attacks").value == ["ddn", "pgd", "ddn-2"]
    again.widget("multiselect", "Attacks").set_value(["ddn", "pgd"]).run().intact()
    assert link(again) == QUERY
