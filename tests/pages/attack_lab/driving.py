"""Driving the attack lab in Streamlit's own simulator, and what its networks say, asked without the app."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import torch
from PIL import Image

from jma_core.records import FREE, AttackResult
from lab import exports
from lab.photos.samples import samples
from lab.photos.uploads import Photo
from lab.runs.pool import models
from models.loaders import LoadedModel, to_tensor
from models.registry import MODELS
from tests.pages.page import PATIENCE, Page
from tests.sessions import session_of
from ui.parts import downloads

ONE_HOT, SIGNS, CODE = "imagenet-onehot", "gtsrb-onehot", "cifar10-ecoc16"


# --- driving the page


def enabled(at: Page) -> set[str]:
    """Labels of the player's buttons that can be pressed."""
    return {each.label for each in at.main.button if not each.disabled}


def gallery(at: Page) -> list[str]:
    """The photos on offer in the sidebar, one's own last, by their names there."""
    return [each.label for each in at.sidebar.button if (each.key or "").startswith("photo-")]


def choose(at: Page, name: str) -> Page:
    """Choose a wanted class by its name."""
    box = at.widget("selectbox", "Wanted class")
    return box.select(box.options.index(name)).run()


def choose_model(at: Page, name: str) -> Page:
    return at.widget("selectbox", "Model").select(name).run().settle()


def sent(at: Page) -> dict[str, Any]:
    """What the player is sent when the browser has kept nothing of it."""
    session_of(at).sent.clear()
    return json.loads(at.run().main.get("bidi_component")[0].proto.json)[0]


def moment(at: Page) -> dict[str, Any]:
    """What the player is to show first."""
    data = sent(at)
    (shown,) = (each for each in data["film"] if each["update"] == data["shown"])
    return shown | data["parcels"][shown["parcel"]]


def captions(at: Page) -> list[str]:
    """What the player is to write below its original and its attacked picture."""
    data, shown = sent(at), moment(at)
    original = data["parcels"][data["film"][0]["parcel"]]["reads"]
    return [f"Original: {original}", f"Attacked: {shown['reads']}"]


# --- what the networks say, asked without the app


def network(name: str) -> LoadedModel:
    return models().request(name).result(PATIENCE)


def logits(name: str, picture: np.ndarray) -> torch.Tensor:
    model = network(name)
    with torch.no_grad():
        return model.network(to_tensor(picture, model.device)[None])[0]


def reading(name: str, picture: np.ndarray) -> list[str]:
    """The labels that a model reads in a picture (size, size, 3)."""
    model = network(name)
    decoded = model.encoding.decode(logits(name, picture)).cpu().numpy()
    return [model.spec.encoding.labels[i] for i in (np.flatnonzero(decoded) if decoded.ndim else [int(decoded)])]


def words(labels: list[str]) -> str:
    """Labels as the page names them."""
    return ", ".join(labels) or "none of its labels"


def swap(name: str, picture: np.ndarray) -> tuple[str, str, list[str]]:
    """Of a multi-label model: the strongest label present, the strongest absent, and the labels with them swapped."""
    spec = MODELS[name]
    above = logits(name, picture).cpu().numpy() - np.array(spec.encoding.thresholds)
    strongest = int(np.where(above > 0, above, -np.inf).argmax())
    following = int(np.where(above > 0, -np.inf, above).argmax())
    assert above[strongest] > 0, "the test needs a photo with a label"
    swapped = {*np.flatnonzero(above > 0).tolist(), following} - {strongest}
    return (
        spec.encoding.labels[strongest],
        spec.encoding.labels[following],
        [spec.encoding.labels[i] for i in sorted(swapped)],
    )


def sample(name: str, kind: str = "photos") -> Photo:
    return next(photo for photo in samples(kind).values() if photo.name.startswith(name))


def seen(model: str, name: str) -> np.ndarray:
    """What a model sees of one of its sample photos."""
    spec = MODELS[model]
    return spec.preprocessing(sample(name, spec.samples).image)


def eight_bits(result: AttackResult) -> np.ndarray:
    """The picture (H, W, 3) of a result."""
    return np.rint(result.image * 255).astype(np.uint8).transpose(1, 2, 0)


def check_success(at: Page) -> AttackResult:
    """The attack shown has reached its target by the decoder, asked anew, and its files round-trip."""
    request, result = at.shown().request, at.shown().result
    assert result is not None
    assert result.success
    model = network(request.model)
    with torch.no_grad():
        z = model.network(torch.from_numpy(result.image).to(model.device)[None])[0]
    wanted = np.array(request.target)
    for decoded in (model.encoding.decode(z).cpu().numpy(), result.decoded):
        np.testing.assert_array_equal(decoded, np.where(wanted == FREE, decoded, wanted))
    with np.load(
        io.BytesIO(exports.npz(model.spec, request, result, saved=downloads.files(request, result).end))
    ) as stored:
        np.testing.assert_array_equal(stored["image"], result.image)
        np.testing.assert_array_equal(stored["target"], wanted)
    assert at.success[0].value.startswith("The result reads as")
    return result


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
