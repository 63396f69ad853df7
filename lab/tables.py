"""Tables as texts to be copied: rows of cells, the head first."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPECIAL = re.compile(r"[&%$#_{}]")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """For a text in Markdown; the second row is the rule below the head."""
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def tabular(rows: Sequence[Sequence[str]]) -> str:
    """For LaTeX, a tabular of booktabs; the cells are LaTeX already."""
    head, *body = (f"{' & '.join(row)} \\\\" for row in rows)
    begin = rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}"
    return "\n".join([begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"])


def escaped(text: str) -> str:
    """A text as LaTeX."""
    return SPECIAL.sub(lambda found: f"\\{found[0]}", text).replace("∞", r"$\infty$")
