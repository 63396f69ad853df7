"""Models of the hubs, small ones with random weights: they compute what their libraries do, and can be attacked.

No test needs a network: weights lie where a download would have put them.
"""

import csv
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from huggingface_hub import constants
from PIL import Image
from timm.data import ImageNetInfo, create_transform, resolve_data_config
from timm.models import PretrainedCfg
from timm.models._hub import save_for_hf
from torch import Tensor, nn

from jma_core import Network, jma, run
from jma_core.records import FREE
from models import clip_mlp, downloads, train, zero_shot
from models.architectures import Classifier
from models.cards import ModelSpec, read_card
from models.data import DataError
from models.downloads import SUGGESTIONS, HubError, HubFile, WebFile
from models.encodings import Encoding, MultiLabel, OneHot
from models.hubs import HUBS, describe, pretrained, unavailable, weights_of
from models.hubs.naming import distinct, title
from models.hubs.of_torchvision import Present
from models.loaders import encoding_of, load, to_tensor
from models.registry import ASSETS

PHOTO = next((Path(__file__).parents[2] / "assets" / "samples").rglob("rocket.jpg"))
WORDS = ("a rocket", "clouds", "three cats")
Place = Callable[[str, nn.Module], None]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and empty caches."""

    def fail(*address: object, **named: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    downloads._unreachable.cache_clear()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub answers when it is asked for a size."""
    monkeypatch.setattr(HubFile, "size", lambda self: 12345)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """Puts a network's weights where the download of those of a model would put them."""

    def put(address: str, network: nn.Module) -> None:
        match weights_of(address):
            case HubFile(repository, (first, *_)):
                safetensors.torch.save_model(network, str(in_hub_cache(repository) / first))
            case WebFile() as file:
                file.path.parent.mkdir(parents=True, exist_ok=True)
                torch.save(network.state_dict(), file.path)
                monkeypatch.setattr(downloads, "fetch", lambda *what, **how: None)  # their digest cannot be right

    return put


def in_hub_cache(repository: str) -> Path:
    """The folder of a repository's only snapshot."""
    home = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}")
    snapshot = home / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True, exist_ok=True)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text("c" * 40)
    return snapshot


@pytest.fixture
def tiny_clip(monkeypatch: pytest.MonkeyPatch) -> open_clip.CLIP:
    """A CLIP small enough for a test, registered with open_clip as tiny/random; its weights want QuickGELU."""
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    weights = {"hf_hub": "nobody/tiny/", "quick_gelu": True, "mean": (0.4, 0.5, 0.6), "std": (0.3, 0.2, 0.1)}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"random": weights})
    torch.manual_seed(0)
    model = open_clip.create_model("tiny", force_quick_gelu=True).eval()
    for weight in model.parameters():
        weight.data *= 3  # random as it is, it sees no difference between texts
    return model


