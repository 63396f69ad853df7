"""Files of weights are judged by their headers: what fits is read, what does not is named and nothing built for it."""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from models import loaders
from models.cards import CardError, ModelSpec
from models.encodings import OneHot
from models.loaders import blank, load
from models.photos import Preprocessing
from models.registry import HOW_TO_CONVERT, WeightsError
from models.weights import LARGEST_HEADER, header

SPEC = ModelSpec(
    "toy", "Toy", OneHot(("a", "b", "c")), "timm:test_resnet", weights=b"", preprocessing=Preprocessing(64, 1.0)
)
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return blank(SPEC).eval()


def loaded(weights: Weights) -> nn.Module:
    return load(replace(SPEC, weights=safetensors.torch.save(weights))).network.backbone


PREFIXES = ["module.", "_orig_mod.", "model.", "module._orig_mod.", "net.backbone.", "a.b.c.d."]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("counted", [True, False])
def test_what_saving_puts_before_names_and_counts_beside_them_does_not_matter(
    prefix: str, counted: bool, network: nn.Module
) -> None:
    weights = network.state_dict()
    kept = {prefix + name: x for name, x in weights.items() if counted or not name.endswith("num_batches_tracked")}
    assert (len(kept) == len(weights)) is counted
    for name, value in loaded(kept).state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_prefix_is_taken_off_only_where_all_names_have_it(network: nn.Module) -> None:
    weights = network.state_dict()
    first = next(iter(weights))
    mixed = {("" if name == first else "module.") + name: x for name, x in weights.items()}
    with pytest.raises(WeightsError, match="names differ"):
        loaded(mixed)


def test_a_network_whose_own_names_share_a_beginning_keeps_it() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 3))

        def forward(self, images: Tensor) -> Tensor:
            return self.model(images)

    own = Wrapped()
    for prefix in ("", "module."):
        weights = {prefix + name: x for name, x in own.state_dict().items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loaders, "blank", lambda spec: Wrapped())
            assert torch.equal(loaded(weights).model[1].weight, own.model[1].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_width_are_read(dtype: torch.dtype, network: nn.Module) -> None:
    weights = network.state_dict()
    narrow = {name: x.to(dtype) if x.is_floating_point() else x for name, x in weights.items()}
    for name, value in loaded(narrow).state_dict().items():
        assert value.dtype == weights[name].dtype
        assert torch.equal(value, narrow[name].to(value))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.bool, torch.float8_e4m3fn])
def test_quantised_weights_are_refused_by_their_type(dtype: torch.dtype, network: nn.Module) -> None:
    weights = {name: x.to(dtype) if x.ndim == 4 else x for name, x in network.state_dict().items()}
    kinds = r"'(I8|U8|I32|BOOL|F8_E4M3)', expected F64, F32, F16, BF16\. Quantised"
    with pytest.raises(WeightsError, match=rf"do not fit timm:test_resnet: '.*' is stored as {kinds}"):
        loaded(weights)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: {**w, "more": torch.zeros(1)}, r"1 names differ, for example 'more' is unexpected"),
        (lambda w: {n: x for n, x in w.items() if n != "fc.bias"}, r"1 names differ, for example 'fc.bias' is missing"),
        (lambda w: {**w, "fc.bias": torch.zeros(4)}, r"'fc.bias' is \(4,\), expected \(3,\)"),
        (lambda w: {**w, "fc.weight": torch.zeros(())}, r"'fc.weight' is \(\), expected \(3, "),
        (lambda w: {}, r"names differ"),
        (lambda w: {"x" * 9999: torch.zeros(1)}, r"names differ"),
    ],
)
def test_what_does_not_fit_is_named(change: Callable[[Weights], Weights], says: str, network: nn.Module) -> None:
    with pytest.raises(WeightsError, match=rf"^Its weights do not fit timm:test_resnet: .*{says}") as refused:
        loaded(change(network.state_dict()))
    assert len(str(refused.value)) < 500


def packed(head: Any, data: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 46807446\n"
LIES = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]}


def pickled() -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, file)
    return file.getvalue()


NO_SAFETENSORS = {
    "empty": b"",
    "short": b"abc",
    "pickle": pickled(),
    "page": b"<!DOCTYPE html><html>Sign in</html>",
    "no JSON": packed(b"{{{{"),
    "a list": packed([1, 2]),
    "a number": packed(b"7"),
    "no entries": packed({"a": 1}),
    "no shape": packed({"a": {"dtype": "F32"}}),
    "a shape that is none": packed({"a": {**LIES, "shape": [-1]}}),
    "a shape of texts": packed({"a": {**LIES, "shape": ["3"]}}),
    "nested": packed(b"[" * 100_000),
    "digits": packed(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b"]}}"),
    "bytes that are no text": packed(b"\xff\xfe{}"),
    "longer than the file": struct.pack("<Q", 2**62) + b"{}",
}


