"""Make assets/example.npz, the finished attack that the app shows before torch is imported: python -m ui.example"""

from __future__ import annotations

from dataclasses import asdict

from jma_core import jma, run
from models.loaders import load, to_tensor
from models.photos import centre_crop
from models.registry import ASSETS, DEFAULT, MODELS
from ui.archive import pack
from ui.request import Request, Settings
from ui.uploads import read_photo


def main() -> None:
    """Attack the cat so that it reads as an espresso, with the app's own defaults."""
    model = load(MODELS[DEFAULT])
    photo = read_photo((ASSETS / "samples/cat.png").read_bytes(), "cat.png")
    picture = centre_crop(photo.image, model.spec.input_size)
    request = Request(model.spec.name, photo.digest, model.spec.labels.index("espresso"), Settings())
    result = run(jma(model.network, to_tensor(picture), model.encoding, request.target, **asdict(request.settings)))
    packed = pack(request, result)
    (ASSETS / "example.npz").write_bytes(packed)
    print(f"{result.reason}: L2 {result.distortion.l2:.3f}, {len(result.steps)} steps, {len(packed) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