def loud(network: nn.Module) -> nn.Module:
    """A network with random weights whose batch norms are those of a trained one: not the identity."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return network.eval()


def seen(spec: ModelSpec) -> Tensor:
    """The photo as the loaders give it to the network of ``pretrained``: (1, 3, size, size), normalised."""
    pixels = torch.from_numpy(spec.preprocessing(Image.open(PHOTO)).copy()).permute(2, 0, 1).float() / 255
    return ((pixels - torch.tensor(spec.mean).view(3, 1, 1)) / torch.tensor(spec.std).view(3, 1, 1))[None]


def check_derivatives(network: nn.Module, spec: ModelSpec, side: int | None = None) -> None:
    """Gradient rows, alone and vmapped, and a push forward, agree with each other."""
    f = Network(Classifier(network, spec.mean, spec.std).eval().requires_grad_(False))
    generator = torch.Generator().manual_seed(0)
    side = side or spec.preprocessing.size
    image, delta = (torch.rand(3, side, side, generator=generator) for _ in range(2))
    z, rows = f.differentiate(image)
    cotangents = torch.randn(2, len(z), generator=generator)
    together = rows(cotangents)
    alone = torch.cat([rows(one[None]) for one in cotangents])
    assert float(together.abs().max()) > 0
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4 * float(alone.abs().max()))
    pulled, pushed = together @ delta.flatten(), cotangents @ f.push(image, delta)
    torch.testing.assert_close(pushed, pulled, rtol=1e-3, atol=1e-3 * float(pulled.abs().max()))


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit.r160_in1k", "test_convnext.r160_in1k"])
def test_a_timm_model_computes_what_timm_computes(name: str, place: Place) -> None:
    reference = loud(timm.create_model(name))
    place(f"timm:{name}", reference)
    spec = describe(f"timm:{name}")
    network = pretrained(spec).eval()
    theirs = create_transform(**resolve_data_config(pretrained_cfg=reference.pretrained_cfg))(Image.open(PHOTO))[None]
    with torch.no_grad():
        torch.testing.assert_close(network(seen(spec)), reference(theirs), rtol=1e-4, atol=1e-4)
    assert spec.download is None
    assert (type(spec.encoding), spec.encoding.n, spec.data) == (OneHot, 1000, "imagenet-1k")
    check_derivatives(network, spec)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18.a1_in1k",  # crops 0.95
        "vit_base_patch16_224.augreg_in21k_ft_in1k",  # crops 0.9: 248.9 pixels, which timm rounds down
        "convnext_tiny.in12k_ft_in1k_384",  # squeezes
        "tf_efficientnet_lite0.in1k",  # mean and std 0.5
        "efficientnet_b0.ra_in1k",
        "resnet50.tv_in1k",  # bilinear
    ],
)
def test_photos_are_prepared_as_timm_prepares_them(name: str, sizes: None) -> None:
    config = timm.get_pretrained_cfg(name)
    theirs = create_transform(**resolve_data_config(pretrained_cfg=config.to_dict()))(Image.open(PHOTO))
    spec = describe(f"timm:{name}")
    torch.testing.assert_close(seen(spec)[0], theirs, rtol=0, atol=1e-5)
    assert (spec.download, spec.licence) == (12345, config.license)


@pytest.mark.parametrize("address", [None, "", ("a.pth", "b.pth")])
def test_a_timm_model_whose_weights_have_no_address_is_refused(address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: PretrainedCfg(url=address))
    with pytest.raises(HubError, match="timm does not say where the weights of resnet18 are"):
        weights_of("timm:resnet18")


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5", "googlenet"])
def test_a_torchvision_model_computes_what_torchvision_computes(name: str, place: Place) -> None:
    more = {"transform_input": True, "init_weights": False} if name == "googlenet" else {}
    reference = loud(torchvision.models.get_model(name, **more))
    place(f"torchvision:{name}", reference)
    spec = describe(f"torchvision:{name}")
    network = pretrained(spec).eval()
    theirs = torchvision.models.get_model_weights(name).DEFAULT.transforms()(Image.open(PHOTO))[None]
    torch.testing.assert_close(seen(spec), theirs, rtol=0, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(network(seen(spec)), reference(theirs), rtol=1e-4, atol=1e-4)
    if name == "mobilenet_v3_small":
        check_derivatives(network, spec)


def test_the_older_names_in_the_files_of_densenets_are_read(place: Place) -> None:
    reference = loud(torchvision.models.densenet121())
    place("torchvision:densenet121", reference)
    path = weights_of("torchvision:densenet121").path
    older = {}
    for key, tensor in torch.load(path, weights_only=True).items():
        layer, _, rest = key.partition("denselayer")
        older[layer + "denselayer" * bool(rest) + rest.replace("norm", "norm.").replace("conv", "conv.")] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in older
    torch.save(older, path)
    network = pretrained(describe("torchvision:densenet121")).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images), reference(images))


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_a_segmentation_network_says_what_is_somewhere(name: str, place: Place) -> None:
    more = {"aux_loss": True} if name.startswith("deeplab") else {}
    reference = loud(torchvision.models.get_model(name, weights_backbone=None, num_classes=21, **more))
    place(f"torchvision:{name}", reference)
    spec = describe(f"torchvision:{name}")
    network = pretrained(spec).eval()
    with torch.no_grad():
        z, scores = network(seen(spec)), reference(seen(spec))["out"][0]
    expected = [max((scores[k] - scores[0]).flatten().tolist()) for k in range(1, 21)]
    torch.testing.assert_close(z, torch.tensor([expected]), rtol=1e-4, atol=1e-4)
    assert (type(spec.encoding), spec.encoding.thresholds) == (MultiLabel, (0.0,) * 20)
    assert (spec.encoding.labels[0], spec.encoding.labels[7], spec.encoding.labels[-1]) == (
        "aeroplane",
        "cat",
        "tvmonitor",
    )
    check_derivatives(network, spec, side=96)


def test_a_thing_leads_in_the_pixel_where_it_leads_most() -> None:
    scores = torch.tensor([[[[1.0, 0.0]], [[3.0, 1.5]], [[0.0, -4.0]]], [[[0.0, 5.0]], [[1.0, 7.0]], [[2.0, 4.0]]]])
    z = Present(lambda images: {"out": scores})(torch.zeros(2, 3, 1, 2))  # type: ignore[arg-type]
    # (3 - 1, 1.5 - 0), (0 - 1, -4 - 0); (1 - 0, 7 - 5), (2 - 0, 4 - 5)
    assert z.tolist() == [[2.0, -1.0], [2.0, 2.0]]


def test_zero_shot_logits_are_differences_of_open_clips_cosines(tiny_clip: open_clip.CLIP, place: Place) -> None:
    place("open_clip:tiny/random", tiny_clip)
    spec = describe("open_clip:tiny/random", labels=WORDS)
    network = pretrained(spec).eval()
    theirs = open_clip.image_transform(32, is_train=False, mean=spec.mean, std=spec.std)(Image.open(PHOTO))[None]
    torch.testing.assert_close(seen(spec), theirs, rtol=0, atol=1e-5)
    texts = open_clip.tokenize(["a photo", *(f"a photo of {word}" for word in WORDS)])
    with torch.no_grad():
        image, text = tiny_clip.encode_image(theirs)[0], tiny_clip.encode_text(texts)
        cosines = [float(torch.cosine_similarity(image, one, dim=0)) for one in text]
        expected = [float(tiny_clip.logit_scale.exp()) * (cosine - cosines[0]) for cosine in cosines[1:]]
        torch.testing.assert_close(network(theirs), torch.tensor([expected]), rtol=1e-3, atol=1e-3)
    assert max(expected) - min(expected) > 0.1
    assert spec.encoding == MultiLabel(WORDS)
    assert not any("text" in name or "token" in name for name, _ in network.named_parameters())
    check_derivatives(network, spec)


@pytest.fixture
def tiny_siglip(monkeypatch: pytest.MonkeyPatch) -> open_clip.CustomTextCLIP:
    """A SigLIP in small, on timm's image tower, registered with open_clip as tiny-sl/random, with CLIP's tokenizer."""
    vision = {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"}
    text = {"context_length": 64, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2, "no_causal_mask": True}
    text |= {"proj_bias": True, "pool_type": "last"}
    config = {"embed_dim": 24, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision, "text_cfg": text}
    weights = {"hf_hub": "nobody/tiny-sl/", "mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-sl", config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-sl", {"random": weights | {"interpolation": "bicubic"}})
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-sl").eval()
    assert isinstance(model, open_clip.CustomTextCLIP)
    for weight in model.text.parameters():
        weight.data *= 3  # random as it is, it sees no difference between texts
    torch.nn.init.constant_(model.logit_scale, 4.2)
    torch.nn.init.constant_(model.logit_bias, -7.5)
    return model


def test_a_siglips_logits_are_those_of_its_pairs_with_cocos_words(
    tiny_siglip: open_clip.CustomTextCLIP, place: Place
) -> None:
    words = (ASSETS / "labels/coco80.txt").read_text("utf-8").splitlines()
    place("open_clip:tiny-sl/random", tiny_siglip)
    spec = describe("open_clip:tiny-sl/random", labels=words)
    network = pretrained(spec).eval()
    texts = open_clip.tokenize([f"a photo of {word}" for word in words], context_length=64)
    with torch.no_grad():
        expected, _ = tiny_siglip.get_logits(seen(spec), texts)
        torch.testing.assert_close(network(seen(spec)), expected, rtol=1e-4, atol=1e-4)
    assert float(expected.max() - expected.min()) > 0.1
    assert spec.encoding == MultiLabel(tuple(words))  # above 0: a pair more likely than not, by the sigmoid
    assert "are more likely a pair than not" in spec.summary
    assert spec.preprocessing.squash
    assert {name.partition(".")[0] for name, _ in network.named_parameters()} == {"visual"}
    check_derivatives(network, spec)


def test_a_tokenizer_that_cannot_be_had_is_not_taken_for_damaged_weights(
    tiny_siglip: open_clip.CustomTextCLIP, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_tokenizer(name: str) -> Any:
        raise OSError("We couldn't connect")

    place("open_clip:tiny-sl/random", tiny_siglip)
    spec = describe("open_clip:tiny-sl/random", labels=WORDS)
    monkeypatch.setattr(open_clip, "get_tokenizer", get_tokenizer)
    with pytest.raises(HubError, match=r"^What open_clip:tiny-sl/random reads texts with .*couldn't connect.*network"):
        pretrained(spec)


def test_the_words_are_part_of_a_zero_shot_models_name(sizes: None) -> None:
    cats, dogs = (describe("open_clip:ViT-B-32/openai", labels=words) for words in (["cat"], ["dog"]))
    assert cats.name != dogs.name
    assert cats.name == describe("open_clip:ViT-B-32/openai", labels=[" cat "]).name
    assert cats.network == dogs.network == "open_clip:ViT-B-32/openai"
    assert cats.download == 12345


@pytest.fixture
def own_repository() -> Callable[..., nn.Module]:
    """Writes a timm model with five labels as a repository of the hub, the way that timm does; gives the model."""

    def write(at: str = "me/trees", **entries: Any) -> nn.Module:
        model = loud(timm.create_model("test_resnet", num_classes=5))
        config = {"label_names": ["n1", "n2", "n3", "n4", "n5"], "label_descriptions": {"n1": "oak", "n2": "elm"}}
        save_for_hf(model, str(in_hub_cache(at)), model_config=config | entries, safe_serialization=True)
        return model

    return write


def test_a_repository_of_the_hub_speaks_for_itself(own_repository: Callable[..., nn.Module]) -> None:
    reference = own_repository()
    spec = describe("hf-hub:me/trees")
    assert spec.encoding.labels == ("oak", "elm", "n3", "n4", "n5")
    assert (type(spec.encoding), spec.download) == (OneHot, None)
    network = pretrained(spec).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(seen(spec)), reference(seen(spec)), rtol=1e-4, atol=1e-4)


def test_several_labels_at_once_are_declared_by_the_repository_or_the_user(
    own_repository: Callable[..., nn.Module],
) -> None:
    own_repository()
    assert describe("hf-hub:me/trees", encoding=MultiLabel).encoding.thresholds == (0.0,) * 5
    own_repository(problem_type="multi_label_classification")
    assert type(describe("hf-hub:me/trees").encoding) is MultiLabel
    assert type(describe("hf-hub:me/trees", encoding=OneHot).encoding) is OneHot
    assert describe("hf-hub:me/trees", labels=list("abcde")).encoding.labels == tuple("abcde")


TAGS = (("general", 9, 0.3), ("1girl", 0, 0.4), (";,)", 0, 0.5), ("*bold*_(series)", 4, 0.6), ("sky", 0, 0.7))
Tagger = Callable[..., nn.Module]


@pytest.fixture
def tagger(own_repository: Callable[..., nn.Module]) -> Tagger:
    """Writes a tagger of five tags as a repository of the hub, as WD's are or with thresholds; gives its network."""

    def write(*, thresholds: bool = False, tags: str = "") -> nn.Module:
        model = own_repository(label_names=None, label_descriptions=None)
        with (in_hub_cache("me/trees") / "selected_tags.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["tag_id", "name", "category", "best_threshold" if thresholds else "count"])
            rows.writerows([number, name, kind, p if thresholds else 7] for number, (name, kind, p) in enumerate(TAGS))
        if tags:
            (in_hub_cache("me/trees") / "selected_tags.csv").write_text(tags, "utf-8")
        return model

    return write


@pytest.mark.parametrize("thresholds", [False, True])
def test_a_tagger_computes_what_those_of_its_kind_compute(thresholds: bool, tagger: Tagger) -> None:
    """WD's: padded with white, by timm's transform, blue first; probabilities above 0.35, or 0.85 for a character."""
    reference = tagger(thresholds=thresholds)
    spec = describe("hf-hub:me/trees")
    network = pretrained(spec).eval()
    photo = Image.open(PHOTO).convert("RGB")
    square = Image.new("RGB", (max(photo.size),) * 2, (255, 255, 255))
    square.paste(photo, tuple((max(photo.size) - side) // 2 for side in photo.size))
    theirs = create_transform(**resolve_data_config(pretrained_cfg=reference.pretrained_cfg))(square)[None]
    torch.testing.assert_close(seen(spec), theirs, rtol=0, atol=1e-5)
    with torch.no_grad():
        z = reference(theirs if thresholds else theirs[:, [2, 1, 0]])
        torch.testing.assert_close(network(seen(spec)), z, rtol=1e-4, atol=1e-4)
    p = [p for *_, p in TAGS] if thresholds else [0.35, 0.35, 0.35, 0.85, 0.35]
    assert isinstance(spec.encoding, MultiLabel)
    assert spec.encoding.labels == tuple(name for name, *_ in TAGS)
    assert 1 / (1 + np.exp(-np.array(spec.encoding.thresholds))) == pytest.approx(p)
    z = torch.randn(50, 5).numpy()
    np.testing.assert_array_equal(spec.encoding.decode(z), 1 / (1 + np.exp(-z)) > np.array(p, np.float32))
    assert spec.summary.startswith("A tagger (3 general, 1 rating, 1 character): a tag is present above")
    check_derivatives(network, spec)


def test_a_chosen_part_of_a_taggers_labels_is_attacked_and_its_own_library_sees_it(tagger: Tagger) -> None:
    """The tag nearest to its threshold is flipped, the farthest held, the others float."""
    reference = tagger()
    spec = describe("hf-hub:me/trees")
    network = Classifier(pretrained(spec), spec.mean, spec.std).eval().requires_grad_(False)
    image = to_tensor(spec.preprocessing(Image.open(PHOTO).convert("RGB")))
    with torch.no_grad():
        away = network(image[None])[0].numpy() - spec.encoding.thresholds
    flipped, *_, held = np.abs(away).argsort()
    target = np.full(len(TAGS), FREE)
    target[flipped], target[held] = away[flipped] <= 0, away[held] > 0
    result = run(jma(network, image, encoding_of(spec), target.tolist()))
    assert result.success
    assert len(result.steps[0].values) == 2
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (spec.mean, spec.std))
    with torch.no_grad():
        z = reference(((torch.from_numpy(result.image) - mean) / std)[None, [2, 1, 0]])[0].numpy()
    moved = (2 * target - 1) * (z - spec.encoding.thresholds)
    assert moved[[flipped, held]].min() > -1e-3  # an attack ends on the border


def test_a_taggers_labels_and_encoding_may_be_given(tagger: Tagger) -> None:
    tagger()
    named, one = describe("hf-hub:me/trees", labels=list("abcde")), describe("hf-hub:me/trees", encoding=OneHot)
    assert named.encoding.labels == tuple("abcde")
    assert named.encoding.thresholds == describe("hf-hub:me/trees").encoding.thresholds
    assert (type(one.encoding), one.preprocessing.pad) == (OneHot, True)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("name\nsky\nsea\n", "has 5 outputs, its selected_tags.csv names 2"),
        ("title\na\nb\nc\nd\ne\n", "cannot be read ('name')"),
        ("name,best_threshold\na,0.5\nb,high\n", "could not convert string to float: 'high'"),
        ("name,best_threshold\na,0.5\nb,1.5\n", "'b' has the threshold 1.5"),
        ("name,best_threshold\na,nan\n", "'a' has the threshold nan"),
        ("id,name\n1\n", "cannot be read"),
        ("name\n" + "x" * 200_000, "field larger than field limit"),
        ("name\na\na\nb\nc\nd\n", "got 'a' as number 1 and as number 2"),
        ("name\na\nb\nc\nd\n" + "x" * 301 + "\n", "expected names of 1 to 300 characters"),
        ("name\n" + "x\n" * 2_100_000, "has 4200005 bytes, expected 4194304 at most"),
    ],
)
def test_a_list_of_tags_that_cannot_be_used_is_refused_with_a_reason(tags: str, said: str, tagger: Tagger) -> None:
    tagger(tags=tags)
    with pytest.raises(HubError, match=re.escape(said)):
        describe("hf-hub:me/trees")


