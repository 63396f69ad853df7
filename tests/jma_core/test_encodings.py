from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from jma_core import ECOC, MultiLabel, OneHot, TopK, asked, hadamard_codebook
from jma_core.records import FREE

Case = tuple[Any, Any]

logit = st.floats(-50, 50) | st.sampled_from([-1.0, 0.0, 1.0])


def vector(size: int) -> st.SearchStrategy[Tensor]:
    return st.lists(logit, min_size=size, max_size=size).map(lambda z: torch.tensor(z, dtype=torch.float64))


@st.composite
def one_hot(draw: st.DrawFn) -> Case:
    n = draw(st.integers(2, 12))
    return OneHot(n), draw(st.integers(0, n - 1))


@st.composite
def in_order(draw: st.DrawFn) -> Case:
    order = draw(st.permutations(range(draw(st.integers(2, 12)))))
    k = draw(st.integers(1, len(order)))
    return TopK(len(order), k), order[:k]


@st.composite
def as_a_set(draw: st.DrawFn) -> Case:
    n = draw(st.integers(2, 12))
    target = draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n - 1))
    return TopK(n, len(target), ordered=False), target


def top_k() -> st.SearchStrategy[Case]:
    return in_order() | as_a_set()


def linear() -> st.SearchStrategy[Case]:
    """Those whose decoder's region is that of the constraints."""
    return one_hot() | multi_label() | top_k()


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


@given(case=linear(), data=st.data())
def test_constraints_and_decoder_agree(case: Case, data: st.DataObject) -> None:
    encoding, target = case
    z = data.draw(vector(encoding.n))
    values = encoding.constraints(target).values(z)
    decoded = encoding.decode(z).numpy()
    wanted = [i in target for i in range(encoding.n)] if isinstance(target, set) else target
    reads_target = all(wished in (FREE, now) for wished, now in np.broadcast(wanted, decoded))
    assert encoding.meets(z, target) == reads_target
    if (values > 0).all():
        assert reads_target
    if reads_target:
        assert (values >= 0).all()
    if (values < 0).any():
        assert not reads_target


@given(case=linear() | ecoc(), data=st.data())
def test_margins_and_decoder_agree(case: Case, data: st.DataObject) -> None:
    encoding, target = case
    z = data.draw(vector(encoding.n))
    margins = encoding.margins(z, target)
    reads_target = encoding.meets(z, target)
    assert len(margins) == len(encoding.constraints(target).labels)
    if (margins > 0).all():
        assert reads_target
    if (margins < 0).any():
        assert not reads_target
    torch.testing.assert_close(encoding.margins(torch.stack([z, -z]), target)[0], margins)


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


def test_bitwise_every_bit_of_the_codeword_has_its_margin() -> None:
    goal = ECOC(torch.tensor([[1, 1, -1], [-1, -1, 1]])).bitwise(0, kappa=0.5)
    z = torch.tensor([2.0, -1.0, 3.0])
    assert goal.values(z).tolist() == [1.5, -1.5, -3.5]
    assert goal.labels.tolist() == [0, 1, 2]
    assert goal.rows(torch.tensor([2, 0])).tolist() == [[0, 0, -1], [1, 0, 0]]


@given(case=ecoc(), kappa=st.floats(0, 3), data=st.data())
def test_what_has_every_bit_right_is_read_as_the_class(case: Case, kappa: float, data: st.DataObject) -> None:
    encoding, target = case
    sizes = data.draw(vector(encoding.n)).abs() + kappa + 0.01
    z = encoding.codebook[target].double() * sizes
    assert bool((encoding.bitwise(target, kappa).values(z) > 0).all())
    assert encoding.decode(z) == target


@given(case=linear() | ecoc(), kappa=st.floats(0, 10), data=st.data())
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


@given(case=linear() | ecoc(), seed=st.integers(0, 2**32))
def test_a_batch_gives_what_its_images_give_one_by_one(case: Case, seed: int) -> None:
    encoding, target = case
    batch = torch.randn(3, encoding.n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)  # no ties
    goal = encoding.constraints(target, 0.5)
    torch.testing.assert_close(goal.values(batch), torch.stack([goal.values(z) for z in batch]))
    assert torch.equal(encoding.decode(batch), torch.stack([encoding.decode(z) for z in batch]))


@given(case=in_order(), data=st.data())
def test_the_largest_are_read_in_order_the_first_of_equals_first(case: Case, data: st.DataObject) -> None:
    encoding, _ = case
    z = data.draw(vector(encoding.n))
    ranked = sorted(range(encoding.n), key=lambda i: (-z[i], i))
    assert encoding.decode(z).tolist() == ranked[: encoding.k]
    if encoding.k < encoding.n:
        mask = TopK(encoding.n, encoding.k, ordered=False).decode(z)
        assert set(torch.nonzero(mask)[:, 0].tolist()) == set(ranked[: encoding.k])
    assert OneHot(encoding.n).decode(z) == ranked[0]


