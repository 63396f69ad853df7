"""The places where foreign text is escaped: labels, file names, titles, error messages, words of an address.

``plain`` is for Markdown, ``in_chart`` for Plotly's figures; HTML and SVG are made by lab/report/templates.py. They
escape as text goes in, and nothing that a user wrote can become markup. Text is kept as it came, and escaped where it
is shown.
"""

from __future__ import annotations

import re
from html import escape

ACTING = re.compile(r"[#$&*+<=>@\[\\\]^_`{|}~]|:(?!\s)|(?<!\w)-|-(?!\w)|^\d+[.)](?=\s|$)")
"""What may mean something in Markdown by its last character; sentences and file names hold few of them."""
NOTHING = ":small[]"
"""A directive of Streamlit's that shows nothing, but parts two pieces of text."""
MEANT = re.compile(r"(?<=:)(?=[\w+/-])|(?<=[<>=~-])(?=[<>=~-])|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
"""Within what Streamlit looks for when Markdown is parsed and escapes are gone: icons, emoji, arrows and addresses."""
UNSEEN = re.compile(r"[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
"""Control characters, also those that turn the direction of writing, which would reach beyond the text."""
LONGEST = 40
"""Characters that ``quoted`` shows."""


def plain(text: str) -> str:
    """Text for Streamlit's Markdown, in which nothing acts: it is seen as it is, on one line."""
    parts = MEANT.split(one_line(text))
    return NOTHING.join(ACTING.sub(lambda found: f"{found[0][:-1]}&#{ord(found[0][-1])};", part) for part in parts)


def quoted(text: str) -> str:
    """The same for text that may be anything: marked as a quotation, and short."""
    line = one_line(text)
    return f"“{plain(line[:LONGEST])}{'…' * (len(line) > LONGEST)}”" if line else "empty"


def listed(texts: list[str], most: int = 12) -> str:
    """The first of some names, and how many more there are. It escapes nothing."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def in_chart(text: str) -> str:
    """Text for Plotly, which would take some HTML from it, numbers for templates and formulas."""
    return escape(one_line(text), quote=False).replace("%", "&#37;").replace("$", "&#36;")


def one_line(text: str) -> str:
    """Text without line breaks and control characters."""
    return " ".join(UNSEEN.sub(" ", text).split())
