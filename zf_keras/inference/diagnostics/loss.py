"""Diagnostics of the training objective: what its terms are, and what part of the model they train."""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_numbers
from zf_keras.compiled import compiled
from zf_keras.inference.diagnostics import statistics
from zf_keras.inference.diagnostics.inferred import sums_of
from zf_keras.inference.passes import arrays, count_and_time, generator, noise_of, rows_of


def loss_shares(model, data, seed=None, batch_size=128, verbose="auto"):
    """What each term is of the loss, by the weights of the next update; also of a model without latents.

    With `num_samples` > 1 of the model, the terms are those of one draw, as in validation.

    Args:
        data, seed, batch_size, verbose: as for `kl`.

    Returns:
        Dict name -> `LossTerm(mean, weight, weighted, share)`, floats: mean in nats a sequence, weighted = weight *
        mean, and share = |weighted| of the sum of these. A density's term may be below zero; the shares are not.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = ZForcing(units=8, latent_dim=4, output="bernoulli")
    >>> {name: term.weight for name, term in diagnostics.loss_shares(model, np.zeros((2, 5, 3))).items()}
    {'nll': 1.0, 'kl': 1.0, 'aux_nll': 0.005, 'backward_nll': 0.005}
    """
    return statistics.loss_shares_of(
        sums_of(model, data, statistics.term_sums, seed, batch_size, verbose), weights_of(model)
    )


def gradient_norms(model, data, seed=None):
    """Norm of the gradient of the training objective, by part of the model; also of a model without latents.

    Args:
        data: array or dict, one batch, computed at once, with dropout and the like as in training.
        seed: int or `None`. As for `kl`.

    Returns:
        Dict name -> float: the norm of the gradient of all weights of a layer of the model, such as `"cell"`, `"prior"`
        and `"head"`. The `"posterior"` is a part of its own also where it is inside the cell. The squares add up to
        that of the whole gradient.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = SRNN(units=8, latent_dim=4, output="bernoulli")
    >>> sorted(diagnostics.gradient_norms(model, np.zeros((2, 5, 3))))
    ['backward_encoder', 'head', 'lstm', 'posterior', 'prior']
    """
    random, data = generator(model, seed), arrays(model, data)
    return norms_of(model, rows_of(data, slice(None)), *count_and_time(data), random)


def weights_of(model):
    return {name: float(ops.convert_to_numpy(weight)) for name, weight in model.current_weights().items()}


def norms_of(model, data, count, time, random):
    """`gradient_norms` of what `rows_of` gave, `count` sequences; noise and dropout by a seed generator."""
    count *= model.num_samples
    check_numbers(count * time * max(1, model.noise_dim), num_samples=model.num_samples)
    noise, seed = noise_of(model, count, time, random), random.next(ordered=False)
    squares = {}
    for weight, gradient in zip(model.trainable_variables, gradients(model, data, noise, seed), strict=True):
        name = part_of(model, weight)
        gradient = ops.convert_to_numpy(gradient).astype("float64")
        squares[name] = squares.get(name, 0.0) + np.sum(np.square(gradient))
    return {name: float(np.sqrt(square)) for name, square in squares.items()}


def part_of(model, weight):
    """The layer of the model that a weight is in; `"posterior"` wherever that network is."""
    parts = weight.path.removeprefix(f"{model.name}/").split("/")
    return "posterior" if "posterior" in parts[:-1] else parts[0]


@compiled
def gradients(model, data, noise, seed):
    """Gradient of the training objective of a batch, for each trainable weight; `seed` is that of dropout.

    Nothing of the model changes: neither its seed generator nor its count of updates.
    """
    trained, seeded = model.trainable_variables, [(model.seed_generator.state, seed)]

    def objective():
        terms = model._sums(model(data, training=True, noise=noise))
        return ops.mean(model.objective(terms, model.current_weights(), True))

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        with keras.StatelessScope(state_mapping=seeded), tf.GradientTape() as tape:
            loss = objective()
        of = tape.gradient(loss, [variable.value for variable in trained], unconnected_gradients="zero")
        return [tf.convert_to_tensor(gradient) for gradient in of]  # those of embeddings are sparse
    import jax

    current = [(variable, variable.value) for variable in model.variables]

    def loss(values):
        mapping = [*current, *zip(trained, values, strict=True), *seeded]
        with keras.StatelessScope(state_mapping=mapping):
            return objective()

    return jax.grad(loss)([variable.value for variable in trained])
