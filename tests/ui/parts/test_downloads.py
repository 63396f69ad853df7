"""A saved picture, opened like any photo, is read as the page and the report say of it before the download."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jma_core import AttackResult, run
from jma_core.records import reads
from lab import exports
from lab.photos.samples import samples
from lab.photos.uploads import Photo, read_photo
from lab.pictures import as_png, to_picture
from lab.report.report import Files
from lab.request import Canvas, Request, Settings
from lab.runs.launch import launch
from lab.runs.pool import models
from models.encodings import Prediction
from models.loaders import LoadedModel, load, to_tensor
from models.photos import Preprocessing
from models.registry import MODELS
from ui.parts import downloads
from ui.shell.cached import fingerprint, predict

SIGNS = "gtsrb-onehot"
WHOLE = Canvas()


def photo_of(name: str, kind: str) -> Photo:
    return next(photo for photo in samples(kind).values() if photo.name.startswith(name))


def looked_at(model: LoadedModel, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and the decoder's word, asked without the app."""
    with torch.no_grad():
        z = model.network(to_tensor(picture)[None])[0]
    return z.numpy(), model.encoding.decode(z).numpy()


def opened(model: LoadedModel, data: bytes) -> np.ndarray:
    """The picture that a network sees of a file, by the way that README shows."""
    return model.spec.preprocessing(Image.open(io.BytesIO(data)))


@pytest.fixture(scope="session")
def loaded() -> Callable[[str], LoadedModel]:
    known: dict[str, LoadedModel] = {}
    return lambda name: known.setdefault(name, known.get(name) or load(MODELS[name]))


@pytest.fixture
def offer(loaded: Callable[[str], LoadedModel], monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadedModel]:
    """Puts a shipped network on offer behind another preprocessing: offer(name, crop=0.95)."""

    def put(name: str, **changes: object) -> LoadedModel:
        spec = MODELS[name]
        spec = replace(spec, name=f"{name} {changes}", preprocessing=replace(spec.preprocessing, **changes))
        future: Future[LoadedModel] = Future()
        future.set_result(replace(loaded(name), spec=spec))
        monkeypatch.setitem(models().specs, spec.name, spec)
        monkeypatch.setitem(models()._models, spec.name, future)
        return future.result()

    return put


@pytest.fixture
def save(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Request, AttackResult, Files]]:
    """Attacks a photo towards the target that the lab proposes, and saves the end."""

    def attack(
        model: LoadedModel, photo: Photo, canvas: Canvas = WHOLE, **settings: Any
    ) -> tuple[Request, AttackResult, Files]:
        monkeypatch.setattr(downloads, "photos", lambda kind: {photo.digest: photo})
        seen = model.spec.preprocessing(photo.image)
        target = model.spec.encoding.proposed(Prediction(*looked_at(model, seen)))
        request = Request(model.spec.name, photo.digest, target, Settings.of(**settings), canvas)
        result = run(launch(request, model, np.asarray(photo.image) if canvas.native else seen))
        assert result.success
        return request, result, downloads.files(request, result)

    return attack


def check(model: LoadedModel, request: Request, photo: Photo, files: Files) -> float:
    """The file is read as wanted, and so says its verdict; it shows the whole photo. Gives the decoder's margin."""
    spec, target = model.spec, np.array(request.target)
    picture = opened(model, files.png)
    np.testing.assert_array_equal(spec.preprocessing(read_photo(files.png, "a.png").image), picture)
    z, decoded = looked_at(model, picture)
    assert reads(decoded, target)
    predict.clear()  # a fresh server
    assert files.verdicts["PNG, 8 bits"] == downloads.opened_again(spec, request.target, files.png)
    assert (files.verdicts["PNG, 8 bits"].survives, files.verdicts["PNG, 8 bits"].reads) == (
        True,
        spec.encoding.names(decoded),
    )
    saved = Image.open(io.BytesIO(files.png))
    jpeg = io.BytesIO()
    saved.save(jpeg, "JPEG", quality=90)
    again = looked_at(model, opened(model, jpeg.getvalue()))[1]
    verdict = files.verdicts["JPEG, quality 90"]
    assert (verdict.survives, verdict.reads) == (reads(again, target), spec.encoding.names(again))
    if request.canvas.native:
        np.testing.assert_array_equal(saved, to_picture(files.end.image))
        assert saved.size == photo.image.size
    else:
        np.testing.assert_array_equal(picture, to_picture(files.end.image))
        resized, (left, top) = spec.preprocessing.layout(photo.image.size)
        untouched = np.ones(resized[::-1], bool)
        untouched[top : top + spec.preprocessing.size, left : left + spec.preprocessing.size] = False
        whole = photo.image.resize(resized, spec.preprocessing.method)
        np.testing.assert_array_equal(np.asarray(saved)[untouched], np.asarray(whole)[untouched])
    return float(spec.encoding.margins(z, request.target).min())


@pytest.fixture
def sign() -> Photo:
    """A sign on a photo of odd sides."""
    image = photo_of("keep_right", "gtsrb").image.resize((71, 53), Image.Resampling.LANCZOS)
    return read_photo(as_png(image), "sign.png")


