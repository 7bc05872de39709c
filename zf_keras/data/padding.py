"""Batches and lengths padded to a few sizes, so that JAX compiles a handful of programs, not one a size."""

import keras
import numpy as np
from keras import ops

from zf_keras.data.sequences import TIMELESS, is_concrete

#: Whether sizes are padded. JAX compiles a program for each; on TensorFlow one takes all.
PADDED = keras.config.backend() == "jax"


def padded_size(size):
    """What a number of sequences or steps is padded to: 1, 2, 4, 6, 8, 12, 16, ..., 48, 64, then eight sizes an octave.

    Above 64 at most an eighth is added, and a sixteenth on average.
    """
    if not PADDED or not size:
        return size
    octave = 1 << (size - 1).bit_length()  # the next power of two
    unit = max(min(size, 2), octave // (4 if size <= 64 else 16))
    return -(-size // unit) * unit


def pads(nest):
    """Whether a nest of tensors is to be padded: not within a trace, which compiles it in any case."""
    return PADDED and is_concrete(nest)


def padded_time(data, time):
    """A dict of arrays (batch, time, ...) of `time` predicted steps, padded; its mask says which steps are there."""
    if not PADDED:
        return data
    # One step more than are predicted, where inputs alone are given.
    count, known = next(x for key, x in data.items() if key not in TIMELESS).shape[:2]
    mask = data["mask"].astype(bool) if "mask" in data else np.ones((count, known), bool)
    sizes = count, known - time + padded_size(time)
    return {key: x if key in TIMELESS else padded_to(x, *sizes) for key, x in {**data, "mask": mask}.items()}


def padded_to(x, *sizes):
    """An array or tensor with zeros behind, up to these sizes of its first axes."""
    missing = [(0, size - there) for size, there in zip(sizes, x.shape, strict=False)]
    if not any(map(any, missing)):
        return x
    return (np if isinstance(x, np.ndarray) else ops).pad(x, missing + [(0, 0)] * (x.ndim - len(sizes)))


def drawn(draw, count, time):
    """`draw(count, time)`, noise (count, time, ...), with its time padded: the same numbers, by few programs.

    A number depends on its place among all alone, so that frames in a row have those of sequences of frames.
    """
    if padded_size(time) == time:
        return draw(count, time)

    def in_sequences(x):
        x = ops.convert_to_numpy(x) if is_concrete(x) else x
        x = x[: count * time].reshape(count, time, x.shape[-1])
        return ops.convert_to_tensor(padded_to(x, count, padded_size(time)))

    frames = 1 << (count * time - 1).bit_length()
    return keras.tree.map_structure(in_sequences, draw(frames, 1))


def cut(x, count):
    """The first `count` rows of a tensor, without a program for each count."""
    if x.shape[0] == count:
        return x
    return ops.convert_to_tensor(ops.convert_to_numpy(x)[:count]) if is_concrete(x) else x[:count]
