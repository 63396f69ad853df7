"""Names for a network's outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from models.downloads import HubError
from models.encodings import Encoding


def named(address: str, outputs: int, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The labels given, else those the library knows. Raises HubError unless there are as many as outputs."""
    names = tuple(given) or distinct(known)
    if len(names) != outputs:
        whose = "you gave" if given else "its configuration names"
        raise HubError(
            f"{address} has {outputs} outputs, {whose} {len(names)}: give {outputs} labels if they are classes (the "
            "outputs of image towers are not)."
        )
    return names


def title(name: str, encoding: Encoding) -> str:
    """A library's name of a network for people: "hf-hub:timm/vit_tiny.augreg_in1k" is "vit tiny (augreg in1k)", and how
    many classes or labels it has.
    """
    network, _, trained = name.rpartition(":")[2].rpartition("/")[2].replace("_", " ").partition(".")
    how = f" ({trained})" if trained else ""
    return f"{network}{how}, {len(encoding.labels)} {'labels' if encoding.several else 'classes'}"


def distinct(texts: Sequence[str]) -> tuple[str, ...]:
    """Short, different names: the first of each list of synonyms, unless others share it; then all of them, numbered
    if others share those too ("crane (134)", the 134th output counted from 0).
    """
    short = [text.partition(",")[0] for text in texts]
    often, often_whole = Counter(short), Counter(texts)
    return tuple(
        first if often[first] == 1 else text if often_whole[text] == 1 else f"{text} ({number})"
        for number, (first, text) in enumerate(zip(short, texts, strict=True))
    )
