"""What is seen of Markdown into which lab/markup.py wrote foreign text; Streamlit's simulator gives its source."""

import html

from lab.markup import NOTHING


def seen(markdown: str) -> str:
    """The text, with what escapes it taken away."""
    return html.unescape(markdown.replace(NOTHING, ""))
