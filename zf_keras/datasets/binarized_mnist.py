"""The fixed binarisation of MNIST on which sequential models are compared.

Source: H. Larochelle, from MNIST (zf_keras.datasets.mnist). Citation: H. Larochelle and I. Murray, "The Neural
Autoregressive Distribution Estimator", AISTATS 2011; R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of
Deep Belief Networks", ICML 2008.

Layout: a folder with the three text files, an image of 784 numbers 0 or 1 on each line,

    binarized_mnist_train.amat    50,000 images
    binarized_mnist_valid.amat    10,000
    binarized_mnist_test.amat     10,000

or with `binarized_mnist.npz`, of arrays `train`, `valid` and `test` (images, 784) of 0 and 1, or (images, 98) of bits
packed by `numpy.packbits`.
"""

import numpy as np

from zf_keras.data.files import file_state
from zf_keras.data.shard_writer import write_shards
from zf_keras.datasets import images, sources
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.npz import opened_npz
from zf_keras.datasets.splits import Splits

SIDE = 28


def prepare(source, directory, on_error="stop", verbose=True):
    """Writes the images to shards.

    Args:
        source: path. A folder as in the layout, or an archive of it.
        directory: path. Where the shards go.
        on_error: `"stop"` or `"skip"`, as for `write_shards`. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        The manifest, a dict.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is not as it should be.
    """
    with sources.opened(source, directory) as folder:
        try:
            path = sources.find(folder, "binarized_mnist.npz")
            read = read_npz
            paths = dict.fromkeys(Splits._fields, path)
        except FileNotFoundError:
            read = read_amat
            paths = {split: sources.find(folder, f"binarized_mnist_{split}.amat") for split in Splits._fields}
        return write_shards(
            directory,
            "binarized_mnist",
            {split: {f"{path.name}, {split}": (path, split)} for split, path in paths.items()},
            lambda source, _: read(*source),
            statistics_of=None,
            on_error=on_error,
            verbose=verbose,
            state=lambda source: file_state(source[0]),
        )


def read_amat(path, split):
    """Images of a text file, one at a time: arrays (28, 28) of uint8."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            values = line.split()
            if len(values) != SIDE**2 or not set(values) <= {b"0", b"1"}:
                raise ValueError(f"line {number} is not of {SIDE**2} numbers 0 or 1")
            yield np.array(values, "S1").view("uint8").reshape(SIDE, SIDE) - ord("0")


def read_npz(path, split):
    """Images of one array of an .npz file: arrays (28, 28) of uint8."""
    with opened_npz(path) as arrays:
        if split not in arrays:
            raise ValueError(f"it has no array {split!r} but {sorted(arrays)}")
        bits = arrays[split]
    if bits.shape[1:] == (SIDE**2 // 8,) and bits.dtype == "uint8":
        bits = np.unpackbits(bits, axis=-1)
    if bits.shape[1:] != (SIDE**2,) or not np.isin(bits, (0, 1)).all():
        raise ValueError(f"{split!r} must be (images, {SIDE**2}) of 0 and 1, or packed: shape={bits.shape}")
    yield from bits.astype("uint8").reshape(-1, SIDE, SIDE)


def load_data(directory, frames="pixels", verify=False):
    """The prepared images as sequences of 0 and 1, float32.

    Args:
        directory: path. As given to `prepare`.
        frames: `"pixels"` for 784 steps of one pixel, row by row, or `"rows"` for 28 steps of one row. Defaults to
            `"pixels"`.
        verify: bool. Whether to compare the checksums. Defaults to `False`.

    Returns:
        `Splits(train, valid, test)`, random access to arrays (time, features).

    Raises:
        FileNotFoundError: nothing complete is there.
        ValueError: names what is wrong with an argument.
    """
    return images.load_images(directory, "binarized_mnist", None, frames, verify)


DATASET = Dataset(load_data, prepare, **images.SHOWN)