def test_a_model_that_names_no_classes_and_has_no_list_takes_labels(
    own_repository: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(file: HubFile) -> Any:
        raise downloads.MissingFile(f"{file.repository} has no {file.names[0]}")

    own_repository(label_names=None, label_descriptions=None)
    monkeypatch.setattr(HubFile, "look_up", look_up)
    with pytest.raises(HubError, match="has 5 outputs, its configuration names 0: give 5 labels"):
        describe("hf-hub:me/trees")
    spec = describe("hf-hub:me/trees", labels=list("abcde"))
    assert (type(spec.encoding), spec.preprocessing.pad) == (OneHot, False)


def test_a_repository_of_another_library_is_refused() -> None:
    config = {"architectures": ["ViTForImageClassification"], "model_type": "vit"}
    (in_hub_cache("google/vit") / "config.json").write_text(json.dumps(config))
    with pytest.raises(HubError, match="is not a timm model"):
        describe("hf-hub:google/vit")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("resnet18", "Expected timm:NAME"),
        ("keras:resnet50", "Expected timm:NAME"),
        ("timm:", "Expected timm:NAME"),
        ("timm:resnet18.a1_in1", r"Did you mean resnet18\.a1_in1k"),
        ("torchvision:mobilenet_v3_smal", "Did you mean mobilenet_v3_small"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no classifier or segmentation network"),
        ("open_clip:ViT-B-32/openia", "Did you mean ViT-B-32/openai"),
        ("open_clip:ViT-B-16-SigLIP/webli", "pip install transformers"),
        ("open_clip:coca_ViT-B-32/laion2b_s13b_b90k", "choose a plain CLIP"),
        ("open_clip:ViT-B-32/openai", "takes its labels from you"),
        ("timm:vit_base_patch14_dinov2.lvd142m", "is not a classifier"),
        ("timm:resnet50_clip.openai", "has 1024 outputs, its configuration names 0"),
        ("hf-hub:a/b/c", "expected ORG/NAME"),
        ("hf-hub:me/nothing", r"huggingface\.co cannot be reached"),
        ("timm:resnet18.a1_in1k", r"huggingface\.co cannot be reached"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(address: str, said: str) -> None:
    start = time.monotonic()
    with pytest.raises(HubError, match=said):
        describe(address)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("labels", [("cat", "cat"), ("cat", " "), ()])
def test_words_have_to_be_different_and_there(labels: tuple[str, ...]) -> None:
    with pytest.raises(HubError, match="one or more different"):
        describe("open_clip:ViT-B-32/openai", labels=labels)


def test_labels_have_to_match_the_outputs(sizes: None) -> None:
    with pytest.raises(HubError, match="1000 outputs, you gave 2"):
        describe("torchvision:alexnet", labels=["a", "b"])
    with pytest.raises(HubError, match="expected different names"):
        describe("torchvision:alexnet", labels=["a"] * 1000)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"input_size": (1, 160, 160)}, "images of 1 x 160 x 160"),
        ({"input_size": (3, 160, 80)}, "images of 3 x 160 x 80"),
        ({"crop_mode": "border"}, "border"),
        ({"crop_pct": 1.2}, "expected a crop of"),
    ],
)
def test_pictures_that_are_not_square_and_in_colour_are_refused(
    entries: dict[str, Any], said: str, own_repository: Callable[..., nn.Module]
) -> None:
    own_repository()
    path = in_hub_cache("me/trees") / "config.json"
    config = json.loads(path.read_text())
    del config["model_args"]  # which would overrule the channels
    config["pretrained_cfg"] |= entries
    path.write_text(json.dumps(config))
    with pytest.raises(HubError, match=said):
        describe("hf-hub:me/trees")


