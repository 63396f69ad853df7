"""Make the comparison that the app shows before torch is there: python -m bench.comparison"""

from __future__ import annotations

from dataclasses import replace

import torch

from jma_core import AttackResult, run
from lab.archive import pack_comparison
from lab.comparison import Contender, Saved, first_attacks
from lab.photos.samples import EXAMPLE_PHOTO
from lab.photos.uploads import read_photo
from lab.request import Request
from lab.runs.launch import launch
from models.encodings import Prediction
from models.loaders import load, to_tensor
from models.registry import ASSETS, DEFAULT, MODELS
from ui.parts.downloads import made


def main() -> None:
    """Attack the first sample photo as the page Compare proposes it, with its own defaults."""
    model = load(MODELS[DEFAULT])
    path = ASSETS / "samples" / model.spec.samples / EXAMPLE_PHOTO
    photo = read_photo(path.read_bytes(), path.name)
    picture = model.spec.preprocessing(photo.image)
    with torch.no_grad():
        z = model.network(to_tensor(picture)[None])[0]
    target = model.spec.encoding.proposed(Prediction(z.numpy(), model.encoding.decode(z).numpy()))
    contenders = []
    for settings in first_attacks(model.spec.encoding.asked(target)):
        request = Request(model.spec.name, photo.digest, target, settings)
        result = run(launch(request, model, picture))
        files = made(request, result, photo)
        saved = (
            Saved(float(files.end.distortion.l2), files.verdicts["PNG, 8 bits"].survives) if result.success else None
        )
        contenders.append(Contender(request, thinned(result), saved))
        print(f"{settings.attack}: {result.reason}, L2 {result.distortion.l2:.3f}, {result.seconds:.1f} s, {saved}")
    packed = pack_comparison(contenders, model.spec.sha256, small=True)
    (ASSETS / "comparison.npz").write_bytes(packed)
    print(f"{len(packed) / 2**20:.2f} MiB")


def thinned(result: AttackResult) -> AttackResult:
    """With one picture on the way, at half of what it cost."""
    way = [step for step in result.steps if step.backward < result.backward]
    middle = min(way, key=lambda step: abs(step.backward - result.backward / 2), default=None)
    return replace(result, steps=(middle,) if middle else ())


if __name__ == "__main__":
    main()
