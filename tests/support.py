"""Gradients and random weights, on both backends."""

import keras
import numpy as np
from keras import ops


def gradients(function, variables):
    """d function() / d variables, NumPy arrays; zeros where a variable is not reached."""
    return all_gradients({"": function}, variables)[""]


def all_gradients(functions, variables):
    """The gradients of several functions, by name, compiled as one."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(autograph=False)
        def run():
            with tf.GradientTape(persistent=True) as tape:
                values = {name: function() for name, function in functions.items()}
            of = [v.value for v in variables]
            return {n: tape.gradient(v, of, unconnected_gradients="zero") for n, v in values.items()}

        return {name: [tf.convert_to_tensor(g).numpy() for g in grads] for name, grads in run().items()}
    import jax

    @jax.jit
    def run(values):
        def stateless(function):
            def call(values):
                with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                    return function()

            return call

        return {name: jax.grad(stateless(function))(values) for name, function in functions.items()}

    return {n: [np.asarray(g) for g in grads] for n, grads in run([v.value for v in variables]).items()}


def named_gradients(function, model):
    """Gradients by the path of the weight in the model."""
    grads = gradients(function, model.trainable_weights)
    return {path(w): g for w, g in zip(model.trainable_weights, grads, strict=True)}


def path(weight):
    return weight.path.split("/", 1)[1]


def set_random_weights(model, scale=0.5, seed=0):
    """The same weights on every backend."""
    rng = np.random.default_rng(seed)
    for weight in sorted(model.trainable_weights, key=path):
        weight.assign(scale * rng.normal(size=weight.shape))
    return model


def total_loss(model, data, noise, names=None):
    """The loss of a batch with given noise; of the terms in `names` alone, if given."""
    terms, weights = model.loss_terms(data, noise=noise), model.current_weights()
    return ops.mean(sum(w * terms[n] for n, w in weights.items() if names is None or n in names))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def padded_batch(output="gaussian", lengths=(5, 2, 4), features=3, num_classes=7, seed=0):
    """Random sequences and their mask; whatever stands in the padding is wild."""
    rng = np.random.default_rng(seed)
    batch, time = len(lengths), max(lengths)
    mask = np.arange(time) < np.array(lengths)[:, None]
    if output == "categorical":
        targets = rng.integers(0, num_classes, size=(batch, time))
        return {"targets": np.where(mask, targets, num_classes + 92), "mask": mask}
    targets = rng.normal(size=(batch, time, features)).astype("float32")
    if output == "bernoulli":
        targets = (targets > 0).astype("float32")
    return {"targets": np.where(mask[..., None], targets, np.nan).astype("float32"), "mask": mask}