def test_nobody_waits_longer_than_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert downloads.PATIENCE == 5
    monkeypatch.setattr(downloads, "PATIENCE", 1.0)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **named: time.sleep(30))
    start = time.monotonic()
    with pytest.raises(HubError, match="no answer within 1 s"):
        describe("hf-hub:me/trees")
    assert time.monotonic() - start < 1.5


def test_weights_of_another_network_are_refused(place: Place, tmp_path: Path) -> None:
    place("torchvision:mobilenet_v3_small", torchvision.models.mobilenet_v3_small(num_classes=10))
    with pytest.raises(HubError, match=r"cannot be used .*classifier.* delete .*mobilenet_v3_small-047dcff4\.pth"):
        pretrained(describe("torchvision:mobilenet_v3_small"))
    place("timm:test_vit.r160_in1k", timm.create_model("test_resnet"))
    with pytest.raises(HubError, match="cannot be used"):
        pretrained(describe("timm:test_vit.r160_in1k"))


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def test_no_pickle_is_executed(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place("torchvision:alexnet", nn.Identity())
    torch.save(Trap(), weights_of("torchvision:alexnet").path)
    torch.save(Trap(), in_hub_cache("timm/test_vit.r160_in1k") / "pytorch_model.bin")
    for address in ("torchvision:alexnet", "timm:test_vit.r160_in1k"):
        with pytest.raises(HubError, match="cannot be used"):
            pretrained(describe(address))
    assert not Path("sprung").exists()


def test_damaged_weights_are_not_read(tmp_path: Path) -> None:
    path = weights_of("torchvision:squeezenet1_1").path
    path.parent.mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)  # not those whose digest the address declares
    with pytest.raises(HubError, match=r"download\.pytorch\.org cannot be reached"):
        pretrained(describe("torchvision:squeezenet1_1"))


