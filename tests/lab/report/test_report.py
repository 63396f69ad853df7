"""The report is what the records say, and no label, title or file name can become more than text in it."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from jma_core.metrics import distortion
from jma_core.records import REACHED, AttackResult
from lab import exports
from lab.photos.samples import samples
from lab.pictures import perturbation_map, to_picture
from lab.report.charts import Curve, chart, ticks
from lab.report.report import MOMENTS, POLICY, SIDE, Files, Player, Verdict, report
from lab.report.templates import render
from lab.request import Canvas, Request, Settings
from lab.story import story
from models.cards import ModelSpec
from models.encodings import OneHot
from models.registry import ASSETS, MODELS
from ui.parts import downloads

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</title></style></main><iframe src='javascript:alert(3)'></iframe>",
    "' onmouseover='alert(4)",
    "<!-- & &lt;b&gt; ]]> <svg onload=alert(5)>",
]
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "strong", "ul", "li", "div", "figure"),
    *("img", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "svg", "text", "line", "polyline", "circle"),
}
VOID = {"img", "meta"}
"""Elements that have no end."""
AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
VERDICTS = {
    "PNG, 8 bits": Verdict(True, "flowers", "+0.03 logits"),
    "JPEG, quality 90": Verdict(False, "cat", "-1.2 logits"),
}
ABOUT = "What the files are."


class Tree(HTMLParser):
    """The elements of a page with their attributes, the text in each, and whether all of them were closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def attributes(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    def said(self, *tags: str) -> list[str]:
        return [text for tag, text in self.texts if tag in tags]

    def pictures(self) -> list[np.ndarray]:
        found = [str(each["src"]).removeprefix("data:image/png;base64,") for each in self.attributes("img")]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each, validate=True)))) for each in found]


def in_eight_bits(result: AttackResult) -> AttackResult:
    image = np.round(result.image * 255) / 255
    return replace(result, image=image, distortion=distortion(result.original, image))


def page(request: Request, result: AttackResult, spec: ModelSpec, photo: str = "a photo", **changes: Any) -> str:
    facts = exports.facts(spec, request, result) | changes
    files = Files(in_eight_bits(result), b"", changes.get("about", ABOUT), changes.get("verdicts", VERDICTS))
    return report(spec, request, result, files, photo, facts, AT)


@pytest.fixture(scope="module")
def tree(example: tuple[Request, AttackResult]) -> Tree:
    request, result = example
    return Tree(page(request, result, MODELS[request.model]))


@pytest.fixture(scope="module")
def hostile(example: tuple[Request, AttackResult]) -> str:
    request, result = example
    spec = MODELS[request.model]
    labels = tuple(f"{HOSTILE[i % len(HOSTILE)]} {i}" for i in range(len(spec.encoding.labels)))
    spec = replace(
        spec, name=HOSTILE[0], title=HOSTILE[1], sha256=HOSTILE[2], encoding=replace(spec.encoding, labels=labels)
    )
    verdicts = {HOSTILE[3]: Verdict(True, *HOSTILE[3:]), **dict.fromkeys(HOSTILE, Verdict(False, *HOSTILE[:2]))}
    versions = {HOSTILE[0]: HOSTILE[1]}
    request, result = replace(request, model=HOSTILE[0], photo=HOSTILE[3]), replace(result, detail=HOSTILE[4])
    return page(
        request,
        replace(result, success=False),
        spec,
        HOSTILE[2],
        verdicts=verdicts,
        versions=versions,
        about=HOSTILE[1],
    )


def test_hostile_text_stays_text(hostile: str) -> None:
    tree = Tree(hostile)
    assert {name for name, _ in tree.elements} == KNOWN
    for element, attributes in tree.elements:
        assert not any(name.startswith("on") or name in ("href", "style", "srcset", "action") for name in attributes)
        assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/png;base64,"), element
    everything = "\n".join(text for _, text in tree.texts)
    assert all(text in everything for text in HOSTILE)
    assert tree.said("style") == [text for text in tree.said("style") if "url(" not in text and "@import" not in text]


