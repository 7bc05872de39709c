"""Streams of batches, each batch checked as it is read."""

import keras

from zf_keras._private import CheckedPyDatasetAdapter
from zf_keras.data.batches import Batches
from zf_keras.data.sequences import is_arrays, native


def checked(data, check_batch, shuffle=False):
    """`data` with every batch checked: arrays now, streams batch by batch as they are read.

    `fit`, `evaluate` and `predict` pass their data through here. Of data loaders that cannot be wrapped
    (`grain.DataLoader`, PyTorch's) only the first batch is checked.

    Args:
        data: arrays or a stream.
        check_batch: function of an array or dict that raises an error.
        shuffle: bool. Whether the batches of a `PyDataset` are read in random order.
    """
    if is_arrays(data):
        check_batch(data)
        return native(data)
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        raise ValueError(
            "A data frame is one sequence: pass `frame.to_numpy()[None]`, an array (1, time, features), or several "
            f"stacked, (batch, time, features). Received: {type(data)}."
        )
    if isinstance(data, keras.utils.PyDataset):
        return CheckedPyDatasetAdapter(data, lambda batch: _checked_batch(batch, check_batch), shuffle)
    origin = type(data).__module__.split(".")[0]
    if origin == "tensorflow":
        # One that was divided among replicas was checked before.
        return _checked_tf_dataset(data, check_batch) if hasattr(data, "map") else data
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


def is_checked(data):
    """Whether `checked` sees every batch before the model does."""
    origin = type(data).__module__.split(".")[0]
    readable = isinstance(data, keras.utils.PyDataset) or hasattr(data, "__next__") or hasattr(data, "map")
    return is_arrays(data) or origin == "tensorflow" or readable


def finite(data, steps, arguments):
    """`data`, of `Batches` its stream, an epoch of which is named by the argument `steps`."""
    if not isinstance(data, Batches):
        return data
    if arguments.get(steps) is None:
        arguments[steps] = len(data)
    return data.dataset()


def _checked_batch(batch, check_batch):
    x, *rest = batch if isinstance(batch, tuple) else (batch,)
    check_batch(x)
    return (native(x) if is_arrays(x) else x, *rest)


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