CROPS = [{"crop": 0.875}, {"crop": 0.95}, {"crop": 1.0}, {"squash": True}]


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("cut", CROPS, ids=str)
def test_a_saved_picture_is_read_as_wanted_whatever_the_network_does_to_photos(
    cut: dict[str, Any], name: str, sign: Photo, offer: Callable[..., LoadedModel], save: Callable[..., Any]
) -> None:
    model = offer(SIGNS, interpolation=name, **cut)
    request, _, files = save(model, sign)
    check(model, request, sign, files)


@pytest.mark.parametrize("cut", CROPS, ids=str)
def test_and_so_is_a_photo_saved_at_its_own_size(
    cut: dict[str, Any], sign: Photo, offer: Callable[..., LoadedModel], save: Callable[..., Any]
) -> None:
    model = offer(SIGNS, **cut)
    request, _, files = save(model, sign, Canvas(native=True))
    check(model, request, sign, files)


@pytest.mark.parametrize("canvas", [Canvas(region=(0.0, 0.25, 0.5, 0.75)), Canvas(True, (0.0, 0.25, 0.5, 0.75))])
@pytest.mark.parametrize("name", ["cifar10-ecoc16", "mnist-ecoc16", "gtsrb-ecoc32"])
def test_a_part_of_a_photo_attacked_by_its_code_is_read_as_wanted(
    name: str, canvas: Canvas, offer: Callable[..., LoadedModel], save: Callable[..., Any]
) -> None:
    model = offer(name, crop=0.9)
    photo = next(iter(samples(model.spec.samples).values()))
    request, _, files = save(model, photo, canvas, kappa=0.5)
    check(model, request, photo, files)