def test_the_page_refuses_scripts_and_requests_before_anything_else(tree: Tree) -> None:
    policies = [each for each in tree.attributes("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert [each["content"] for each in policies] == [POLICY]
    assert POLICY.startswith("default-src 'none'; img-src data:;")
    assert [tag for tag, _ in tree.elements[:4]] == ["html", "head", "meta", "meta"]


def test_it_shows_the_pictures_of_the_attack_bit_by_bit(tree: Tree, example: tuple[Request, AttackResult]) -> None:
    _, result = example
    shown = tree.pictures()
    assert len(shown) == 3 + 2 * MOMENTS
    np.testing.assert_array_equal(shown[0], to_picture(result.original))
    np.testing.assert_array_equal(shown[1], to_picture(in_eight_bits(result).image))
    np.testing.assert_array_equal(shown[2], perturbation_map(result.original, result.image)[0])
    updates = [text.split(":")[0] for text in tree.said("figcaption") if text.startswith("Update")]
    assert updates == [f"Update {result.steps[i].number}" for i in (0, 2, 5, 7, 10, 12)]


def test_it_says_what_was_wanted_and_what_came_of_it(tree: Tree, example: tuple[Request, AttackResult]) -> None:
    request, result = example
    spec = MODELS[request.model]
    assert tree.said("h1") == tree.said("title") == ["Attack report: cat → flowers"]
    assert tree.said("strong") == ["cat", "flowers", "flowers"]
    assert f"{spec.title} (multi-label), 2026-01-02 03:04 UTC. Photo: a photo." in tree.said("p")
    assert tree.said("li") == story(spec, request, result.original, result.steps, result)
    cells = tree.said("th", "td")
    flowers = cells.index("flowers")
    sure = [1 / (1 + np.exp(spec.encoding.thresholds[3] - z[3])) for z in (result.logits_before, result.logits)]
    assert cells[flowers + 1 : flowers + 4] == [f"{100 * sure[0]:.1f} %", "present", f"✓ {100 * sure[1]:.1f} %"]
    row = cells.index("L2")
    assert cells[row + 1 : row + 3] == [f"{result.distortion.l2:.4f}", f"{in_eight_bits(result).distortion.l2:.4f}"]
    assert cells[cells.index("JPEG, quality 90") + 1 :][:3] == ["✗ no", "cat", "-1.2 logits"]
    assert ABOUT in tree.said("p")
    assert cells[cells.index("weights") + 1] == f"sha256 {spec.sha256}"
    assert cells[cells.index("max iter") + 1] == "200"


@pytest.mark.parametrize(
    ("canvas", "which"),
    [(Canvas(), "as the network sees it in 8 bits"), (Canvas(native=True), "as saved in 8 bits")],
)
def test_it_says_of_which_picture_the_attacked_one_is(
    canvas: Canvas, which: str, example: tuple[Request, AttackResult]
) -> None:
    request, result = example
    tree = Tree(page(replace(request, canvas=canvas), result, MODELS[request.model]))
    assert tree.said("figcaption")[1] == f"Attacked, {which}: flowers"


def test_the_curves_are_those_of_the_steps(tree: Tree, example: tuple[Request, AttackResult]) -> None:
    request, result = example
    lines = [each["points"] for each in tree.attributes("polyline") if each["class"] == "main"]
    worst, _, norm, _ = (np.array([p.split(",") for p in str(line).split()], float) for line in lines)
    count = len(result.steps)
    before = MODELS[request.model].encoding.margins(result.logits_before, request.target).min()
    for drawn, x, values in [
        (worst, np.arange(count + 1), [before, *(step.values.min() for step in result.steps)]),
        (norm, np.arange(count + 1), [0.0, *(step.l2 for step in result.steps)]),
    ]:
        for pixels, exact, sign in ((drawn[:, 0], x, 1), (drawn[:, 1], values, -1)):
            slope, offset = np.polyfit(exact, pixels, 1)
            assert slope * sign > 0
            np.testing.assert_allclose(pixels, slope * np.array(exact) + offset, atol=0.11)  # rounded to 0.1 pixels


def test_of_a_long_attack_it_says_what_was_left_out_and_draws_the_curves_whole(
    example: tuple[Request, AttackResult],
) -> None:
    request, result = example
    tree = Tree(page(request, replace(result, steps=result.steps[::5]), MODELS[request.model]))
    assert "Pictures of 3 of 13 updates were kept; the curves have all of them." in " ".join(tree.said("p"))
    worst = next(str(each["points"]) for each in tree.attributes("polyline") if each["class"] == "main")
    assert len(worst.split()) == 14


def test_what_is_to_be_said_of_a_result_beside_its_success_is_said(example: tuple[Request, AttackResult]) -> None:
    request, result = example
    for detail, said in (
        (REACHED, "The target was reached."),
        (f"{REACHED} Its goal was made up.", "The target was reached. Its goal was made up."),
        ("The time cap of 3 s was reached.", "The target was reached. The time cap of 3 s was reached."),
    ):
        tree = Tree(page(request, replace(result, detail=detail), MODELS[request.model]))
        assert f" now. {said}" in tree.said("p")


def test_a_small_picture_keeps_its_pixels_and_a_class_its_row(finished: AttackResult) -> None:
    spec = ModelSpec("m", "M", OneHot(tuple("abcde")), "vgg")
    tree = Tree(page(Request("m", "p", int(finished.target), Settings()), finished, spec))
    assert tree.pictures()[0].shape == (16, 16, 3)
    assert {each["class"] for each in tree.attributes("figure")} == {"small"}
    cells = tree.said("th", "td")
    row = cells.index("abcde"[int(finished.target)])
    assert cells[row + 2] == "wanted"
    assert cells[row + 3].startswith("✓ ")
    assert "digest not stated" in cells


def test_a_photo_of_its_own_size_is_scaled_down_and_the_file_stays_small(example: tuple[Request, AttackResult]) -> None:
    request, result = example
    photo = next(each.image for each in samples("photos").values() if each.name.startswith("flowers"))
    original = np.asarray(photo.resize((860, 580))).transpose(2, 0, 1) / np.float32(255)
    noise = np.random.default_rng(0).normal(scale=0.004, size=original.shape)
    image = np.clip(original + noise, 0, 1)
    steps = tuple(replace(step, image=image) for step in result.steps)
    large = page(request, replace(result, original=original, image=image, steps=steps), MODELS[request.model])
    tree = Tree(large)
    assert [each.shape for each in tree.pictures()[:3]] == [(345, SIDE, 3)] * 3
    assert "Original: cat (scaled down from 860 × 580 pixels)" in tree.said("figcaption")
    assert 1e6 < len(large) < 3e6


def test_every_sample_is_credited_as_the_list_of_credits_does() -> None:
    listed = (ASSETS / "CREDITS.md").read_text()
    for kind in ("photos", "cifar10", "gtsrb", "mnist"):
        model = next(name for name, spec in MODELS.items() if spec.samples == kind)
        for digest, photo in samples(kind).items():
            what, who, terms = downloads.credit(Request(model, digest, 0, Settings())).split("; ")
            assert f"| {who} | {terms} |" in listed
            assert what.split(" (https://")[0] in listed, photo.name
    bridge = next(digest for digest, photo in samples("photos").items() if photo.name.startswith("bridge"))
    assert downloads.credit(Request("scenes", bridge, 0, Settings())) == (
        "Pont du Gard (https://commons.wikimedia.org/wiki/File:Pontdugard.jpg), as shipped with GCompris 3.1; Mimova; "
        "public domain"
    )
    assert downloads.credit(Request("scenes", "gone", 0, Settings())) == "not at hand any more"


def test_files_are_called_after_photo_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = next(digest for digest, photo in samples("photos").items() if photo.name.startswith("bridge"))
    assert downloads.file_name(Request("scenes", bridge, 0, Settings())) == "bridge-scenes-attacked"
    assert downloads.file_name(Request("scenes", "gone", 0, Settings())) == "photo-scenes-attacked"
    hostile = replace(samples("photos")[bridge], name='a/b "c" <d>.tar.png')
    monkeypatch.setattr(downloads, "photos", lambda kind: {"mine": hostile})
    assert downloads.file_name(Request("scenes", "mine", 0, Settings())) == "b-c-d-.tar-scenes-attacked"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-8.06, 0.4, [-10, -8, -6, -4, -2, 0, 2]),
        (0, 14, [0, 2, 4, 6, 8, 10, 12, 14]),
        (3, 3, [2.4, 2.6, 2.8, 3, 3.2, 3.4, 3.6]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_enclose_any_range_and_are_few() -> None:
    for low, length in np.random.default_rng(0).lognormal(sigma=6, size=(500, 2)):
        found = ticks(float(-low), float(length - low))
        assert found[0] <= -low + 1e-6 * length
        assert found[-1] >= length - low - 1e-6 * length
        assert 5 <= len(found) <= 10


def test_a_chart_leaves_out_what_is_not_finite() -> None:
    drawn = chart("t", "x", "y", [Curve("c", "main", np.array([(1, np.nan), (2, 1.0), (3, np.inf), (4, 2.0)]))])
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert drawn.count("<circle") == 2 + 2  # its points, and the legend's


def test_a_chart_s_words_are_escaped() -> None:
    drawn = chart("<i>t", '"x', "y&", [Curve("c<", "main", np.array([(0.0, 0.0), (1.0, 1.0)]))])
    assert 'aria-label="&lt;i&gt;t: y&amp; over &#34;x"' in drawn
    assert ">c&lt;</text>" in drawn


def test_what_a_template_asks_for_has_to_be_given() -> None:
    with pytest.raises(UndefinedError, match="is undefined"):
        render("report.html", title="no more than that")


def test_with_a_player_the_page_lets_its_one_script_run_and_no_text_ends_its_data(
    example: tuple[Request, AttackResult],
) -> None:
    request, result = example
    spec, texts = MODELS[request.model], json.dumps({"labels": HOSTILE})
    player = Player("<section></section>", "p {color: red}", "export default function mount() {}", texts)
    files = Files(in_eight_bits(result), b"", ABOUT, VERDICTS)
    tree = Tree(report(spec, request, result, files, "a photo", exports.facts(spec, request, result), AT, player))
    assert [each["type"] for each in tree.attributes("script")] == ["application/json", "module"]
    data, script = tree.said("script")
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    policies = [each["content"] for each in tree.attributes("meta") if "http-equiv" in each]
    assert policies == [f"{POLICY}; script-src 'sha256-{digest}'"]
    assert json.loads(data) == {"labels": HOSTILE}
