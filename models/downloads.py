"""Weights on their way here: resumable downloads, the Hugging Face hub's cache, and whether a host answers. No torch.

Nothing here waits for a host for more than PATIENCE seconds. Looking up a host's name knows no time limit of its own,
so whatever may do that runs in a thread that is left behind when time is up.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from models.cards import ModelError

PATIENCE = 5.0
"""Seconds to wait for an answer from the network."""
_BLOCK = 2**18

Progress = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes in all."""
ShouldStop = Callable[[], bool]
T = TypeVar("T")


class HubError(ModelError, RuntimeError):
    """A model of a hub cannot be had; the message says why and what to do."""


class MissingFile(HubError):
    """A repository is there, but has no file of the name."""


def unknown(kind: str, name: str, known: Iterable[str]) -> HubError:
    """The error for a ``name`` that is not among the ``known``, with those that look like it."""
    close = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return HubError(f"There is no {kind} {name!r}." + (f" Did you mean {' or '.join(close)}?" if close else ""))


def within(seconds: float, task: Callable[[], T]) -> T:
    """What ``task`` returns or raises; TimeoutError when it takes longer, and then nobody waits for its end."""
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(task())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return answer.result(seconds)


def unreachable(url: str) -> str:
    """Why the host of ``url`` cannot be reached, in a sentence; empty if it answers. Asked once a minute."""
    parts = urlsplit(url)
    return _unreachable(f"{parts.scheme}://{parts.netloc}", int(time.monotonic() // 60))


@lru_cache(maxsize=16)
def _unreachable(site: str, minute: int) -> str:  # the minute only makes the cache forget
    try:
        _open(site, method="HEAD").close()
    except HTTPError:
        return ""  # an answer, if not the one asked for
    except (OSError, HTTPException) as error:
        return _no_way_to(site, error)
    return ""


def _open(url: str, *, method: str = "GET", start: int = 0) -> HTTPResponse:
    headers = {"User-Agent": "jma-lab"} | ({"Range": f"bytes={start}-"} if start else {})
    request = Request(url, headers=headers, method=method)
    answer: HTTPResponse = within(PATIENCE, lambda: urlopen(request, timeout=PATIENCE))
    return answer


def _no_way_to(url: str, error: Exception) -> str:
    return f"{urlsplit(url).netloc} cannot be reached ({_said(error)}): check the network, then try again."


def _broke_off(name: str, why: str) -> HubError:
    return HubError(f"The download of {name} broke off ({why}). Trying again goes on from there.")


def _said(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or f"no answer within {PATIENCE:.0f} s"


def remote_size(url: str) -> int:
    """Bytes of the file at ``url``. Raises HubError when its host does not answer or does not say."""
    try:
        with _open(url, method="HEAD") as answer:
            length = answer.headers["Content-Length"]
    except HTTPError as error:
        raise HubError(f"{urlsplit(url).netloc} answers {error.code} ({error.reason}) when asked for {url}.") from error
    except (OSError, HTTPException) as error:
        raise HubError(_no_way_to(url, error)) from error
    if length is None:
        raise HubError(f"{urlsplit(url).netloc} does not say how large {url} is, so it cannot be fetched safely.")
    return int(length)


def fetch(
    url: str,
    path: Path,
    *,
    sha256_prefix: str = "",
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> None:
    """Bring the file at ``url`` to ``path``; nothing is done when it is there with the right digest.

    What has come lies in ``path`` with the suffix .part until it is complete, and a later call goes on from there if
    the server can. Raises HubError when the host does not answer, the transfer breaks off or is stopped (what has come
    is kept), or the file has another size or digest than expected (what has come is deleted).
    """
    if path.is_file() and _sha256(path).startswith(sha256_prefix):
        return
    total = remote_size(url)
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if part.is_file() and part.stat().st_size > total:
        part.unlink()
    try:
        if not part.is_file() or part.stat().st_size < total:
            _append(url, part, total, progress or (lambda done, total: None), should_stop or (lambda: False))
    except (OSError, HTTPException) as error:
        raise _broke_off(path.name, _said(error)) from error
    if (size := part.stat().st_size) < total:
        raise _broke_off(path.name, f"{size} of {total} bytes came")
    digest = _sha256(part)
    if size > total or not digest.startswith(sha256_prefix):
        part.unlink()
        raise HubError(
            f"{path.name} did not arrive as it should: expected {total} bytes with SHA-256 {sha256_prefix or 'any'}…, "
            f"got {size} with {digest[:16]}…. It was deleted."
        )
    part.replace(path)


def _append(url: str, part: Path, total: int, progress: Progress, should_stop: ShouldStop) -> None:
    """Add to ``part`` what is missing; all of it, from the start, if the server does not give parts."""
    answer = _open(url, start=part.stat().st_size if part.is_file() else 0)
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        progress(file.tell(), total)
        while block := answer.read(_BLOCK):
            file.write(block)
            progress(file.tell(), total)
            if should_stop():
                raise HubError("The download was stopped. Trying again goes on from there.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class WebFile:
    """Weights at an address of the web, kept where torch.hub keeps its own. Their digest begins as their name ends."""

    url: str

    @property
    def path(self) -> Path:
        home = os.getenv("TORCH_HOME", Path(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch"))
        return Path(home).expanduser() / "hub" / "checkpoints" / self.url.rpartition("/")[2]

    def cached(self) -> Path | None:
        """Where the weights are; None if they are not here."""
        return self.path if self.path.is_file() else None

    def size(self) -> int:
        """Bytes of the weights. Raises HubError when their host does not say."""
        return remote_size(self.url)

    def get(self, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Path:
        """Where the weights are, downloaded if need be. Raises HubError as ``fetch`` does."""
        digest = re.search(r"-([0-9a-f]{8,64})\.", self.path.name)
        prefix = digest[1] if digest else ""
        fetch(self.url, self.path, sha256_prefix=prefix, progress=progress, should_stop=should_stop)
        return self.path

    def unavailable(self) -> str:
        """Why the weights cannot be had now, in a sentence; empty if they are here or their host answers."""
        return "" if self.cached() else unreachable(self.url)


class Found(NamedTuple):
    """A file of a repository, as the Hugging Face hub describes it; the digest of a small one is empty."""

    name: str
    commit: str
    size: int
    sha256: str


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face hub, under the first of ``names`` that there is.

    It is kept in the cache of the hub's own client, whose downloads, however, start from nothing each time.
    """

    repository: str
    """ORG/NAME, or ORG/NAME@REVISION."""
    names: tuple[str, ...] = ("model.safetensors", "pytorch_model.bin")

    def cached(self) -> Path | None:
        """Where the file is; None if it is not here. Raises HubError when ``repository`` cannot be a name."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        repository, revision = self._split()
        try:
            found = [try_to_load_from_cache(repository, name, revision=revision) for name in self.names]
        except HFValidationError as error:
            raise HubError(
                f"{self.repository} is no name of a model: expected ORG/NAME, like timm/resnet18."
            ) from error
        return next((Path(path) for path in found if isinstance(path, str)), None)

    def size(self) -> int:
        """Bytes of the file. Raises HubError as ``look_up`` does."""
        return self.look_up().size

    def look_up(self) -> Found:
        """What the hub has. Raises HubError when it does not answer in time, or has no such repository or file."""
        from huggingface_hub import HfApi, errors

        repository, revision = self._split()
        ask = HfApi().model_info
        try:
            info = within(PATIENCE, lambda: ask(repository, revision=revision, files_metadata=True, timeout=PATIENCE))
        except errors.GatedRepoError as error:
            how = f"accept its terms on {_hub()}/{repository}, then run hf download {repository}"
            raise HubError(f"{repository} is not given to everybody: {how}.") from error
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise HubError(f"There is no public model {self.repository} on {_hub()}: check its name.") from error
        except Exception as error:  # of whichever HTTP library this version of the hub's client uses
            raise HubError(_no_way_to(_hub(), error)) from error
        files = {file.rfilename: file for file in info.siblings or ()}
        name = next((name for name in self.names if name in files), None)
        if name is None:
            names = " or ".join(self.names)
            raise MissingFile(f"{self.repository} on {_hub()} has no {names}: it cannot be used here.")
        large = files[name].lfs
        return Found(name, info.sha or "main", files[name].size or 0, large.sha256 if large else "")

    def get(self, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Path:
        """Where the file is, downloaded if need be. Raises HubError as ``look_up`` and ``fetch`` do."""
        if path := self.cached():
            return path
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        found, (repository, revision) = self.look_up(), self._split()
        home = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type="model"))
        path = home / "snapshots" / found.commit / found.name
        url = f"{_hub()}/{repository}/resolve/{found.commit}/{found.name}"
        fetch(url, path, sha256_prefix=found.sha256, progress=progress, should_stop=should_stop)
        if revision != found.commit:
            reference = home / "refs" / (revision or "main")
            reference.parent.mkdir(parents=True, exist_ok=True)
            reference.write_text(found.commit)
        return path

    def unavailable(self) -> str:
        """Why the file cannot be had now, in a sentence; empty if it is here or the hub answers."""
        return "" if self.cached() else unreachable(_hub())

    def _split(self) -> tuple[str, str | None]:
        repository, _, revision = self.repository.partition("@")
        return repository, revision or None


Weights = WebFile | HubFile


def missing(weights: Weights) -> int | None:
    """Bytes still to be downloaded; None if there are none. Raises HubError when the host does not say."""
    return None if weights.cached() else weights.size()


def _hub() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


@dataclass(frozen=True)
class Suggestion:
    """A model worth trying, known without torch."""

    address: str
    line: str
    weights: Weights
    package: str = ""
    """What else has to be installed."""

    def unavailable(self) -> str:
        """Why it cannot be had now, in a sentence; empty if it can."""
        if self.package and find_spec(self.package) is None:
            return f"It needs a package that is not installed: pip install {self.package}."
        return self.weights.unavailable()


_TORCHVISION = "https://download.pytorch.org/models"
_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
SUGGESTIONS = (
    Suggestion(
        "timm:resnet18.a1_in1k",
        "ResNet-18, the classic small residual network: 1000 classes, 47 MB.",
        HubFile("timm/resnet18.a1_in1k"),
    ),
    Suggestion(
        "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        "A small vision transformer, for attention beside convolutions: 1000 classes, 23 MB.",
        HubFile("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
    ),
    Suggestion(
        "torchvision:mobilenet_v3_small",
        "MobileNetV3, the fastest here: 1000 classes, 10 MB.",
        WebFile(f"{_TORCHVISION}/mobilenet_v3_small-047dcff4.pth"),
    ),
    Suggestion(
        "torchvision:lraspp_mobilenet_v3_large",
        "A segmentation network that says which of VOC's 20 things are somewhere in the photo: multi-label, 13 MB.",
        WebFile(f"{_TORCHVISION}/lraspp_mobilenet_v3_large-d234d4ea.pth"),
    ),
    Suggestion(
        "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "CLIP with your own words as labels: multi-label, 605 MB.",
        HubFile("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", _CLIP),
    ),
    Suggestion(
        "open_clip:RN50/openai",
        "OpenAI's CLIP on a ResNet, with your own words as labels: multi-label, 408 MB.",
        HubFile("timm/resnet50_clip.openai", _CLIP),
    ),
    Suggestion(
        "open_clip:ViT-B-16-SigLIP/webli",
        "SigLIP, which was trained to judge each word by itself, with your own words as labels: multi-label, 813 MB.",
        HubFile("timm/ViT-B-16-SigLIP", _CLIP),
        package="transformers",
    ),
    Suggestion(
        "hf-hub:SmilingWolf/wd-vit-tagger-v3",
        "A tagger of drawings, 10,861 labels at once, some of them for adults only: multi-label, 379 MB.",
        HubFile("SmilingWolf/wd-vit-tagger-v3"),
    ),
)
"""Models worth trying, one line each."""
