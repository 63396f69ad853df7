"""Make the finished attack, and the logit space, that the app shows before torch is imported: python -m ui.example"""

from __future__ import annotations

from dataclasses import asdict

import torch

from jma_core import jma, run
from models.loaders import load, to_tensor
from models.registry import ASSETS, DEFAULT, MODELS
from ui.archive import pack, pack_space, unpack_space
from ui.backend import measure
from ui.readout import preset_target
from ui.request import Request, Settings
from ui.state import EXAMPLE_PHOTO
from ui.uploads import read_photo


def main() -> None:
    """Attack the first sample photo as the page proposes it, with the app's own defaults."""
    model = load(MODELS[DEFAULT])
    path = ASSETS / "samples" / model.spec.samples / EXAMPLE_PHOTO
    photo = read_photo(path.read_bytes(), path.name)
    image = to_tensor(model.spec.preprocessing(photo.image))
    with torch.no_grad():
        z = model.network(image[None])[0]
    target = preset_target(model.spec, z.numpy(), model.encoding.decode(z).numpy())
    request = Request(model.spec.name, photo.digest, target, Settings())
    result = run(jma(model.network, image, model.encoding, request.target, **asdict(request.settings)))
    packed = pack(request, result)
    (ASSETS / "example.npz").write_bytes(packed)
    measured = pack_space(measure(model, image, target))
    (ASSETS / "example-space.npz").write_bytes(measured)
    print(f"{result.reason}: L2 {result.distortion.l2:.3f}, {len(result.steps)} steps, {len(packed) / 2**20:.1f} MiB")
    price = unpack_space(measured).space.price
    print(f"r' costs {price:.2f} times as much as r*, {len(measured) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
