"""Pictures keep their pixels; the perturbation map is zero-centred and tells its gain."""

import numpy as np

from lab.pictures import BLUE, MIDDLE, ORANGE, perturbation_map, spotlit, to_picture
from lab.request import Canvas


def test_eight_bit_pictures_round_trip() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_picture(picture.transpose(2, 0, 1) / np.float32(255)), picture)


def test_the_map_is_blue_where_darker_orange_where_brighter_and_neutral_where_unchanged() -> None:
    original = np.full((3, 10, 10), 0.5, dtype=np.float32)
    attacked = original.copy()
    attacked[:, :5] -= 0.01
    attacked[:, 5:8] += 0.01
    signed, gain = perturbation_map(original, attacked)
    np.testing.assert_array_equal(signed[0, 0], BLUE)
    np.testing.assert_array_equal(signed[6, 0], ORANGE)
    np.testing.assert_array_equal(signed[9, 0], MIDDLE)
    np.testing.assert_allclose(gain, 100, rtol=1e-4)


def test_no_change_is_neutral_with_gain_one() -> None:
    original = np.random.default_rng(0).random((3, 6, 6))
    signed, gain = perturbation_map(original, original)
    assert gain == 1
    assert (signed == MIDDLE).all()


def test_a_spotlit_picture_is_itself_inside_and_pale_outside() -> None:
    picture = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    lit = spotlit(picture, Canvas(region=(0.25, 0.5, 0.75, 1.0)).free(4, 8))
    np.testing.assert_array_equal(lit[2:, 2:6], picture[2:, 2:6])
    assert lit[:2].min() >= 160
    assert lit[:, :2].min() >= 160