def test_files_are_made_once(
    sign: Photo, offer: Callable[..., LoadedModel], save: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = offer(SIGNS, crop=0.875)
    request, result, files = save(model, sign)
    monkeypatch.setattr(downloads, "opened_again", lambda *_: pytest.fail("they are made again"))
    assert downloads.files(request, replace(result)) is files  # as a rerun of the page, or a run that is opened again
    other = replace(result, image=np.clip(result.image * 0.99, 0, 1))
    with pytest.raises(pytest.fail.Exception):
        downloads.files(request, other)


def test_a_photo_that_is_not_at_hand_any_more_has_its_edges_go_on(
    sign: Photo, offer: Callable[..., LoadedModel], save: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = offer(SIGNS, crop=0.875)
    request, result, files = save(model, sign)
    assert files.about == (
        "The files, 49 × 37 pixels, are the attacked picture, 32 × 32, and around it what the network cuts off. "
        "“Opened again” means as a photo for this model: uploaded here, or through its preprocessing in Python. "
        "Programs that take the network's own picture find it in the arrays."
    )
    monkeypatch.setattr(downloads, "photos", lambda kind: {})
    files = downloads.files(request, result)
    assert files.about.startswith(
        "The files, 37 × 37 pixels, are the attacked picture, 32 × 32, and around it its edges going on"
    )
    assert files.verdicts["PNG, 8 bits"].survives
    saved, picture = np.asarray(Image.open(io.BytesIO(files.png))), to_picture(files.end.image)
    np.testing.assert_array_equal(opened(model, files.png), picture)
    assert (saved[0, 0] == picture[0, 0]).all()
    assert (saved[-1, -1] == picture[-1, -1]).all()


def test_what_the_files_are_is_said_of_every_canvas(
    sign: Photo, offer: Callable[..., LoadedModel], save: Callable[..., Any]
) -> None:
    model = offer(SIGNS, squash=True)
    said = {canvas: save(model, sign, canvas)[2].about for canvas in (Canvas(), Canvas(native=True))}
    assert said[Canvas()].startswith("The files are the picture as the network sees it, 32 × 32 pixels.")
    assert said[Canvas()].endswith("find it in the arrays.")
    assert said[Canvas(native=True)].startswith("The files are the photo at its own size, 71 × 53 pixels, which the ")
    assert said[Canvas(native=True)].endswith("in Python.")


def test_a_file_that_an_upload_would_refuse_does_not_count_as_read() -> None:
    tiny = as_png(Image.new("RGB", (8, 8)))
    verdict = downloads.opened_again(replace(MODELS[SIGNS], preprocessing=Preprocessing(8, crop=1.0)), 0, tiny)
    assert not verdict.survives
    assert verdict.reads == "nothing. This picture has 8 x 8 pixels: at least 16 are needed on each side."
    assert verdict.margin == ""


def test_a_prediction_is_that_of_the_picture_that_is_given(sign: Photo, offer: Callable[..., LoadedModel]) -> None:
    """A file of 32 x 32 as it is, and prepared: enlarged, and cropped to 32 x 32 again."""
    model = offer(SIGNS, crop=0.5)
    plain = np.asarray(photo_of("stop", "gtsrb").image.resize((32, 32)))
    prepared = model.spec.preprocessing(Image.fromarray(plain))
    for picture in (prepared, plain, prepared):
        said = predict(model.spec.name, picture)
        z, decoded = looked_at(model, picture)
        np.testing.assert_allclose(said.logits, z, atol=1e-5)
        assert said.decoded == decoded
    assert np.abs(predict(model.spec.name, plain).logits - predict(model.spec.name, prepared).logits).max() > 0.1


def test_arrays_are_told_apart_by_every_pixel_and_their_shape() -> None:
    large = np.zeros((600, 600, 3), np.uint8)
    other = large.copy()
    other[123, 321, 1] = 1
    alike = [large, other, large.reshape(300, 1200, 3), large.view(np.int8), large[:599]]
    assert len({fingerprint(each) for each in alike}) == len(alike)
    assert fingerprint(large.copy()) == fingerprint(large)
    assert fingerprint(other[:, ::-1]) == fingerprint(other[:, ::-1].copy()) != fingerprint(other)


PHOTOS = [
    *((name, photo, {}) for name in ("imagenet-onehot", "scenes") for photo in ("espresso", "cat", "statue", "birds")),
    *(("imagenet-onehot", photo, cut) for photo in ("coral", "rocket") for cut in ({"crop": 0.95}, {"squash": True})),
    *(("scenes", photo, {"squash": False, "crop": crop}) for photo in ("cars", "bridge") for crop in (0.875, 0.95)),
    ("imagenet-onehot", "people", {"crop": 0.95, "interpolation": "bilinear", "size": 225}),
    ("scenes", "flowers", {"squash": False, "interpolation": "lanczos", "size": 191}),
    *(("cifar10-ecoc16", photo, {}) for photo in ("frog", "ship", "cat")),
    *(("gtsrb-onehot", photo, {}) for photo in ("stop", "give_way", "no_entry")),
    *(("gtsrb-ecoc32", photo, {}) for photo in ("stop", "road_works", "limit_50")),
    *(("mnist-ecoc16", photo, {}) for photo in ("3.png", "7.png", "9.png")),
]


@pytest.mark.slow
@pytest.mark.parametrize("canvas", [Canvas(), Canvas(native=True)], ids=["seen", "native"])
@pytest.mark.parametrize(("name", "photo", "changes"), PHOTOS, ids=str)
def test_the_zoo_reads_what_it_saves(
    name: str,
    photo: str,
    changes: dict[str, Any],
    canvas: Canvas,
    offer: Callable[..., LoadedModel],
    save: Callable[..., Any],
) -> None:
    """pytest -m slow -s tests/ui/parts/test_downloads.py prints the table."""
    model, taken = offer(name, **changes), photo_of(photo, MODELS[name].samples)
    request, result, files = save(model, taken, canvas)
    margin = check(model, request, taken, files)
    size = " x ".join(map(str, Image.open(io.BytesIO(files.png)).size))
    ends = f"{result.distortion.l2:.3f} | {files.end.distortion.l2:.3f}"
    png, jpeg = files.verdicts.values()
    print(f"\n| {model.spec.name} | {photo} | {canvas.native} | {size} | {ends} | {png.reads} | {margin:.4f} | {jpeg}")


@pytest.mark.parametrize(
    ("name", "canvas"), [(SIGNS, WHOLE), ("mnist-ecoc16", Canvas(region=(0.0, 0.25, 1.0, 1.0)))], ids=["class", "code"]
)
def test_the_arrays_are_all_that_it_takes_to_look_again(
    name: str, canvas: Canvas, loaded: Callable[[str], LoadedModel], offer: Callable[..., LoadedModel], save: Any
) -> None:
    model = offer(name)
    request, result, files = save(model, next(iter(samples(model.spec.samples).values())), canvas)
    with np.load(io.BytesIO(exports.npz(model.spec, request, result, saved=files.end)), allow_pickle=False) as file:
        told = dict(file)
    assert all(array.size for array in told.values())
    assert (told["picture"].dtype, told["picture"].shape) == (np.uint8, (*result.image.shape[1:], 3))
    for image, logits, decoded in (
        (told["original"], "logits_before", "decoded_before"),
        (told["image"], "logits", "decoded"),
        (np.moveaxis(told["picture"] / np.float32(255), 2, 0), "logits_picture", "decoded_picture"),
    ):
        with torch.no_grad():
            z = model.network(torch.from_numpy(image)[None])[0].numpy()
        np.testing.assert_allclose(told[logits], z, atol=1e-4)
        scores = np.tanh(z) @ told["codebook"].T if "codebook" in told else z
        assert told[decoded] == scores.argmax()
    assert told["decoded"] == told["decoded_picture"] == told["target"] == request.target
    assert told["labels"].tolist() == list(model.spec.encoding.labels)
    assert ((told["image"] != told["original"]).any(0) <= told["mask"]).all()
    assert told["mask"].mean() == (1 if canvas is WHOLE else 0.75)
    assert told["trace_number"].tolist() == list(range(1, len(result.trace) + 1))
    assert told["trace_l2"][result.update - 1] == pytest.approx(result.distortion.l2, rel=1e-4)
    assert json.loads(str(told["header"])) == json.loads(exports.record(model.spec, request, result))
