from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jma_core import ECOC, MultiLabel, OneHot, hadamard_codebook
from jma_core.records import FREE, reads

Case = tuple[Any, Any]

logit = st.floats(-50, 50) | st.sampled_from([-1.0, 0.0, 1.0])


def vector(size: int) -> st.SearchStrategy[Tensor]:
    return st.lists(logit, min_size=size, max_size=size).map(lambda z: torch.tensor(z, dtype=torch.float64))


@st.composite
def one_hot(draw: st.DrawFn) -> Case:
    n = draw(st.integers(2, 12))
    return OneHot(n), draw(st.integers(0, n - 1))


@st.composite
def multi_label(draw: st.DrawFn) -> Case:
    tau = draw(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=8))
    wanted = st.lists(st.sampled_from([0, 1, FREE]), min_size=len(tau), max_size=len(tau))
    return MultiLabel(tau), draw(wanted.filter(lambda target: set(target) != {FREE}))


@st.composite
def ecoc(draw: st.DrawFn) -> Case:
    bits = draw(st.sampled_from([2, 4, 8, 16]))
    classes = draw(st.integers(2, bits))
    return ECOC(hadamard_codebook(classes, bits)), draw(st.integers(0, classes - 1))


@given(case=one_hot() | multi_label(), data=st.data())
def test_constraints_and_decoder_agree(case: Case, data: st.DataObject) -> None:
    encoding, target = case
    z = data.draw(vector(encoding.n))
    values = encoding.constraints(target).values(z)
    decoded = encoding.decode(z).numpy()
    reads_target = all(wanted in (FREE, now) for wanted, now in np.broadcast(target, decoded))
    assert reads(decoded, np.array(target)) == reads_target
    if (values > 0).all():
        assert reads_target
    if reads_target:
        assert (values >= 0).all()
    if (values < 0).any():
        assert not reads_target


@given(case=ecoc(), size=st.floats(0.01, 20), data=st.data())
def test_ecoc_agrees_with_its_constraints_while_all_bits_are_equally_sure(
    case: Case, size: float, data: st.DataObject
) -> None:
    """For z = size * signs, tanh only rescales z, so the decoder and the linear constraints rank alike."""
    encoding, target = case
    signs = data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=encoding.n, max_size=encoding.n))
    z = size * torch.tensor(signs, dtype=torch.float64)
    if (encoding.constraints(target).values(z) > size).all():
        assert encoding.decode(z) == target
    else:
        hamming = (np.asarray(encoding.codebook) != np.array(signs)).sum(1)
        assert hamming[int(encoding.decode(z))] == hamming.min()


def test_ecoc_can_disagree_with_its_constraints() -> None:
    """One sure bit outweighs two wrong ones in the logits, not under tanh: 1 - 2 tanh(1) < 0 < 10 - 1 - 1."""
    encoding = ECOC(torch.tensor([[1, 1, 1], [-1, -1, -1]]))
    z = torch.tensor([10.0, -1.0, -1.0])
    assert (encoding.constraints(0).values(z) > 0).all()
    assert encoding.decode(z) == 1


@given(case=ecoc())
def test_every_codeword_decodes_to_its_class(case: Case) -> None:
    encoding, _ = case
    assert encoding.decode(3.0 * encoding.codebook.double()).tolist() == list(range(encoding.classes))


def test_ecoc_scores_are_correlations_with_tanh() -> None:
    encoding = ECOC(torch.tensor([[1, 1], [1, -1]]))
    z = torch.atanh(torch.tensor([0.5, 0.25], dtype=torch.float64))
    torch.testing.assert_close(encoding.scores(z), torch.tensor([0.75, 0.25], dtype=torch.float64))


@given(case=one_hot() | multi_label() | ecoc(), kappa=st.floats(0, 10), data=st.data())
def test_rows_times_logits_are_values(
    written_out: Callable[..., Any], case: Case, kappa: float, data: st.DataObject
) -> None:
    encoding, target = case
    goal = encoding.constraints(target, kappa)
    a, h = written_out(encoding, target, kappa)
    index = data.draw(st.lists(st.integers(0, len(h) - 1), max_size=2 * len(h)))
    z = data.draw(vector(encoding.n))
    rows = goal.rows(torch.tensor(index, dtype=torch.int64)).double().numpy()
    np.testing.assert_array_equal(rows, a[index].reshape(len(index), encoding.n))
    # Sums of up to 16 terms of at most 2 * 50: their rounding is below 16 * 16 * 100 * 1.1e-16 = 3e-12.
    np.testing.assert_allclose(goal.values(z)[index].numpy(), rows @ z.numpy() - h[index], rtol=0, atol=3e-12)


@given(case=one_hot() | ecoc())
def test_class_constraints_are_about_the_rivals_in_order(case: Case) -> None:
    encoding, target = case
    classes = encoding.classes if isinstance(encoding, ECOC) else encoding.n
    assert encoding.constraints(target).labels.tolist() == [i for i in range(classes) if i != target]


@given(case=multi_label())
def test_label_constraints_are_about_their_own_label(case: Case) -> None:
    encoding, target = case
    assert encoding.constraints(target).labels.tolist() == [j for j, wanted in enumerate(target) if wanted != FREE]


