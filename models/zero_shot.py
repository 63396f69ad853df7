"""Labels in the user's own words: an open_clip image tower before directions that its text tower gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor, nn
from torch.nn import functional

from models.cards import ModelSpec, said
from models.downloads import HubError, HubFile, Progress, missing, unknown
from models.encodings import MultiLabel, Plain
from models.options import brief
from models.photos import Preprocessing

NAME = "ARCH/PRETRAINED"
NEUTRAL = "a photo"
PROMPT = "a photo of {}"
_OF_TEXTS = f'A label is present where the photo is closer to "{PROMPT.format("it")}" than to "{NEUTRAL}".'
_OF_PAIRS = f'A label is present where the photo and "{PROMPT.format("it")}" are more likely a pair than not.'


class ZeroShot(nn.Module):
    """Logits of labels given in words, linear in the image features f (of length 1): z = D f + b.

    Of a CLIP, z_k = scale (cos(image, "a photo of <label k>") - cos(image, "a photo")): D has in its rows scale times
    the difference of two text features, and b is 0. A SigLIP (Zhai, Mustafa, Kolesnikov and Beyer 2023) was trained to
    say of each pair by itself whether image and text belong together: z_k = scale cos(image, "a photo of <label k>") +
    bias, both learned, is the logit of the probability that they do.

    Takes normalised images (N, 3, H, W); gives (N, n). Only the image tower, ``directions`` (n, d) and ``bias`` are
    kept.
    """

    directions: Tensor
    bias: Tensor

    def __init__(self, visual: nn.Module, directions: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.visual = visual
        self.register_buffer("directions", directions)
        self.register_buffer("bias", bias)

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.visual(images), dim=-1) @ self.directions.T + self.bias


def describe(name: str, labels: Sequence[str], encoding: Plain | None = None) -> ModelSpec:
    """The model ARCH/PRETRAINED of open_clip with these words as its labels, which are always several at once.

    Raises HubError for an unknown name, one whose text tower cannot run here, and labels missing or given twice.
    """
    config, weights = _configs(name)
    words = tuple(" ".join(label.split()) for label in labels)
    if not words or not all(words) or len(set(words)) < len(words):
        raise HubError(
            f"open_clip:{name} takes its labels from you: expected one or more different ones, got {brief(words)}."
        )
    look = merge_preprocess_dict(PreprocessCfg(), weights)
    size = config["vision_cfg"].get("image_size", 224)
    file = weights_of(name)
    return ModelSpec(
        name=f"open_clip:{name}#{sha256(chr(10).join(words).encode()).hexdigest()[:8]}",
        title=f"{name.partition('/')[0]} with {len(words)} labels of your own",
        encoding=MultiLabel(words),
        network=f"open_clip:{name}",
        preprocessing=Preprocessing(size, 1.0, look["interpolation"], squash=look["resize_mode"] == "squash"),
        mean=tuple(look["mean"]),
        std=tuple(look["std"]),
        summary=_OF_PAIRS if "init_logit_bias" in config else _OF_TEXTS,
        data=f"pairs of images and texts: {name.partition('/')[2]}",
        licence=f"see huggingface.co/{file.repository}",
        download=missing(file),
    )


def weights_of(name: str) -> HubFile:
    """Where the weights of ARCH/PRETRAINED are. Raises HubError for an unknown name."""
    repository, _, file = _configs(name)[1]["hf_hub"].rpartition("/")
    if not file:
        return HubFile(repository, ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"))
    return HubFile(repository, (str(Path(file).with_suffix(".safetensors")), file))


def build(name: str, spec: ModelSpec, weights: Path) -> ZeroShot:
    """The network of a spec that ``describe`` gave, with these weights. Raises what open_clip raises."""
    model, read = _clip(name, weights), _reader(name)

    def encoded(texts: list[str]) -> Tensor:
        features: Tensor = model.encode_text(read(texts), normalize=True)
        return features

    with torch.no_grad():
        present, scale = encoded(list(map(PROMPT.format, spec.encoding.labels))), model.logit_scale.exp()
        if model.logit_bias is not None:
            return ZeroShot(model.visual, scale * present, model.logit_bias.detach())
        return ZeroShot(model.visual, scale * (present - encoded([NEUTRAL])), torch.zeros(()))


def _reader(name: str) -> Callable[[list[str]], Tensor]:
    """open_clip's tokenizer: texts to tokens (N, length). Raises HubError if one of the hub's cannot be had."""
    try:
        reader: Callable[[list[str]], Tensor] = open_clip.get_tokenizer(name.partition("/")[0])
    except (OSError, ValueError) as error:
        raise HubError(
            f"What open_clip:{name} reads texts with (its tokenizer, on the Hugging Face hub) cannot be had "
            f"({said(error)}): check the network, then try again."
        ) from error
    return reader


def visual(spec: ModelSpec, progress: Progress | None = None) -> nn.Module:
    """The image tower alone: normalised images (N, 3, H, W) to features (N, d). Raises HubError if it cannot be had."""
    name = spec.network.partition(":")[2]
    tower: nn.Module = _clip(name, weights_of(name).get(progress)).visual
    return tower


def feature_width(name: str) -> int:
    """How many features ARCH/PRETRAINED gives an image. Raises HubError for an unknown name."""
    return int(_configs(name)[0]["embed_dim"])


def _clip(name: str, weights: Path) -> open_clip.CLIP | open_clip.CustomTextCLIP:
    """The whole model, in eval mode."""
    quick = _configs(name)[1].get("quick_gelu", False)
    return open_clip.create_model(name.partition("/")[0], str(weights), force_quick_gelu=quick).eval()


def _configs(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's configurations of an architecture and of its weights. Raises HubError if they cannot be used."""
    architecture, _, tag = name.partition("/")
    config, weights = open_clip.get_model_config(architecture), open_clip.get_pretrained_cfg(architecture, tag)
    if config is None or not weights:
        raise unknown("open_clip model", name, ["/".join(pair) for pair in open_clip.list_pretrained()])
    if "multimodal_cfg" in config:
        raise HubError(f"open_clip:{name} writes captions instead of comparing (CoCa): choose a plain CLIP.")
    needed = {"hf_tokenizer_name", "hf_model_name"} & config["text_cfg"].keys()
    if needed and find_spec("transformers") is None:
        raise HubError(
            f"open_clip:{name} reads text with the package transformers: pip install transformers, or choose a CLIP "
            "with open_clip's own reader, such as ViT-B-32/laion2b_s34b_b79k."
        )
    return config, weights