@pytest.mark.parametrize("suggestion", SUGGESTIONS, ids=lambda suggestion: suggestion.address)
def test_the_suggestions_are_known_to_their_libraries(
    suggestion: downloads.Suggestion,
    sizes: None,
    own_repository: Callable[..., nn.Module],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zero_shot, "find_spec", lambda package: package)  # transformers is not required
    assert suggestion.weights == weights_of(suggestion.address)
    if suggestion.address.startswith("hf-hub:"):  # its configuration is in its repository
        repository = suggestion.address.removeprefix("hf-hub:")
        own_repository(at=repository)
        (in_hub_cache(repository) / "model.safetensors").unlink()
    words = WORDS if suggestion.address.startswith("open_clip") else ()
    assert describe(suggestion.address, labels=words).download


def test_a_new_hub_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Own:
        NAME = "NUMBER"

        def weights_of(self, name: str) -> WebFile:
            return WebFile(f"https://nowhere.invalid/{name}")

        def describe(self, name: str, labels: tuple[str, ...], encoding: type[Encoding] | None) -> ModelSpec:
            return ModelSpec(f"own:{name}", name, (encoding or OneHot)(labels), f"own:{name}")

        def build(self, name: str, spec: ModelSpec, weights: Path) -> nn.Module:
            return nn.Linear(int(name), spec.encoding.n)

    monkeypatch.setitem(HUBS, "own", Own())
    monkeypatch.setattr(WebFile, "get", lambda self, *how: tmp_path)
    spec = describe("own:7", labels=["a", "b"])
    assert pretrained(spec).weight.shape == (2, 7)
    assert unavailable("own:7").startswith("nowhere.invalid cannot be reached")
    with pytest.raises(HubError, match=r"open_clip:ARCH/PRETRAINED or own:NUMBER, got 'strange:7'"):
        describe("strange:7")


