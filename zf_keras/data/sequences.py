"""Sequences: what every model makes of an array or a dict with the keys `KEYS`.

targets y_t = s_t, inputs x_t = s_{t-1}, x_1 a start frame or the start token.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

KEYS = ("inputs", "targets", "mask", "observed", "covariates", "static", "categories")
#: What a sequence has beside its frames, known in the future too: read, and not scored.
COVARIATES = ("covariates", "static", "categories")
#: Of pieces of streams: (batch,) bool, true where a row does not go on from that of the batch before.
FIRST = "first"
#: Keys of what has no axis of time.
TIMELESS = ("static", "categories", FIRST)


class Sequences(NamedTuple):
    inputs: Any  # x (batch, time, features) or tokens (batch, time)
    targets: Any  # y, likewise
    mask: Any  # (batch, time) bool, or None where every step is valid
    known: Any = None  # (batch, time, known_dim), what is read beside x_t and y_t; None for nothing
    scale: Any = None  # (batch, time, features), what each sequence is divided by; None where all are alike
    observed: Any = None  # (batch, time, features) bool, of the targets; None where no value may be missing
    inputs_observed: Any = None  # likewise, of the inputs


def sequences_of(data, start=0, missing=False):
    """`Sequences` of `data`, as tensors, with inputs, targets and mask as far as they are left out filled in.

    Without "inputs" they are the targets a step later. Without "targets" the first frame is known:
    y_t is the next of the inputs, and there is one step less.
    Padded steps become zeros, so that whatever stands there reaches nothing.

    Args:
        data: array or dict.
        start: x_1 where it is not known, and what stands in the place of missing values: a token, or a number or
            tensor (features,).
        missing: bool. Whether values of the targets may be missing: NaN, or false in "observed".
    """
    if not isinstance(data, dict):
        data = {"targets": data}
    inputs, targets, mask = (data.get(key) for key in ("inputs", "targets", "mask"))
    if mask is not None:
        mask = ops.cast(mask, "bool")
    if targets is None:
        targets = ops.convert_to_tensor(inputs)[:, 1:]
        inputs = ops.convert_to_tensor(inputs)[:, :-1]
        mask = None if mask is None else mask[:, 1:]
    targets = _zero_padding(ops.convert_to_tensor(targets), mask)
    observed = inputs_observed = None
    if missing:
        observed = observed_of(targets, data.get("observed"), mask)
        targets = ops.where(observed, targets, ops.cast(start, targets.dtype))
    if inputs is None:
        first = ops.broadcast_to(ops.cast(start, targets.dtype), ops.shape(targets[:, :1]))
        inputs = ops.concatenate([first, targets[:, :-1]], axis=1)
        if missing:
            inputs_observed = ops.concatenate([ops.ones_like(observed[:, :1]), observed[:, :-1]], axis=1)
    elif missing:
        inputs_observed = ops.ones_like(observed)  # flags are as wide as the targets, whatever the inputs are
    inputs = _zero_padding(ops.convert_to_tensor(inputs), mask)
    return Sequences(inputs, targets, mask, observed=observed, inputs_observed=inputs_observed)


def observed_of(targets, given, mask):
    """Where a value is there, (batch, time, features); padded steps miss nothing."""
    observed = ops.logical_not(ops.isnan(targets))
    if given is not None:
        observed = ops.logical_and(observed, ops.cast(given, "bool"))
    if mask is not None:
        observed = ops.logical_or(observed, ops.logical_not(ops.expand_dims(ops.cast(mask, "bool"), -1)))
    return observed


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
