"""Trained loops: the weights that they multiply by, and their gradient."""

import functools

import keras
from keras import ops

from zf_keras.loops.scan import scan

if keras.config.backend() == "jax":
    import jax


class Affine:
    """x @ kernel + bias: what a loop multiplies by, read and cast before it."""

    def __init__(self, kernel, bias=None):
        self.weights = [kernel] if bias is None else [kernel, bias]

    def __call__(self, x):
        x = ops.matmul(x, self.weights[0])
        return x + self.weights[1] if len(self.weights) == 2 else x


def recurrence(step, weights, state, inputs):
    """Runs `step` over the leading (time) axis, to be differentiated.

    Automatic differentiation adds every step's weight gradients inside the loop. On JAX it computes the gradients of
    each `Affine`'s outputs instead. After the loop, one matrix product of these and of the inputs gives the gradient
    of the weights. (On TensorFlow this was slower than leaving it to the loop.)

    Args:
        step: function. `(weights, state, inputs_t) -> (state, outputs_t)`; calls each `Affine` of `weights` once.
        weights: nest with `Affine`s.
        state: nest of tensors (batch, ...). The state before the first step.
        inputs: nest of tensors (time, batch, ...), of at least one step.

    Returns:
        The state after the last step, and the outputs stacked to (time, ...).
    """
    if keras.config.backend() != "jax":
        return scan(functools.partial(step, weights), state, inputs)
    leaves = keras.tree.flatten(weights)
    time_and_batch = keras.tree.flatten(inputs)[0].shape[:2]

    @jax.custom_gradient
    def run(affine_weights, state, inputs):
        def recorded_step(state, inputs):
            inputs, added = inputs
            given = [None] * len(added)

            def recorded(i):
                def call(x):
                    given[i] = x
                    return Affine(*affine_weights[i])(x) + added[i]

                return call

            calls = map(recorded, range(len(added)))
            own = [next(calls) if isinstance(leaf, Affine) else leaf for leaf in leaves]
            state, outputs = step(keras.tree.pack_sequence_as(weights, own), state, inputs)
            return state, (outputs, given)

        added = [jax.numpy.zeros((*time_and_batch, w[0].shape[-1]), w[0].dtype) for w in affine_weights]

        def run_loop(state, inputs, added):
            return scan(recorded_step, state, (inputs, added))

        (last, (outputs, given)), gradients_of = jax.vjp(run_loop, state, inputs, added)

        def gradient(upstream):
            last_gradient, outputs_gradient = upstream
            nothing = jax.tree.map(jax.numpy.zeros_like, given)
            *others, of_affines = gradients_of((last_gradient, (outputs_gradient, nothing)))
            of_weights = []
            for affine, x, d in zip(affine_weights, given, of_affines, strict=True):
                x, d = (v.reshape(-1, v.shape[-1]) for v in (x, d))
                of_weights.append([x.T @ d, d.sum(axis=0)][: len(affine)])
            return of_weights, *others

        return (last, outputs), gradient

    return run([leaf.weights for leaf in leaves if isinstance(leaf, Affine)], state, inputs)
