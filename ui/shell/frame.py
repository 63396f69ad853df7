"""The frame around every page: title, icon and navigation."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.shell.housekeeping import COOKIE, present
from ui.shell.session import forget_widgets, session
from ui.shell.stage import perform

STYLE = """<style>
[data-testid="stBaseButton-primary"] {background: #0b5fad; border-color: #0b5fad}
[data-testid="stBaseButton-primary"]:hover {background: #094d8c; border-color: #094d8c}
[data-testid="stMultiSelectTagsContainer"] [data-tag] {background-color: #0b5fad}
[data-testid="stMarkdownContainer"] .katex-display.katex-display {overflow: visible}
[data-testid="stMainBlockContainer"] {padding: 4.25rem clamp(1rem, 2.5vw, 5rem) 2rem}
.st-key-headline h1 {padding: 0; font-size: 2rem; overflow-wrap: anywhere}
.st-key-transport [data-testid="stAlertContainer"] {padding: 0.25rem 0.75rem}
.st-key-transport :is(button, [data-testid="stPageLink"] a) {min-height: 2.25rem; margin: 0; padding: 0 0.625rem}
.st-key-transport :is([data-testid="stButton"], [data-testid="stPageLink"]) p {font-size: 0.9375rem}
@media (max-width: 1100px) {.st-key-transport button :has(> [data-testid="stIconMaterial"]) {display: none}}
.st-key-player {margin-top: -0.5rem}
[class*="st-key-shot-"] {position: relative; padding: 4px 4px 1.625rem}
[class*="st-key-photo-"] {position: absolute; inset: 0; width: 100%}
[class*="st-key-photo-"] :is([data-testid="stButton"], button) {height: 100%}
[class*="st-key-photo-"] button {align-items: end; padding: 0; border: 3px solid transparent}
[class*="st-key-photo-"] button:is(*, :hover, :active) {color: inherit; background: none}
[class*="st-key-photo-"] button:hover {border-color: currentColor}
[class*="st-key-photo-"] button[data-testid="stBaseButton-primary"] {border-color: #2f7ed8}
[class*="st-key-photo-"] p {font-size: 0.8125rem; white-space: nowrap}
.st-key-tab-token {display: none}
@media (max-width: 1250px) {[data-testid="stTopNavLink"] > span:has([data-testid="stIconMaterial"]) {display: none}}
:is([data-testid="stTopNavLink"], [data-testid="stSidebarNavLink"]):focus-visible {outline: 2px solid}
.js-plotly-plot text:is([class$="title"], .legendtext, .annotation-text),
.js-plotly-plot :is(.xtick, .ytick, .cbaxis) text {fill: currentColor !important}
</style>"""
"""White text needs a darker blue than the dark theme's; formulas, which fit, would scroll by a pixel or two. Axes of
charts have a contrast of 3.7 in Streamlit's grey. Projectors have no room for Streamlit's six lines above a title. The
button of a photo in the gallery lies over it, and has its name below. A link of the navigation that has the keyboard
would be a shade darker than the page, which nobody sees. Beside the sidebar of a small screen the names of all pages
have room only without their icons."""


_name_on_leaving = st.components.v2.component(
    "tab",
    js="""export default ({ data }) => {
        const leave = () => { document.cookie = `${data[0]}=${data[1]}; max-age=15; path=/; SameSite=Strict` }
        addEventListener('pagehide', leave)
        return () => removeEventListener('pagehide', leave)
    }""",
)
"""When its page is unloaded a tab leaves its token in a cookie, by which the page that is loaded next is known."""


def frame() -> None:
    """Draw the frame, and in it the page that the address asks for."""
    st.set_page_config(page_title="JMA Lab", page_icon="assets/icon.png", layout="wide", initial_sidebar_state=340)
    pages = [
        st.Page("pages/attack_lab.py", title="Attack lab", icon=":material/target:", default=True),
        st.Page("pages/compare.py", title="Compare", icon=":material/leaderboard:", url_path="compare"),
        st.Page("pages/photos.py", title="Many photos", icon=":material/photo_library:", url_path="photos"),
        st.Page("pages/benchmark.py", title="Benchmark", icon=":material/query_stats:", url_path="benchmark"),
        st.Page("pages/geometry.py", title="Geometry", icon=":material/architecture:", url_path="geometry"),
        st.Page("pages/learn.py", title="Learn", icon=":material/school:", url_path="learn"),
        st.Page("pages/present.py", title="Present", icon=":material/slideshow:", url_path="present"),
        st.Page("pages/runs.py", title="Runs", icon=":material/history:", url_path="runs"),
        st.Page("pages/models.py", title="Models", icon=":material/category:", url_path="models"),
    ]
    st.html(STYLE)
    tab, mine = present(), session()
    page = st.navigation(pages, position="top")
    if mine.page != page.title:
        mine.page = page.title
        forget_widgets()  # those of the page before: here they are other widgets, and take their values from keep()
    mine.framed = True
    perform()
    page.run()
    _name_on_leaving(data=(COOKIE, tab), key="tab-token", height=0)


def go_on() -> None:
    """Leave for the page that something on this one has opened, if it has."""
    mine = session()
    if page := mine.go_on:
        mine.go_on = ""
        st.switch_page(page)


def framed(main: Callable[[], None]) -> None:
    """Run a page's ``main`` inside the frame.

    The first deep link to a cold server makes Streamlit run the page's own file without app.py, by the address's name,
    or say "page not found" if no file in pages/ has that name. So files are named like addresses, and draw the frame.
    """
    if session().framed:
        session().framed = False
        main()
    else:
        frame()
