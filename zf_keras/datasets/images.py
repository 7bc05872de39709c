"""What the data sets of images share: grey levels in shards, binarised as they are read, and pictures of samples."""

from pathlib import Path

import numpy as np

from zf_keras import pictures, units
from zf_keras.arguments import check_choice
from zf_keras.data.batches import Mapped
from zf_keras.datasets.splits import load_splits
from zf_keras.extras import optional_import

FRAMES = ("pixels", "rows")
BINARIZATIONS = ("stochastic", "static", "threshold")


def load_images(directory, dataset, binarization, frames, verify):
    """`Splits` of sequences of 0 and 1, float32, of prepared images of grey levels 0 to 255 or of bits.

    Args:
        directory: path.
        dataset: str. Name in the manifest.
        binarization: one of `BINARIZATIONS`, or `None` for images of 0 and 1.
        frames: one of `FRAMES`.
        verify: bool.
    """
    check_choice("frames", frames, FRAMES)
    splits = load_splits(directory, dataset, verify)
    rows, columns = splits.train[0].shape
    shape = (rows, columns) if frames == "rows" else (rows * columns, 1)

    def function(image, rng=None):
        if binarization == "threshold":
            image = image >= 128
        elif binarization is not None:
            image = rng.random(image.shape, "float32") < image / np.float32(255)
        return image.astype("float32").reshape(shape)

    def mapped(shards, split):
        random = None
        if binarization in ("static", "stochastic"):
            random = "anew" if binarization == "stochastic" and split == "train" else "once"
        return Mapped(shards, function, random, length=shape[0])

    return type(splits)(*(mapped(shards, split) for split, shards in splits._asdict().items()))


def measures(log_likelihoods, sequences):
    """What a log-likelihood comes to beside nats an image.

    Args:
        log_likelihoods: array (sequences,), nats.
        sequences: the split that was scored.

    Returns:
        Dict with `"bits a pixel"`.
    """
    return {"bits a pixel": units.bits_a_dimension(log_likelihoods, np.prod(np.shape(sequences[0])))}


def write_samples(samples, directory, manifest):
    """Writes generated images as one picture of a grid, `samples.png`.

    Args:
        samples: array (count, time, features), sequences of 0 and 1 of square images.
        directory: path.
        manifest: dict. Of the data set, not needed here.

    Returns:
        List of the paths written.

    Raises:
        ValueError: so many steps are no square picture.
    """
    grid = pictures.tiled(samples)
    image = optional_import("matplotlib.image", "datasets", "A picture")
    path = Path(directory) / "samples.png"
    image.imsave(path, grid.repeat(4, axis=0).repeat(4, axis=1), cmap="gray", vmin=0, vmax=1)
    return [path]


def figure(groups, manifest, columns=None):
    """The images of groups: as `zf_keras.pictures.images`."""
    return pictures.images(groups, columns)


#: What all data sets of images share.
SHOWN = {"measures": measures, "write_samples": write_samples, "figure": figure}
