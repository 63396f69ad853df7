"""The walk of an attack as a film for slides: original, attacked picture and perturbation, with captions."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jma_core.records import AttackResult, Step
from lab.pictures import perturbation_map, to_picture
from lab.request import Request
from models.cards import ModelSpec

MOST = 48
"""Updates that are shown, spread evenly over those that were kept."""
SIDE, GAP, HEAD, FOOT = 320, 16, 56, 72
"""Pixels: the longer side of a picture, what is between two, and the room above and below them."""
PACE, REST = 250, 2500
"""Milliseconds of an update, and of the original and the result."""
TYPE = 18
INK, PAPER = "#0c0c0b", "#ffffff"


def frames(spec: ModelSpec, request: Request, result: AttackResult) -> tuple[list[Image.Image], list[int]]:
    """The pictures of the film, RGB and of equal, even sides, and how many milliseconds each stays.

    First the original, then updates in order, last the one that is the result. All perturbations have one gain.
    """
    encoding = spec.encoding
    title = f"{encoding.names(result.decoded_before)}, to be read as {encoding.wish(request.target)}"
    _, gain = perturbation_map(result.original, result.image)
    before = [step for step in result.steps if step.number < result.update]
    chosen = (
        [before[i] for i in sorted({round(i) for i in np.linspace(0, len(before) - 1, MOST - 2)})] if before else []
    )
    last = result.trace.number.max(initial=0)

    def frame(image: Any, said: str) -> Image.Image:
        pictures = {
            f"original: {encoding.names(result.decoded_before)}": to_picture(result.original),
            said: to_picture(image),
            f"perturbation, {gain:.0f} times": perturbation_map(result.original, image, gain)[0],
        }
        return _composed(title, pictures)

    def reads(step: Step) -> str:
        return f"update {step.number} of {last:.0f}, L2 {step.l2:.3f}: {encoding.names(step.decoded)}"

    end = f"result, L2 {result.distortion.l2:.3f}: {encoding.names(result.decoded)}"
    made = [
        frame(result.original, f"before the attack: {encoding.names(result.decoded_before)}"),
        *(frame(step.image, reads(step)) for step in chosen),
        frame(result.image, end),
    ]
    return made, [REST, *[PACE] * len(chosen), REST]


def _composed(title: str, pictures: dict[str, Any]) -> Image.Image:
    """Pictures (H, W, 3) in a row, by their captions, below a title."""
    scaled = [_scaled(picture) for picture in pictures.values()]
    width, height = scaled[0].size
    whole = Image.new("RGB", (len(scaled) * (width + GAP) + GAP, height + HEAD + FOOT), PAPER)
    draw = ImageDraw.Draw(whole)
    draw.text((GAP, GAP), _fitting(title, whole.width - 2 * GAP, TYPE + 4), INK, _font(TYPE + 4))
    for place, (caption, picture) in enumerate(zip(pictures, scaled, strict=True)):
        x = GAP + place * (width + GAP)
        whole.paste(picture, (x, HEAD))
        for line, text in enumerate(_lines(caption, width)):
            draw.text((x, HEAD + height + 8 + line * (TYPE + 6)), text, INK, _font(TYPE))
    return whole


def _scaled(picture: Any) -> Image.Image:
    """As large as there is room, with even sides, as films want them; pixels of small ones stay to be seen."""
    image = Image.fromarray(picture)
    factor = SIDE / max(image.size)
    width, height = (max(2, round(side * factor / 2) * 2) for side in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST if factor > 2 else Image.Resampling.LANCZOS)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _lines(text: str, width: int) -> list[str]:
    """Text in two lines that fit into a width, the second cut off if it has to be."""
    words = text.split(" ")
    first = next(n for n in range(len(words), 0, -1) if n == 1 or _length(" ".join(words[:n]), TYPE) <= width)
    rest = " ".join(words[first:])
    return [_fitting(part, width, TYPE) for part in (" ".join(words[:first]), rest) if part]


def _fitting(text: str, width: int, size: int) -> str:
    if _length(text, size) <= width:
        return text
    return next(cut for n in count(1) if _length(cut := f"{text[:-n]}…", size) <= width or n == len(text))


def _length(text: str, size: int) -> float:
    return float(_font(size).getlength(text))


def gif(pictures: Sequence[Image.Image], durations: Sequence[int]) -> bytes:
    """An animated GIF: plays everywhere, in 256 colours, those of the last picture."""
    palette = pictures[-1].quantize(256)
    return _animated([picture.quantize(palette=palette) for picture in pictures], durations, "GIF", loop=0)


def webp(pictures: Sequence[Image.Image], durations: Sequence[int]) -> bytes:
    """An animated WebP, in all colours: for browsers."""
    return _animated(pictures, durations, "WEBP", loop=0, quality=85, method=2)


def _animated(pictures: Sequence[Image.Image], durations: Sequence[int], kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], duration=list(durations), **options)
    return file.getvalue()


def mp4(pictures: Sequence[Image.Image], durations: Sequence[int]) -> bytes:
    """An MP4 film, H.264: for slides."""
    import av  # needed for nothing else, and large

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1000 // PACE, options={"crf": "18"})
        stream.width, stream.height = pictures[0].width // 2 * 2, pictures[0].height // 2 * 2
        stream.pix_fmt = "yuv420p"
        for picture, duration in zip(pictures, durations, strict=True):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture)[: stream.height, : stream.width], format="rgb24")
            for _ in range(duration // PACE):
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


FORMATS: dict[str, tuple[Callable[[Sequence[Image.Image], Sequence[int]], bytes], str]] = {
    "gif": (gif, "image/gif"),
    "webp": (webp, "image/webp"),
    "mp4": (mp4, "video/mp4"),
}
"""By the ending of the file: what makes it, and its kind."""
