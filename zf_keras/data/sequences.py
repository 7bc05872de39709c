"""Sequences: what every model makes of an array or {"inputs", "targets", "mask"}.

targets y_t = s_t, inputs x_t = s_{t-1}, x_1 a start frame of zeros or the start token.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

KEYS = ("inputs", "targets", "mask")
#: Of pieces of streams: (batch,) bool, true where a row does not go on from that of the batch before.
FIRST = "first"


class Sequences(NamedTuple):
    inputs: Any  # x (batch, time, features) or tokens (batch, time)
    targets: Any  # y, likewise
    mask: Any  # (batch, time) bool, or None where every step is valid


def sequences_of(data, start_token=0):
    """Inputs, targets and mask of `data`, as tensors, with what is left out filled in.

    Without "inputs" they are the targets a step later. Without "targets" the first frame is known:
    y_t is the next of the inputs, and there is one step less.
    Padded steps become zeros, so that whatever stands there reaches nothing.
    """
    if not isinstance(data, dict):
        data = {"targets": data}
    inputs, targets, mask = (data.get(key) for key in KEYS)
    if mask is not None:
        mask = ops.cast(mask, "bool")
    if targets is None:
        targets = ops.convert_to_tensor(inputs)[:, 1:]
        inputs = ops.convert_to_tensor(inputs)[:, :-1]
        mask = None if mask is None else mask[:, 1:]
    targets = _zero_padding(ops.convert_to_tensor(targets), mask)
    if inputs is None:
        start = start_token if len(targets.shape) == 2 else 0
        inputs = ops.concatenate([ops.full_like(targets[:, :1], start), targets[:, :-1]], axis=1)
    inputs = _zero_padding(ops.convert_to_tensor(inputs), mask)
    return Sequences(inputs, targets, mask)


def _zero_padding(x, mask):
    if mask is None:
        return x
    valid = ops.expand_dims(mask, -1) if len(x.shape) == 3 else mask
    return ops.where(valid, x, ops.zeros_like(x))


def is_concrete(data):
    """Whether every leaf of `data` holds values now (not a symbolic tensor or a tracer)."""
    if keras.config.backend() == "jax":
        import jax

        return not any(isinstance(x, (jax.core.Tracer, keras.KerasTensor)) for x in keras.tree.flatten(data))
    import tensorflow as tf

    return not any(
        isinstance(x, keras.KerasTensor) or (tf.is_tensor(x) and tf.is_symbolic_tensor(x))
        for x in keras.tree.flatten(data)
    )


def native(data):
    """`data`, an array or dict, in the machine's byte order; lists become arrays."""
    if isinstance(data, dict):
        return {key: None if value is None else native(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        data = np.asarray(data)
    if isinstance(data, np.ndarray) and not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    return data


def is_arrays(data):
    """Whether `data` is one array or a dict, rather than a stream of batches."""
    return isinstance(data, dict) or (hasattr(data, "shape") and hasattr(data, "dtype"))