@given(case=one_hot() | multi_label() | ecoc(), seed=st.integers(0, 2**32))
def test_a_batch_gives_what_its_images_give_one_by_one(case: Case, seed: int) -> None:
    encoding, target = case
    batch = torch.randn(3, encoding.n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)  # no ties
    goal = encoding.constraints(target, 0.5)
    torch.testing.assert_close(goal.values(batch), torch.stack([goal.values(z) for z in batch]))
    assert torch.equal(encoding.decode(batch), torch.stack([encoding.decode(z) for z in batch]))


def test_a_label_on_its_threshold_is_absent() -> None:
    assert MultiLabel([0.5, 0.5, 0.5]).decode(torch.tensor([0.25, 0.5, 0.75])).tolist() == [False, False, True]


def test_a_number_of_labels_means_thresholds_of_zero() -> None:
    assert MultiLabel(3).decode(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [False, False, True]


def test_the_decoder_gives_the_shape_that_targets_have() -> None:
    z = torch.tensor([1.0, -1.0])
    for encoding, target in [(OneHot(2), 0), (ECOC(hadamard_codebook(2, 2)), 0), (MultiLabel(2), [1, 0])]:
        decoded = encoding.decode(z)
        assert decoded.shape == encoding.check_target(target).shape


@pytest.mark.parametrize("target", [3, torch.tensor(3), torch.tensor([3]), np.int64(3)])
def test_a_class_may_come_in_any_integer_form(target: Any) -> None:
    assert torch.equal(OneHot(5).check_target(target), torch.tensor(3))


@pytest.mark.parametrize("target", [[1, 0], [True, False], (1, 0), torch.tensor([1, 0]), torch.tensor([True, False])])
def test_labels_may_come_in_any_boolean_form(target: Any) -> None:
    assert MultiLabel(2).check_target(target).tolist() == [1, 0]


def test_one_hot_is_right_or_wrong() -> None:
    z = torch.tensor([0.0, 2.0, 1.0])
    assert [OneHot(3).fraction_right(z, t) for t in range(3)] == [0.0, 1.0, 0.0]


@given(target=st.integers(0, 7), wrong=st.sets(st.integers(0, 15)))
def test_ecoc_counts_right_bits(target: int, wrong: set[int]) -> None:
    encoding = ECOC(hadamard_codebook(8, 16))
    z = 2.0 * encoding.codebook[target]
    z[list(wrong)] *= -1
    assert encoding.fraction_right(z, target) == 1 - len(wrong) / 16


@given(wrong=st.sets(st.integers(0, 7)), target=st.lists(st.booleans(), min_size=8, max_size=8))
def test_multi_label_counts_right_labels(wrong: set[int], target: list[bool]) -> None:
    z = torch.tensor([1.5 if present != (j in wrong) else 0.5 for j, present in enumerate(target)])
    assert MultiLabel([1.0] * 8).fraction_right(z, target) == 1 - len(wrong) / 8


def test_free_labels_do_not_count() -> None:
    assert MultiLabel(4).fraction_right(torch.tensor([1.0, 1.0, 1.0, -1.0]), [1, 0, FREE, FREE]) == 0.5


@pytest.mark.parametrize("target", [-1, 4, 1.0, True, [1, 2], torch.tensor(9), "cat", None])
@pytest.mark.parametrize("encoding", [OneHot(4), ECOC(hadamard_codebook(4, 4))], ids=["one-hot", "ecoc"])
def test_a_wrong_target_class_is_refused_with_what_was_expected_and_what_came(encoding: Any, target: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a target class from 0 to 3, got "):
        encoding.check_target(target)


@pytest.mark.parametrize(
    "target", [[1, 0], [1, 0, 1, 0], [1, 0, -2], [-1] * 3, [1, 0, 0.5], 1, [[1, 0, 1]], "cat", None]
)
def test_wrong_target_labels_are_refused_with_what_was_expected_and_what_came(target: Any) -> None:
    with pytest.raises(ValueError, match=r"expected 3 target labels.*got "):
        MultiLabel(3).check_target(target)


@pytest.mark.parametrize("thresholds", [[], 0, -1, [0.0, float("nan")], [float("inf")], [[0.0, 1.0]]])
def test_wrong_thresholds_are_refused(thresholds: Any) -> None:
    with pytest.raises(ValueError, match="expected n >= 1 finite thresholds, got "):
        MultiLabel(thresholds)


@pytest.mark.parametrize("n", [1, 0, -3])
def test_one_hot_needs_two_classes(n: int) -> None:
    with pytest.raises(ValueError, match=f"expected .*got {n}"):
        OneHot(n)


@pytest.mark.parametrize(
    "codebook", [[[1, -1]], [[1, 0], [0, 1]], [[1, -1], [1, -1]], [1, -1], [[1, -2], [-1, 1]]], ids=str
)
def test_wrong_codebooks_are_refused(codebook: Any) -> None:
    with pytest.raises(ValueError, match="expected a codebook"):
        ECOC(torch.tensor(codebook))
