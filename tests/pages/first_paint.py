"""What each page shows while no network is there, printed as JSON, and whether drawing it has imported torch.

A program of its own, since the tests have torch.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from lab.runs.pool import ModelPool
from tests.pages.page import Page

HEAVY = {"torch", "timm", "torchvision", "open_clip"}
STEPS = range(1, 8)


def seen(page: Page) -> dict[str, Any]:
    player = page.main.get("bidi_component")
    return {
        "heavy": sorted(HEAVY & set(sys.modules)),
        "exceptions": [each.value for each in page.exception],
        "titles": [each.value for each in page.title],
        "subheaders": [each.value for each in page.subheader],
        "texts": page.texts(),
        "success": [each.value for each in page.success],
        "info": [each.value for each in page.info],
        "enabled": [each.label for each in page.main.button if not each.disabled],
        "charts": len(page.get("plotly_chart")),
        "downloads": len(page.get("download_button")),
        "player": json.loads(player[0].proto.json)[0] if player else None,
    }


def main() -> None:
    release = threading.Event()
    ModelPool._load = lambda *_: release.wait()  # type: ignore[method-assign]  # a network that is never there
    names = ("compare", "photos", "benchmark", "geometry", "present", "runs", "models")
    pages = {"attack_lab": Page()} | {name: Page(name) for name in names}
    pages |= {f"learn {step}": Page("learn", step=str(step)) for step in STEPS}
    print(json.dumps({name: seen(page.run()) for name, page in pages.items()}))
    release.set()


if __name__ == "__main__":
    main()