@given(case=one_hot(), kappa=st.floats(0, 10), data=st.data())
def test_an_order_and_a_set_of_one_class_are_that_class(case: Case, kappa: float, data: st.DataObject) -> None:
    encoding, target = case
    z = data.draw(vector(encoding.n))
    goal = encoding.constraints(target, kappa)
    for alike, form in ((TopK(encoding.n, 1), [target]), (TopK(encoding.n, 1, ordered=False), {target})):
        same = alike.constraints(form, kappa)
        assert torch.equal(same.values(z), goal.values(z))
        assert torch.equal(same.labels, goal.labels)
        assert alike.meets(z, form) == encoding.meets(z, target)
        assert alike.fraction_right(z, form) == encoding.fraction_right(z, target)


def test_the_form_of_a_target_says_what_a_one_hot_network_is_asked() -> None:
    encoding, code = OneHot(5), ECOC(hadamard_codebook(5, 8))
    for target in (3, [3], torch.tensor([3]), "cat", None):
        assert asked(encoding, target) is encoding
    for target in ((3, 1), [3, 1], torch.tensor([3, 1]), np.array([3, 1])):
        assert asked(encoding, target) == TopK(5, 2)
    for target in ({3, 1}, frozenset({3, 1})):
        assert asked(encoding, target) == TopK(5, 2, ordered=False)
    assert asked(code, [3, 1]) is code


def test_a_set_may_be_given_as_what_the_decoder_says() -> None:
    encoding = TopK(4, 2, ordered=False)
    for target in ({1, 3}, [3, 1], [False, True, False, True], torch.tensor([1, 3])):
        assert encoding.check_target(target).tolist() == [False, True, False, True]


def test_places_of_an_order_and_classes_of_a_set_are_counted() -> None:
    z = torch.tensor([3.0, 2.0, 1.0, 0.0])
    assert TopK(4, 3).fraction_right(z, [0, 2, 1]) == pytest.approx(1 / 3)
    assert TopK(4, 3, ordered=False).fraction_right(z, {0, 2, 1}) == 1
    assert TopK(4, 2, ordered=False).fraction_right(z, {0, 2}) == 0.5


def test_rows_of_a_large_set_are_made_when_asked_for() -> None:
    goal = TopK(1000, 20, ordered=False).constraints(set(range(0, 1000, 50)), 0.5)
    z = torch.arange(1000.0)
    assert len(goal.labels) == 20 * 980
    index = torch.tensor([0, 980, 19599])  # 0 against 1, 50 against 1, 950 against 999
    assert goal.values(z)[index].tolist() == [-1.5, 48.5, -49.5]
    assert goal.labels[index].tolist() == [1, 1, 999]
    assert [row.nonzero()[:, 0].tolist() for row in goal.rows(index)] == [[0, 1], [1, 50], [950, 999]]


@pytest.mark.parametrize(
    "target", [[1, 1], [0, 4], [-1, 2], [1.0, 2.0], [True, False], [[1, 2]], [1], 1, "cat", None, {1, 2}]
)
def test_a_wrong_order_is_refused_with_what_was_expected_and_what_came(target: Any) -> None:
    with pytest.raises(ValueError, match=r"expected 2 distinct target classes from 0 to 3 in order, got "):
        TopK(4, 2).check_target(target)


@pytest.mark.parametrize("target", [{1}, {1, 2, 3}, {0, 4}, {1.0, 2.0}, {"cat", "dog"}, [1, 1], 1, None])
def test_a_wrong_set_is_refused_with_what_was_expected_and_what_came(target: Any) -> None:
    with pytest.raises(ValueError, match=r"expected 2 distinct target classes from 0 to 3 as a set, got "):
        TopK(4, 2, ordered=False).check_target(target)


def test_as_many_classes_as_there_are_make_an_order_but_no_set() -> None:
    assert TopK(3, 3).decode(torch.tensor([1.0, 3.0, 2.0])).tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="expected 1 to 2 of 3 classes, got 3"):
        TopK(3, 3, ordered=False)
    with pytest.raises(ValueError, match="expected 1 to 3 of 3 classes, got 4"):
        asked(OneHot(3), [0, 1, 2, 0])


def test_a_label_on_its_threshold_is_absent() -> None:
    assert MultiLabel([0.5, 0.5, 0.5]).decode(torch.tensor([0.25, 0.5, 0.75])).tolist() == [False, False, True]


def test_a_number_of_labels_means_thresholds_of_zero() -> None:
    assert MultiLabel(3).decode(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [False, False, True]


def test_the_decoder_gives_the_shape_that_targets_have() -> None:
    z = torch.tensor([1.0, -1.0])
    for encoding, target in [
        (OneHot(2), 0), (ECOC(hadamard_codebook(2, 2)), 0), (MultiLabel(2), [1, 0]),
        (TopK(2, 2), [1, 0]), (TopK(2, 1, ordered=False), {1}),
    ]:  # fmt: skip
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
