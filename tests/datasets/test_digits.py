import numpy as np
import pytest

from zf_keras.datasets import digits


def test_splits():
    pixels, rows, labels = digits.load_data(), digits.load_data(frames="rows"), digits.load_labels()
    assert [len(part) for part in pixels] == [1297, 250, 250]
    for a, b, label in zip(pixels, rows, labels, strict=True):
        assert a.shape[1:] == (64, 1) and b.shape[1:] == (8, 8) and len(label) == len(a)
        np.testing.assert_array_equal(a.reshape(-1, 8, 8), b)
        assert set(np.unique(a)) == {0, 1} and set(label) == set(range(10))
    with pytest.raises(ValueError, match="'columns'"):
        digits.load_data(frames="columns")


def test_against_scikit_learn():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    source = load_digits()
    expected = {
        (image >= 8).tobytes() + bytes([label]) for image, label in zip(source.images, source.target, strict=True)
    }
    rows, labels = digits.load_data(frames="rows"), digits.load_labels()
    images, labels = np.concatenate(rows), np.concatenate(labels)
    actual = {(image > 0).tobytes() + bytes([label]) for image, label in zip(images, labels, strict=True)}
    assert actual == expected
