"""Streamlit, as python -m streamlit, but that attacks on traffic signs rest before each update.

They last for seconds so, and are no work for a machine that has other tests to run.
"""

from __future__ import annotations

import time
from typing import Any

from streamlit.web import cli

from lab.runs.attack_run import AttackRun

SIGNS = "gtsrb-onehot"
REST = 0.3
"""Seconds."""


def rest(run: AttackRun, loaded: Any) -> Any:
    attack = start(run, loaded)
    while True:
        if run.request.model == SIGNS:
            time.sleep(REST)
        try:
            step = next(attack)
        except StopIteration as end:
            return end.value
        yield step


start, AttackRun._start = AttackRun._start, rest  # type: ignore[method-assign]

if __name__ == "__main__":
    cli.main(prog_name="streamlit")
