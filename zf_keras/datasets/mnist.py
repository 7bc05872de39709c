"""MNIST: handwritten digits of 28x28 pixels, binarised.

Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits". Licence: CC BY-SA 3.0.
Citation: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998.

Layout: a folder with these two files in IDX format, gzipped (`.gz`) or not; labels are not needed.

    train-images-idx3-ubyte.gz    60,000 images: the first 50,000 are the training part, the last 10,000 valid
    t10k-images-idx3-ubyte.gz     10,000 images: the test part
"""

import gzip
import struct
from pathlib import Path

import numpy as np

from zf_keras.arguments import check_choice, check_positive_int
from zf_keras.data.files import file_state
from zf_keras.data.shard_writer import write_shards
from zf_keras.datasets import images, sources
from zf_keras.datasets.dataset import Dataset

FILES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
IDX_UINT8_IMAGES = 0x00000803
MAX_PIXELS = 2**24  # of an image: a header may claim anything


def prepare(source, directory, valid=10_000, on_error="stop", verbose=True, dataset="mnist"):
    """Writes the grey levels of the images to shards.

    Args:
        source: path. A folder as in the layout, or an archive of it.
        directory: path. Where the shards go.
        valid: int. How many of the last training images are the validation part. Defaults to `10000`.
        on_error: `"stop"` or `"skip"`, as for `write_shards`. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.
        dataset: str. Name in the manifest. Defaults to `"mnist"`.

    Returns:
        The manifest, a dict.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is not as it should be, or holds too few images.
    """
    check_positive_int("valid", valid)
    with sources.opened(source, directory) as folder:
        paths = {split: sources.find(folder, f"{name}.gz", name) for split, name in FILES.items()}
        count = _count(paths["train"])
        if count <= valid:
            raise ValueError(f"`valid` must be less than the {count} training images. Received: valid={valid}.")
        train, test = paths["train"], paths["test"]
        cut = count - valid
        return write_shards(
            directory,
            dataset,
            {
                "train": {f"{train.name}, first {cut}": (train, 0, cut)},
                "valid": {f"{train.name}, last {valid}": (train, cut, count)},
                "test": {test.name: (test, 0, None)},
            },
            lambda part, _: read_idx(*part),
            settings={"valid": valid},
            statistics_of=None,
            on_error=on_error,
            verbose=verbose,
            state=lambda part: file_state(part[0]),
        )


def read_idx(path, start=0, stop=None):
    """Images start to stop of an IDX file, one at a time: arrays (rows, columns) of uint8."""
    with _open(path) as file:
        try:
            count, rows, columns = _read_header(file)
            for i in range(count if stop is None else stop):
                data = file.read(rows * columns)
                if len(data) < rows * columns:
                    raise EOFError(f"it ends in image {i} of {count}")
                if i >= start:
                    yield np.frombuffer(data, "uint8").reshape(rows, columns)
            if stop in (None, count) and file.read(1):
                raise ValueError(f"more data than the {count} images that it should hold")
        except EOFError as error:
            raise ValueError(f"truncated: {error}") from error


def _count(path):
    with _open(path) as file:
        try:
            return _read_header(file)[0]
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{path}: {error}") from error


def _open(path):
    return gzip.open(path, "rb") if Path(path).suffix == ".gz" else Path(path).open("rb")


def _read_header(file):
    """Count, rows and columns."""
    header = file.read(16)
    if len(header) < 16:
        raise ValueError(f"an IDX file starts with 16 bytes, this one has {len(header)}")
    magic, *shape = struct.unpack(">4I", header)
    if magic != IDX_UINT8_IMAGES:
        raise ValueError(f"an IDX file of images starts with {IDX_UINT8_IMAGES:#010x}, this one with {magic:#010x}")
    if 0 in shape:
        raise ValueError(f"it holds no images: shape {tuple(shape)}")
    if shape[1] * shape[2] > MAX_PIXELS:
        raise ValueError(f"images of {shape[1]}x{shape[2]} pixels, where {MAX_PIXELS} are the most")
    return shape


def load_data(directory, binarization="stochastic", frames="pixels", verify=False, dataset="mnist"):
    """The prepared images as sequences of 0 and 1, float32.

    Args:
        directory: path. As given to `prepare`.
        binarization: what a pixel of grey level g is: `"stochastic"`, 1 with probability g / 255, drawn anew for each
            pass over the training part and once for the others; `"static"`, drawn once for all parts; or
            `"threshold"`, whether g >= 128. Defaults to `"stochastic"`.
        frames: `"pixels"` for 784 steps of one pixel, row by row, or `"rows"` for 28 steps of one row. Defaults to
            `"pixels"`.
        verify: bool. Whether to compare the checksums. Defaults to `False`.
        dataset: str. Name in the manifest. Defaults to `"mnist"`.

    Returns:
        `Splits(train, valid, test)`, random access to arrays (time, features).

    Raises:
        FileNotFoundError: nothing complete is there.
        ValueError: names what is wrong with an argument.
    """
    check_choice("binarization", binarization, images.BINARIZATIONS)
    return images.load_images(directory, dataset, binarization, frames, verify)


DATASET = Dataset(load_data, prepare, **images.SHOWN)
