"""A batch divided among replicas: devices with the same weights, each with a share of the rows.

Rows without a valid step fill up a batch that does not divide evenly; they do not count. On JAX a program is of the
whole batch, whatever devices compute it. On TensorFlow each replica runs a program of its own: a sum over the batch is
summed over the replicas too, and each must draw noise of its own, though all have one seed.
"""

import contextlib

import keras
from keras import ops

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

#: Between the seeds of two replicas: 2^32 by the golden ratio.
STRIDE = 0x9E3779B1


def count():
    """Replicas that a model has which is made now."""
    if keras.config.backend() == "tensorflow":
        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_model_replicas


def added(tensors):
    """A list of tensors, each summed over the replicas."""
    context = tf.distribute.get_replica_context() if keras.config.backend() == "tensorflow" else None
    if context is None:
        return tensors
    # TensorFlow asks each tensor where it is, which one does not say in a process with one device.
    devices = context.strategy.extended.worker_devices
    with tf.device(devices[0]) if len(devices) == 1 else contextlib.nullcontext():
        return context.all_reduce("SUM", [tf.identity(x) for x in tensors])


def own_seed(seed):
    """A seed (2,) that all replicas have, made this one's."""
    context = tf.distribute.get_replica_context() if keras.config.backend() == "tensorflow" else None
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    number = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    return seed + tf.stack([number * STRIDE, tf.zeros_like(number)])


def counted(data):
    """1 for each row of `data` that counts, 0 for each that fills up: (batch,) float32."""
    mask = data.get("mask") if isinstance(data, dict) else None
    if mask is None:
        return ops.ones(ops.shape(keras.tree.flatten(data)[0])[:1], "float32")
    return ops.cast(ops.any(ops.cast(mask, "bool"), axis=1), "float32")


def of_values(rows, values):
    """`rows`, (batch,), for values (batch * draws,), the draws of a row one after another."""
    ones = ops.ones_like(ops.reshape(values, (ops.shape(rows)[0], -1)))
    return ops.reshape(rows[:, None] * ones, (-1,))


def mean(values, rows):
    """The mean of `values` (batch * draws,) over the rows that count; on TensorFlow this replica's summand of it."""
    rows = of_values(rows, values)
    return ops.sum(rows * values) / added([ops.sum(rows)])[0]


def without_filling(data):
    """A dict of arrays, or an array, without the rows that fill up; `None` if there is no other."""
    if not isinstance(data, dict) or data.get("mask") is None:
        return data
    rows = ops.convert_to_numpy(counted(data)) > 0
    if not rows.any():
        return None
    return {key: None if x is None else ops.convert_to_numpy(x)[rows] for key, x in data.items()}


class LossOfRows(keras.metrics.Mean):
    """The mean loss over the rows that count. Keras gives its own metric of the loss the size of the batch alone."""

    def update_state(self, values, sample_weight=None):
        pass

    def add(self, values, rows):
        super().update_state(values, of_values(rows, values))
