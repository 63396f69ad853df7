"""Sets with several labels a picture are read in the words of the zoo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import VOCDetection

from models import data
from models.data import DataError, ImageSet, Split, coco, corel5k, corel_words, voc2007
from tests.models.data.sets import Array, noise


def save(file: Path, photo: Array) -> Array:
    """Write a JPEG; returns the pixels that it decodes to."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(file, quality=95)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def photo_at(split: Split, number: int) -> Array:
    return np.asarray(split.photos[number])


def test_corel_loses_its_mounts_and_keeps_its_words(tmp_path: Path) -> None:
    ids = [str(1000 + number) for number in range(30)]
    tests = {3, 17, 18}
    stored = {
        name: save(tmp_path / "corel5k" / "images" / f"{name}.jpg", noise(30, 50, 3, seed=int(name))) for name in ids
    }
    cells = {name: (number % 2, number % 3 == 0, number % 5 == 0) for number, name in enumerate(ids)}
    rows = ["id,split,water,jet,people"]
    for number, name in enumerate(ids):
        a, b, c = (int(cell) for cell in cells[name])
        rows.append(f"{name},{'test' if number in tests else 'trainval'},{a},{b},{c}")
    (tmp_path / "corel5k" / "labels_objects.csv").write_text("\n".join(rows) + "\n")

    found = corel5k(tmp_path).split(["people", "bus", "water"])
    assert (len(found.train), len(found.validation), list(found.tests)) == (24, 3, ["Corel-5k"])
    test = found.tests["Corel-5k"]
    for number, name in enumerate(ids[k] for k in sorted(tests)):
        np.testing.assert_array_equal(photo_at(test, number), stored[name][6:-6, 6:-6])
        water, _, people = cells[name]
        assert test.targets[number].tolist() == [people, -1, water]
    remaining = {name for number, name in enumerate(ids) if number not in tests}
    named = {stored[name][6:-6, 6:-6].tobytes(): name for name in ids}
    for part in (found.train, found.validation):
        for number in range(len(part)):
            name = named[photo_at(part, number).tobytes()]
            remaining.remove(name)
            assert part.targets[number].tolist() == [cells[name][2], -1, cells[name][0]]
    assert not remaining
    again = corel5k(tmp_path).split(["people", "bus", "water"])
    np.testing.assert_array_equal(again.validation.pictures(), found.validation.pictures())


