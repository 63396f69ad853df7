"""Make the finished attack, and the logit space, that the app shows before torch is there: python -m bench.example"""

from __future__ import annotations

import torch

from jma_core import run
from lab.archive import pack, pack_space, unpack_space
from lab.photos.samples import EXAMPLE_PHOTO
from lab.photos.uploads import read_photo
from lab.probes import measure
from lab.request import Request, Settings
from lab.runs.launch import launch
from models.encodings import Prediction
from models.loaders import load, to_tensor
from models.registry import ASSETS, DEFAULT, MODELS


def main() -> None:
    """Attack the first sample photo as the page proposes it, with the app's own defaults."""
    model = load(MODELS[DEFAULT])
    path = ASSETS / "samples" / model.spec.samples / EXAMPLE_PHOTO
    photo = read_photo(path.read_bytes(), path.name)
    picture = model.spec.preprocessing(photo.image)
    image = to_tensor(picture)
    with torch.no_grad():
        z = model.network(image[None])[0]
    target = model.spec.encoding.proposed(Prediction(z.numpy(), model.encoding.decode(z).numpy()))
    request = Request(model.spec.name, photo.digest, target, Settings())
    result = run(launch(request, model, picture))
    packed = pack(request, result)
    (ASSETS / "example.npz").write_bytes(packed)
    measured = pack_space(measure(model, image, target))
    (ASSETS / "example-space.npz").write_bytes(measured)
    print(f"{result.reason}: L2 {result.distortion.l2:.3f}, {len(result.steps)} steps, {len(packed) / 2**20:.1f} MiB")
    price = unpack_space(measured).space.price
    print(f"r' costs {price:.2f} times as much as r*, {len(measured) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
