"""Handwritten digits of 8x8 pixels, binarised; bundled.

The test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning
Repository, doi:10.24432/C50P49, CC BY 4.0), which scikit-learn ships as `load_digits`: 1,797 images by 13 writers, in
17 grey levels. Here a pixel is 1 where its level is at least 8, and the images are in a fixed random order.
"""

from importlib import resources
from typing import NamedTuple

import numpy as np

from zf_keras.arguments import check_choice
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.images import SHOWN

SPLITS = {"train": slice(0, 1297), "valid": slice(1297, 1547), "test": slice(1547, 1797)}


class Digits(NamedTuple):
    train: np.ndarray  # (1297, time, features)
    valid: np.ndarray  # (250, time, features)
    test: np.ndarray  # (250, time, features)


def load_data(frames="pixels"):
    """The images as sequences of 0 and 1, float32.

    Args:
        frames: `"pixels"` for 64 steps of one pixel, row by row, or `"rows"` for 8 steps of one row. Defaults
            to `"pixels"`.

    Returns:
        `Digits(train, valid, test)`, arrays (1297, 250 and 250, time, features).

    Example:

    >>> load_data(frames="rows").train.shape
    (1297, 8, 8)
    """
    check_choice("frames", frames, ("pixels", "rows"))
    images = np.unpackbits(_arrays()["images"][..., None], axis=-1).astype("float32")  # (1797, 8, 8)
    sequences = images if frames == "rows" else images.reshape(-1, 64, 1)
    return Digits(**{name: sequences[part] for name, part in SPLITS.items()})


def load_labels():
    """Which digit each image shows, uint8, in the same splits."""
    return Digits(**{name: _arrays()["labels"][part] for name, part in SPLITS.items()})


def _arrays():
    with resources.files("zf_keras.datasets").joinpath("digits.npz").open("rb") as file:
        return dict(np.load(file))


DATASET = Dataset(load_data, **SHOWN)