def test_every_word_of_corel_can_be_a_label(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected corel5k/words_all\.csv"):
        corel_words(tmp_path)
    given = {"1": ("trainval", "sky sun"), "2": ("test", "sun polar"), "3": ("trainval", "close-up")}
    stored = {
        name: save(tmp_path / "corel5k" / "images" / f"{name}.jpg", noise(30, 50, 3, seed=int(name))) for name in given
    }
    rows = ["id,split,words", *(f"{name},{part},{words}" for name, (part, words) in given.items())]
    (tmp_path / "corel5k" / "words_all.csv").write_text("\n".join(rows) + "\n")
    whole = corel_words(tmp_path)
    assert whole.words == ("close-up", "polar", "sky", "sun")
    assert whole.known.tolist() == [[0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0]]
    test = whole.split(["sun", "sky", "bus"]).tests["Corel-5k"]
    assert test.targets.tolist() == [[1, 0, -1]]
    np.testing.assert_array_equal(photo_at(test, 0), stored["2"][6:-6, 6:-6])


VOC = {
    "000007": ("trainval", {"car": "0"}),
    "000012": ("trainval", {"aeroplane": "0", "person": "1"}),
    "000019": ("trainval", {"cat": "0"}),
    "000001": ("test", {"cat": "0", "person": "0"}),
    "000002": ("test", {"train": "0", "aeroplane": "1"}),
}
VOC_LABELS = ("plane", "people", "cat", "tiger", "cars", "train", "jet", "aeroplane")
VOC_TARGETS = {
    "000007": [0, 0, 0, 0, 1, 0, -1, -1],
    "000012": [1, -1, 0, 0, 0, 0, -1, -1],
    "000019": [0, 0, 1, 0, 0, 0, -1, -1],
    "000001": [0, 1, 1, 0, 0, 0, -1, -1],
    "000002": [-1, 0, 0, 0, 0, 1, -1, -1],
}


def assert_voc(found: ImageSet, stored: dict[str, Array]) -> None:
    assert list(found.tests) == ["VOC 2007"]
    test = found.tests["VOC 2007"]
    assert test.targets.tolist() == [VOC_TARGETS["000001"], VOC_TARGETS["000002"]]
    for number, name in enumerate(("000001", "000002")):
        np.testing.assert_array_equal(photo_at(test, number), stored[name])
    seen = []
    for part in (found.train, found.validation):
        for number in range(len(part)):
            (name,) = [name for name in stored if np.array_equal(stored[name], photo_at(part, number))]
            assert part.targets[number].tolist() == VOC_TARGETS[name]
            seen.append(name)
    assert sorted(seen) == ["000007", "000012", "000019"]


def test_packed_voc_calls_its_words_as_the_zoo_does_and_has_no_tigers(tmp_path: Path) -> None:
    words = ("aeroplane", "car", "cat", "person", "train")
    rows = [",".join(("id", "split", *words))]
    stored = {}
    for name, (part, objects) in VOC.items():
        cells = ({"0": "1", "1": "-1"}[objects[word]] if word in objects else "0" for word in words)
        rows.append(",".join((name, part, *cells)))
        stored[name] = save(tmp_path / "voc2007" / part / f"{name}.jpg", noise(20, 30, 3, seed=int(name)))
    (tmp_path / "voc2007" / "labels.csv").write_text("\n".join(rows) + "\n")
    assert_voc(voc2007(tmp_path).split(VOC_LABELS), stored)


def annotation(objects: Mapping[str, str]) -> str:
    """As in VOC; a person's head is a part, and no object of its own."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    inner = "".join(
        f"<object><name>{word}</name><difficult>{hard}</difficult>{part}</object>" for word, hard in objects.items()
    )
    return f"<annotation><folder>VOC2007</folder><size><width>30</width></size>{inner}</annotation>"


def write_devkit(folder: Path, sheet: Mapping[str, tuple[str, Mapping[str, str]]]) -> dict[str, Array]:
    base = folder / "VOCdevkit" / "VOC2007"
    for part in ("Annotations", "ImageSets/Main"):
        (base / part).mkdir(parents=True)
    stored = {}
    for name, (part, objects) in sheet.items():
        stored[name] = save(base / "JPEGImages" / f"{name}.jpg", noise(20, 30, 3, seed=int(name)))
        (base / "Annotations" / f"{name}.xml").write_text(annotation(objects))
        with (base / "ImageSets" / "Main" / f"{part}.txt").open("a") as listing:
            listing.write(f"{name}\n")
    return stored


def test_voc_of_torchvision_is_what_torchvision_reads(tmp_path: Path) -> None:
    stored = write_devkit(tmp_path, VOC)
    found = voc2007(tmp_path)
    assert_voc(found.split(VOC_LABELS), stored)
    assert "head" not in found.words
    for part, test in [("trainval", False), ("test", True)]:
        theirs = VOCDetection(tmp_path, year="2007", image_set=part)
        numbers = np.flatnonzero(found.is_test == test)
        assert len(theirs) == len(numbers)
        for number, (photo, tree) in zip(numbers, theirs, strict=True):
            assert photo.tobytes() == found.photos[number].tobytes()
            certain = {each["name"] for each in tree["annotation"]["object"] if each["difficult"] == "0"}
            assert {word for word, cell in zip(found.words, found.known[number], strict=True) if cell == 1} == certain


@pytest.mark.parametrize("order", [("0", "1"), ("1", "0")])
def test_an_easy_object_overrules_a_difficult_one_of_its_kind(tmp_path: Path, order: tuple[str, str]) -> None:
    write_devkit(tmp_path, {"000001": ("trainval", {"car": "0"}), "000002": ("test", {"car": "1"})})
    twice = "".join(f"<object><name>cat</name><difficult>{hard}</difficult></object>" for hard in order)
    (tmp_path / "VOCdevkit/VOC2007/Annotations/000002.xml").write_text(f"<annotation>{twice}</annotation>")
    found = voc2007(tmp_path).split(["cat", "cars"])
    assert found.tests["VOC 2007"].targets.tolist() == [[1, 0]]


def test_coco_is_read_by_its_ids(tmp_path: Path) -> None:
    categories = [{"id": 90, "name": "airplane"}, {"id": 1, "name": "person"}, {"id": 17, "name": "dining table"}]
    parts = {"train": {11: [90, 90], 5: [], 8: [17], 3: [1, 17]}, "val": {7: [1, 90], 2: [17]}}
    stored: dict[str, list[Array]] = {"train": [], "val": []}
    (tmp_path / "annotations").mkdir()
    for part, found in parts.items():
        images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in found]
        boxes = [{"image_id": number, "category_id": word} for number, words in found.items() for word in words]
        content = {"images": images, "annotations": boxes[::-1], "categories": categories}
        (tmp_path / "annotations" / f"instances_{part}2017.json").write_text(json.dumps(content))
        for number in found:
            file = tmp_path / f"{part}2017" / f"{number:012}.jpg"
            stored[part].append(save(file, noise(20, 30, 3, seed=number)))

    whole = coco(tmp_path)
    assert whole.name == "COCO"
    assert whole.is_test.tolist() == [False] * 4 + [True] * 2
    for number, photo in enumerate(stored["train"] + stored["val"]):
        np.testing.assert_array_equal(np.asarray(whole.photos[number]), photo)
    split = whole.split(["people", "plane", "diningtable", "water"])
    assert split.tests["COCO"].targets.tolist() == [[1, 1, 0, -1], [0, 0, 1, -1]]
    learned = [*split.train.targets.tolist(), *split.validation.targets.tolist()]
    expected = [[0, 1, 0, -1], [0, 0, 0, -1], [0, 0, 1, -1], [1, 0, 1, -1]]
    assert sorted(learned) == sorted(expected)

    (tmp_path / "annotations" / "instances_train2017.json").unlink()
    only = coco(tmp_path)
    assert only.is_test.all()
    assert len(only.photos) == 2


@pytest.mark.parametrize(
    ("words", "zoo"),
    [
        (
            ("aeroplane", "bird", "boat", "car", "horse", "person"),
            ("plane", "birds", "boats", "cars", "horses", "people"),
        ),
        (("airplane", "motorcycle", "couch", "tv"), ("plane", "motorbike", "sofa", "tvmonitor")),
        (("potted plant", "dining table", "flower"), ("pottedplant", "diningtable", "flowers")),
    ],
)
def test_words_of_every_set_become_the_zoos(words: tuple[str, ...], zoo: tuple[str, ...]) -> None:
    known = np.eye(len(words), dtype=int)
    whole = data.LabelledSet("any", data.Files([]), words, known, np.ones(len(words), dtype=bool))
    np.testing.assert_array_equal(whole.split(zoo).tests["any"].targets, known)
    assert (whole.split(["xylophone"]).tests["any"].targets == -1).all()
