"""Foreign text in Markdown, in charts and in HTML; tests/browser/test_markup.py looks at it in Chromium."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.markup import NOTHING, in_chart, listed, one_line, plain, quoted
from tests.browser.hostile_page import HOSTILE
from tests.markdown import seen

REFERENCE = re.compile(r"&#\d+;")
MARKED = "[#$&*+<=>@\\[\\]^_`{|}~]"


texts = st.text() | st.lists(st.sampled_from([*HOSTILE, *":/.-<>=~@$*_`[]()", "www", "http", " ", "\n", "1"])).map(
    "".join
)


@given(texts)
def test_what_is_seen_is_what_was_given_and_no_character_acts(text: str) -> None:
    made = plain(text)
    assert seen(made) == one_line(text)
    bare = REFERENCE.sub("", made.replace(NOTHING, ""))
    assert not re.search(MARKED, bare)
    assert not re.search(r":\S|--|(^| )-|-($| )", bare)


@given(texts)
def test_no_piece_of_text_holds_what_is_looked_for_after_escapes_are_gone(text: str) -> None:
    for piece in map(html.unescape, plain(text).split(NOTHING)):
        assert not re.search(
            r":material[_/]\w+:|:streamlit:|:[\w+-]+:|https?://|www\.|[\w.+-]+@[\w-]+\.\w", piece, re.I
        ), piece
        assert not re.search(r"(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)", piece)


@given(texts)
def test_a_chart_s_text(text: str) -> None:
    made = in_chart(text)
    assert html.unescape(made) == one_line(text)
    assert not set("<>$%") & set(made)


@pytest.mark.parametrize(
    "text",
    ["cat", "Egyptian cat", "black-and-tan", "cut off.jpg", "3.5 V", "a, b; c? d!", "naïve (2) x", "at most 65535."],
)
def test_ordinary_text_stays_readable(text: str) -> None:
    assert plain(text) == text


def test_it_is_on_one_line_and_holds_no_control_characters() -> None:
    assert one_line(" a\n\n# b\tc\u2028d\u202ee\0f ") == "a # b c d e f"
    assert one_line("👩\u200d🚀 می\u200cخواهم") == "👩\u200d🚀 می\u200cخواهم"  # joiners belong to the writing


def test_a_quotation_is_short() -> None:
    assert quoted("resnet") == "“resnet”"
    assert seen(quoted("![x](http://a/b.png)\n# `now`")) == "“![x](http://a/b.png) # `now`”"
    assert quoted("a" * 1000) == f"“{'a' * 40}…”"
    assert quoted(" \n") == "empty"


def test_long_lists_are_cut_short() -> None:
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"], 3) == "a, b, c and 2 more"
