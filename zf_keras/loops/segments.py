"""Long loops in segments that the gradient computes anew: memory for one segment instead of all (Chen et al. 2016)."""

import keras
from keras import ops

from zf_keras.loops.scan import scan

if keras.config.backend() == "jax":
    import jax
else:
    import tensorflow as tf


def in_segments(function, state, inputs, length):
    """Runs a function over segments of the leading (time) axis, each computed again where its gradient is needed.

    Args:
        function: `(state, inputs of a segment) -> (state, outputs of the segment)`, nests of tensors; of the inputs and
            outputs (steps, batch, ...). It may read variables.
        state: nest of tensors (batch, ...). The state before the first step.
        inputs: nest of tensors (time, batch, ...), of at least one step.
        length: int. Steps of a segment; the first has the rest of the division.

    Returns:
        The state after the last step, and the outputs of all steps (time, batch, ...).
    """
    leaf = keras.tree.flatten(inputs)[0]
    if leaf.shape[0] is not None and leaf.shape[0] <= length:
        return function(state, inputs)
    time = leaf.shape[0] or ops.shape(leaf)[0]
    count = (time - 1) // length
    loop = _on_jax if keras.config.backend() == "jax" else _on_tensorflow
    return loop(function, state, inputs, count, time - count * length, length)


def _on_jax(function, state, inputs, count, rest, length):
    function = jax.checkpoint(function)
    segments = jax.tree.map(lambda x: x[rest:].reshape(count, length, *x.shape[1:]), inputs)
    state, first = function(state, jax.tree.map(lambda x: x[:rest], inputs))
    state, others = jax.lax.scan(function, state, segments)
    others = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), others)
    return state, jax.tree.map(lambda *x: jax.numpy.concatenate(x), first, others)


def _on_tensorflow(function, state, inputs, count, rest, length):
    """One loop over all segments. What it gives of the first is padded to the length of the others."""
    structure = [state, inputs]
    outputs_structure = None

    def cut(tensors, k):
        end = rest + k * length
        return [x[tf.maximum(end - length, 0) : end] for x in tensors]

    def padded(tensors):
        return [tf.pad(x, [[length - tf.shape(x)[0], 0]] + [[0, 0]] * (len(x.shape) - 1)) for x in tensors]

    def of_all_steps(stacks):
        return [tf.reshape(x, [-1, *ops.shape(x)[2:]])[length - rest :] for x in stacks]

    @tf.custom_gradient
    def run(*tensors):
        first, given = tf.nest.pack_sequence_as(structure, tensors)
        given, segments = tf.nest.flatten(given), tf.range(count + 1)
        floating = [x.dtype.is_floating for x in given]

        def kept_step(state, k):
            nonlocal outputs_structure
            after, outputs = function(state, tf.nest.pack_sequence_as(inputs, cut(given, k)))
            outputs_structure = outputs
            return after, [tf.nest.flatten(state), padded(tf.nest.flatten(outputs))]

        last, (states, outputs) = scan(kept_step, first, segments, parallel=False)

        def gradient(*upstream, variables=()):
            d_last, d_outputs = list(upstream[: len(states)]), list(upstream[len(states) :])

            def differentiable(tensors):
                return [x for x, is_floating in zip(tensors, floating, strict=True) if is_floating]

            def step_back(carried, at):
                d_after, of_variables = carried
                k, state = at
                of_segment = cut(given, k)
                with tf.GradientTape() as tape:
                    sources = [*state, *differentiable(of_segment)]
                    tape.watch(sources)
                    results = function(*tf.nest.pack_sequence_as(structure, [*state, *of_segment]))
                found = tape.gradient(
                    tf.nest.flatten(results),
                    [*sources, *variables],
                    [*d_after, *cut(d_outputs, k)],
                    unconnected_gradients="zero",
                )
                found = [tf.convert_to_tensor(each) for each in found]
                of_variables = [a + b for a, b in zip(of_variables, found[len(sources) :], strict=True)]
                return (found[: len(state)], of_variables), padded(found[len(state) : len(sources)])

            carried = d_last, [tf.zeros_like(variable) for variable in variables]
            (d_first, of_variables), d_given = scan(
                step_back, carried, (segments, states), reverse=True, parallel=False
            )
            d_given = iter(of_all_steps(d_given))
            gradients = [*d_first, *(next(d_given) if is_floating else None for is_floating in floating)]
            return (gradients, of_variables) if variables else gradients

        return [*tf.nest.flatten(last), *of_all_steps(outputs)], gradient

    results = run(*tf.nest.flatten(structure))
    size = len(tf.nest.flatten(state))
    return (
        tf.nest.pack_sequence_as(state, results[:size]),
        tf.nest.pack_sequence_as(outputs_structure, results[size:]),
    )
