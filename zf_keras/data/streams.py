"""Streams of batches, each batch checked as it is read."""

import keras

from zf_keras.data.batches import Batches
from zf_keras.data.sequences import is_arrays, native


def checked(data, check_batch):
    """`data` with every batch checked: arrays now, streams batch by batch as they are read.

    `fit`, `evaluate` and `predict` pass their data through here. Of data loaders that cannot be wrapped
    (`grain.DataLoader`, PyTorch's, a `PyDataset` in several processes) only the first batch is checked.
    """
    if is_arrays(data):
        check_batch(data)
        return native(data)
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        raise ValueError(
            "A data frame is one sequence: pass `frame.to_numpy()[None]`, an array (1, time, features), or several "
            f"stacked, (batch, time, features). Received: {type(data)}."
        )
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


def is_checked(data):
    """Whether `checked` sees every batch before the model does."""
    if isinstance(data, keras.utils.PyDataset):
        return not data.use_multiprocessing
    origin = type(data).__module__.split(".")[0]
    return is_arrays(data) or origin == "tensorflow" or hasattr(data, "__next__") or hasattr(data, "map")


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
