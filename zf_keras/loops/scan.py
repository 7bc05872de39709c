"""The time loop, on both backends."""

import keras
from keras import ops

if keras.config.backend() == "jax":
    import jax
else:
    import tensorflow as tf


def scan(step, state, inputs, reverse=False, parallel=True):
    """Runs `step` over the leading (time) axis.

    On TensorFlow, `keras.ops.scan` requires outputs with the structure of the state; this one does not.

    Args:
        step: function. `(state, inputs_t) -> (state, outputs_t)`, each a nest of tensors.
        state: nest of tensors. The state before the first step.
        inputs: nest of tensors (time, ...), of at least one step.
        reverse: bool. Whether to run from the last step to the first. The outputs stay in the order of
            the inputs. Defaults to `False`.
        parallel: bool. Whether TensorFlow may begin a step before the one before it ends, which takes the memory of
            several. Defaults to `True`.

    Returns:
        The state after the last step, and the outputs stacked to (time, ...).
    """
    if keras.config.backend() == "jax":
        return jax.lax.scan(step, state, inputs, reverse=reverse)
    return _while_loop(step, state, inputs, reverse, parallel)


def _while_loop(step, state, inputs, reverse, parallel):
    flat_inputs = tf.nest.flatten(inputs)
    length = flat_inputs[0].shape[0] or tf.shape(flat_inputs[0])[0]

    # Read from arrays: the gradient of a slice would be as long as the sequence, at every step.
    input_arrays = [tf.TensorArray(x.dtype, size=length, element_shape=x.shape[1:]).unstack(x) for x in flat_inputs]

    def inputs_at(t):
        return tf.nest.pack_sequence_as(inputs, [array.read(t) for array in input_arrays])

    def time(count):
        return length - 1 - count if reverse else count

    # Run only for the structure and shapes of the outputs; a graph leaves it out.
    _, outputs = step(state, tf.nest.map_structure(lambda x: x[0], inputs))
    arrays = [tf.TensorArray(x.dtype, size=length, element_shape=x.shape) for x in tf.nest.flatten(outputs)]

    def body(count, state, arrays):
        state, outputs_t = step(state, inputs_at(time(count)))
        flat_outputs = tf.nest.flatten(outputs_t)
        written = [a.write(time(count), x) for a, x in zip(arrays, flat_outputs, strict=True)]
        return count + 1, state, written

    _, state, arrays = tf.while_loop(
        lambda count, *_: count < length,
        body,
        (0, state, arrays),
        maximum_iterations=length,
        parallel_iterations=10 if parallel else 1,
    )
    return state, tf.nest.pack_sequence_as(outputs, [a.stack() for a in arrays])


def on_cpu():
    """Whether loops run on the CPU, where those written here are the fastest."""
    if keras.config.backend() == "jax":
        return jax.default_backend() == "cpu"
    return not tf.config.list_logical_devices("GPU")


def swap_time_and_batch(x):
    """(batch, time, features) to (time, batch, features), and back; of every tensor of a nest."""
    return keras.tree.map_structure(lambda x: ops.transpose(x, (1, 0, 2)), x)
