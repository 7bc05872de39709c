"""Loss and gradients with given weights and noise, to compare backends: python -m tests.backend_values FILE."""

import sys

import numpy as np

from tests.models.table import CASES, NO_CHANCE, make
from tests.support import gradients, normal, padded_batch, path, total_loss

#: Options whose parts the others have, left out for the time that they take; as are outputs, which are layers of all.
SAME_PARTS = ("rnn_options", "storn_options", "vrnn_i", "srnn_options", "z_forcing_released", "z_forcing_elbo")


def values():
    """Dict of NumPy arrays."""
    result = {}
    for name, output in CASES:
        if (output != "gaussian" and name != "rnn") or name in SAME_PARTS:
            continue
        model, data = make(name, output, **NO_CHANCE.get(name, {})), padded_batch(output)
        noise = normal(3, 5, model.noise_dim, seed=1)
        for term, value in model.loss_terms(data, noise=noise).items():
            result[f"{name} {output} {term}"] = np.asarray(value)
        weights = model.trainable_weights
        grads = gradients(lambda m=model, d=data, n=noise: total_loss(m, d, n), weights)
        for weight, gradient in zip(weights, grads, strict=True):
            result[f"{name} {output} d {path(weight)}"] = gradient
    return result


if __name__ == "__main__":
    np.savez(sys.argv[1], **values())