@pytest.mark.parametrize("content", NO_SAFETENSORS.values(), ids=NO_SAFETENSORS)
@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_no_safetensors_file_is_told(content: bytes, on_disk: bool, tmp_path: Path) -> None:
    file = tmp_path / "toy.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"^Its weights are not a safetensors file \(.*\)\. Pickled") as refused:
        load(replace(SPEC, weights=file if on_disk else content))
    assert str(refused.value).endswith(HOW_TO_CONVERT)
    assert len(str(refused.value)) < 800


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_pointer_of_git_lfs_is_recognised(on_disk: bool, tmp_path: Path) -> None:
    file = tmp_path / "toy.safetensors"
    file.write_bytes(POINTER)
    with pytest.raises(WeightsError, match=r"a pointer of Git LFS .* run git lfs pull"):
        load(replace(SPEC, weights=file if on_disk else POINTER))


def test_a_header_of_a_million_tensors_is_refused_at_once() -> None:
    entry = '"t%06d":{"dtype":"F32","shape":[],"data_offsets":[0,0]}'
    head = ("{" + ",".join(entry % number for number in range(1_000_000)) + "}").encode()
    begun = time.process_time()
    with pytest.raises(WeightsError, match=rf"a header of {len(head)} bytes, expected {LARGEST_HEADER} at most"):
        header(packed(head))
    assert time.process_time() - begun < 0.5  # it took 32 s
    with pytest.raises(WeightsError, match="25000 tensors, expected 20000 at most"):
        header(packed({f"t{number}": {**LIES, "shape": []} for number in range(25_000)}))


def test_a_shape_that_the_file_cannot_hold_is_never_built(monkeypatch: pytest.MonkeyPatch) -> None:
    vit = replace(SPEC, network="timm:vit_giant_patch14_224")
    with torch.device("meta"):
        wanted = timm.create_model("vit_giant_patch14_224", num_classes=3).state_dict()
    assert sum(x.numel() for x in wanted.values()) > 10**9
    head = {name: {"dtype": "F32", "shape": list(x.shape), "data_offsets": [0, 4]} for name, x in wanted.items()}
    refuse_to_build(monkeypatch)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load(replace(vit, weights=packed(head, b"1234")))


def refuse_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no network gets memory for its weights."""
    real = loaders.blank

    def sketch(spec: ModelSpec) -> nn.Module:
        network = real(spec)
        if sum(each.nbytes for each in network.parameters() if each.device.type != "meta") > 2**25:
            pytest.fail("a network was built for weights that do not fit")
        return network

    monkeypatch.setattr(loaders, "blank", sketch)


@pytest.mark.parametrize(
    "name", ["timm:vit_giant_patch14_224", "timm:resnet18", "torchvision:regnet_y_128gf", "torchvision:vit_h_14", "vgg"]
)
def test_weights_are_compared_before_a_network_is_built_for_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_build(monkeypatch)
    options = {"bottom": [[1024, 1024]] * 8, "width": 1024, "hidden": 1024} if name == "vgg" else {}
    begun = time.process_time()
    with pytest.raises(WeightsError, match="do not fit"):
        load(replace(SPEC, network=name, options=options, weights=safetensors.torch.save({"a": torch.zeros(1)})))
    assert time.process_time() - begun < 5  # 18 s and all memory for the first


@pytest.mark.parametrize(
    ("network", "options", "says"),
    [
        ("timm:no_such_network", {}, "cannot be built"),
        ("timm:", {}, "cannot be built"),
        ("timm:resnet18", {"depth": 3}, "cannot be built"),
        ("timm:resnet18", {"layers": [1]}, None),
        ("timm:resnet18", {"cardinality": 7}, "cannot be built"),
        ("timm:vit_tiny_patch16_224", {"num_heads": 7}, "cannot be built"),
        ("timm:vit_tiny_patch16_224", {"output_stride": 8}, "cannot be built"),
        ("timm:efficientnet_b0", {"global_pool": "token"}, "cannot be built"),
        ("timm:convnext_atto", {"stem_type": "deep_tiered"}, "cannot be built"),
        ("torchvision:resnet18", {"width_mult": 0.5}, "cannot be built"),
        ("torchvision:resnet18", {"groups": 3}, "cannot be built"),
        ("torchvision:vit_b_16", {"image_size": 225}, "cannot be built"),
        ("torchvision:no_such_network", {}, "expected a classifier of torchvision"),
        ("vgg", {"width": 4}, "options: expected bottom, width, hidden for vgg; bottom, hidden is missing"),
        ("vgg", {"bottom": [[4, 4]], "width": 4, "hidden": 4, "branches": 2}, "multiple of branches"),
        ("lite0-mlp", {}, "hidden is missing"),
        ("clip-mlp:x", {"hidden": 4}, "width is missing"),
        ("timm:hf-hub:me/x", {}, "a plain name"),
        ("timm:local-dir:/etc", {}, "a plain name"),
        ("../x", {}, "expected vgg"),
    ],
)
def test_whatever_a_library_raises_is_told_as_a_fault_of_the_card(network: str, options: Any, says: str | None) -> None:
    spec = replace(SPEC, network=network, options=options, weights=safetensors.torch.save({"a": torch.zeros(1)}))
    with pytest.raises((CardError, WeightsError), match=says) as refused:
        load(spec)
    assert len(str(refused.value)) < 700
