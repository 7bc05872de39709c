"""What a model accepts as data: arrays or {"inputs", "targets", "mask"}; checks, and streams of them.

targets y_t = s_t, inputs x_t = s_{t-1}, x_1 a start frame of zeros or the start token.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zf_keras.data.batches import Batches

KEYS = ("inputs", "targets", "mask")


class Sequences(NamedTuple):
    inputs: Any  # x (batch, time, features) or tokens (batch, time)
    targets: Any  # y, likewise
    mask: Any  # (batch, time) bool, or None where every step is valid


def sequences(data, start_token=0):
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


def is_arrays(data):
    """Whether `data` is one array or a dict, rather than a stream of batches."""
    return isinstance(data, dict) or (hasattr(data, "shape") and hasattr(data, "dtype"))


def check(data, head, features=None, check_inputs=False):
    """Raises a `ValueError` that names what is wrong with `data`, or returns nothing.

    Args:
        data: array or dict, as for every model.
        head: the model's output head.
        features: dict or `None`. {"inputs": int, "targets": int}: the features that a built model was
            built for.
        check_inputs: bool. Whether the inputs too are scored by a head like `head`.
    """
    if not isinstance(data, dict):
        data = {"targets": data}
    unknown = sorted(set(data) - set(KEYS))
    if unknown:
        raise ValueError(f"Data may have the keys {', '.join(KEYS)}. Received the key {unknown[0]!r}.")
    if data.get("targets") is None and data.get("inputs") is None:
        raise ValueError("Data needs `targets` or `inputs`. Received neither.")
    arrays = {key: _as_array(key, value) for key, value in data.items() if value is not None}
    frames = {key: value for key, value in arrays.items() if key != "mask"}
    mask = arrays.get("mask")
    rank, axes = (2, "(batch, time)") if head.tokens else (3, "(batch, time, features)")
    for key, x in frames.items():
        if x.ndim != rank:
            raise ValueError(f"`{key}` must have {rank} axes, {axes}. Received: shape={x.shape}.")
        if 0 in x.shape:
            raise ValueError(f"`{key}` is empty. Received: shape={x.shape}.")
        if features is not None and not head.tokens and x.shape[2] != features[key]:
            raise ValueError(
                f"`{key}` must have {features[key]} features, which the model was built for. Received: shape={x.shape}."
            )
    leading = {key: x.shape[:2] for key, x in frames.items()}
    if len(set(leading.values())) > 1:
        raise ValueError(f"`inputs` and `targets` must have the same batch and time. Received: {leading}.")
    batch_and_time = next(iter(leading.values()))
    # Of inputs without targets the first frame is given, so that at least two must be there.
    least = 1 if "targets" in frames else 2
    if batch_and_time[1] < least:
        raise ValueError(f"`inputs` without `targets` need at least 2 steps. Received: shape={batch_and_time}.")
    if mask is not None:
        _check_mask(mask, batch_and_time, least)
    valid = slice(None) if mask is None else mask.astype(bool)
    for key, x in frames.items():
        values = x[valid]
        if np.issubdtype(values.dtype, np.inexact) and not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(x) & (True if mask is None else _like(mask, x)))[0]
            raise ValueError(f"`{key}` holds {x[tuple(where)]} at index {tuple(map(int, where))}.")
        if key == "targets" or "targets" not in frames or head.tokens or check_inputs:
            head.check_values(key, values)


def _like(mask, x):
    return mask.astype(bool).reshape(mask.shape + (1,) * (x.ndim - mask.ndim))


def _as_array(key, value):
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"`{key}` must be one array; pad sequences of different lengths. {error}") from error
    if array.dtype.name == "bfloat16":
        array = array.astype("float32")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise ValueError(f"`{key}` must be real numbers. Received: dtype={array.dtype}.")
    return array


def _check_mask(mask, shape, least):
    if mask.shape != shape:
        raise ValueError(
            f"`mask` must have the batch and time of the sequences, {shape}. Received: shape={mask.shape}."
        )
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"`mask` must hold 0 and 1 (or booleans). Received: {mask[~np.isin(mask, (0, 1))][0]}.")
    mask = mask.astype(bool)
    holes = (mask[:, 1:] & ~mask[:, :-1]).any(axis=1)
    if holes.any():
        row = int(np.argmax(holes))
        raise ValueError(
            f"`mask` must be padded on the right: true, then false. Row {row} has a valid step after a masked one."
        )
    short = ~mask[:, least - 1]
    if short.any():
        raise ValueError(
            f"Row {int(np.argmax(short))} of `mask` has fewer valid steps than the {least} that a sequence needs."
        )


def checked(data, check_batch):
    """`data` with every batch checked: arrays now, streams batch by batch as they are read.

    `fit`, `evaluate` and `predict` pass their data through here. Of data loaders that cannot be wrapped
    (`grain.DataLoader`, PyTorch's, a `PyDataset` in several processes) only the first batch is checked.
    """
    if is_arrays(data):
        check_batch(data)
        return data
    if isinstance(data, Batches):
        raise ValueError("Pass `batches.dataset()` instead of the `Batches`, with `steps_per_epoch=len(batches)`.")
    if isinstance(data, keras.utils.PyDataset) and not data.use_multiprocessing:
        return _CheckedPyDataset(data, check_batch)
    origin = type(data).__module__.split(".")[0]
    if origin == "tensorflow":
        return _checked_tf_dataset(data, check_batch)
    if hasattr(data, "__next__"):
        return (_checked_batch(batch, check_batch) for batch in data)
    if origin == "grain" and hasattr(data, "map"):
        return data.map(lambda batch: _checked_batch(batch, check_batch))
    if hasattr(data, "__iter__") and not isinstance(data, list | tuple):
        _checked_batch(next(iter(data)), check_batch)
        return data
    raise ValueError(
        "Data must be an array, a dict of arrays, a PyDataset, a tf.data.Dataset, a Grain dataset or a generator. "
        f"Received: {type(data)}."
    )


def _checked_batch(batch, check_batch):
    check_batch(keras.utils.unpack_x_y_sample_weight(batch)[0])
    return batch


def _checked_tf_dataset(dataset, check_batch):
    import tensorflow as tf

    def check_structure(*batch):
        batch = batch[0] if len(batch) == 1 else batch

        def check_values(*flat):
            _checked_batch(tf.nest.pack_sequence_as(batch, [x.numpy() for x in flat]), check_batch)
            return True

        with tf.control_dependencies([tf.py_function(check_values, tf.nest.flatten(batch), tf.bool)]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.map(check_structure, num_parallel_calls=1)


class _CheckedPyDataset(keras.utils.PyDataset):
    def __init__(self, dataset, check_batch):
        super().__init__(dataset.workers, max_queue_size=dataset.max_queue_size)
        self._dataset = dataset
        self._check_batch = check_batch

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def __getitem__(self, index):
        return _checked_batch(self._dataset[index], self._check_batch)

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()