def test_a_model_is_available_when_its_weights_are_here(place: Place) -> None:
    address = "timm:test_resnet.r160_in1k"
    assert unavailable(address).startswith("huggingface.co cannot be reached")
    place(address, timm.create_model("test_resnet"))
    assert unavailable(address) == ""
    assert "Did you mean" in unavailable("timm:test_resnet.r161_in1k")
    assert unavailable("torchvision:alexnet").startswith("download.pytorch.org cannot be reached")


def test_names_are_short_where_they_can_be_and_always_different() -> None:
    texts = ["tench, Tinca", "crane", "great dane", "crane", "maillot", "maillot, tank suit"]
    assert distinct(texts) == ("tench", "crane (1)", "great dane", "crane (3)", "maillot", "maillot, tank suit")
    for subset in ("imagenet-1k", "imagenet-12k", "imagenet-22k", "imagenet-21k-goog", "imagenet-21k-miil"):
        names = distinct(ImageNetInfo(subset).label_descriptions())
        assert len(set(names)) == len(names)


def test_clip_mlp_learns_on_clips_features_and_is_loaded_again(
    tiny_clip: open_clip.CLIP, place: Place, tmp_path: Path
) -> None:
    place("open_clip:tiny/random", tiny_clip)
    folder = tmp_path / "corel5k"
    (folder / "images").mkdir(parents=True)
    rows = ["id,split,warm,cold"]
    for number in range(120):
        colour = (230, 40, 20) if number % 2 else (20, 60, 220)
        Image.new("RGB", (48, 48), colour).save(folder / "images" / f"{number}.jpg")
        rows.append(f"{number},{'test' if number % 6 == 0 else 'trainval'},{number % 2},{1 - number % 2}")
    (folder / "labels_objects.csv").write_text("\n".join(rows))
    task = clip_mlp.task("tiny/random", ["warm", "cold", "unheard of"])
    data = task.data(tmp_path)
    assert (data.train.targets[:, 2] == -1).all()
    network = clip_mlp.fit(task, data.train, torch.device("cpu"), seed=0)
    spec = train.finish(task, network, data, {}, tmp_path / "out")
    assert spec.scores["mAP, Corel-5k"] == 1.0
    read = read_card(
        (tmp_path / "out" / "clip-mlp.toml").read_text(), "clip-mlp", tmp_path / "out/clip-mlp.safetensors"
    )
    model = load(read)
    x = torch.rand(2, 3, 32, 32)
    features = tiny_clip.encode_image((x - model.network.mean) / model.network.std, normalize=True)
    expected = network.cpu().half().float()(features)
    torch.testing.assert_close(model.network(x), expected, rtol=1e-3, atol=1e-4)


def test_clip_mlp_without_photos_of_its_labels_says_so(tiny_clip: open_clip.CLIP, sizes: None, tmp_path: Path) -> None:
    task = clip_mlp.task("tiny/random", ["warm"])
    with pytest.raises(DataError, match="No photos with the labels warm"):
        task.data(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:resnet18.a1_in1k", "resnet18 (a1 in1k), 2 labels"),
        ("hf-hub:timm/vit_tiny_patch16_224.augreg_in1k", "vit tiny patch16 224 (augreg in1k), 2 labels"),
        ("resnet18", "resnet18, 2 labels"),
    ],
)
def test_a_title_can_be_read(name: str, said: str) -> None:
    assert title(name, MultiLabel(("cat", "dog"))) == said
