"""What plans of sweeps share."""

from __future__ import annotations

import pytest

from bench.rows import filled, share


def test_a_share_has_wilsons_interval() -> None:
    assert share(3, 4) == "0.75 [0.30, 0.95]"  # Wilson 1927: (2.96 +- 1.96 * 0.656) / 7.84, by hand 0.301 and 0.954
    assert share(None, 4) == share(0, 0) == "–"


def test_a_document_is_filled_between_its_marks_and_nowhere_else() -> None:
    text = "before\n<!-- table I -->\n\nold\n\n<!-- end I -->\nafter <!-- table II -->\n\nx\n\n<!-- end II -->"
    made = filled(text, "I", "new")
    assert made == text.replace("old", "new")
    assert filled(made, "I", "new") == made
    with pytest.raises(ValueError, match="marks of table III"):
        filled(text, "III", "new")
