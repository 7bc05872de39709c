"""Padding: what a padded batch gives, the sequences give without padding."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import CASES_HERE, EVERY_OUTPUT, FEATURES, NO_CHANCE, make
from tests.support import gradients, named_gradients, normal, padded_batch, total_loss

LENGTHS = (5, 2, 2)
#: The rows of each length: a batch without padding, and a program to compile.
BY_LENGTH = {5: [0], 2: [1, 2]}


@pytest.mark.parametrize(("name", "output"), CASES_HERE)
def test_padded_equals_unpadded(name, output):
    model, data = make(name, output), padded_batch(output, LENGTHS)
    noise = normal(3, 5, model.noise_dim, seed=1)
    terms = {n: ops.convert_to_numpy(t) for n, t in model.loss_terms(data, noise=noise).items()}
    for length, rows in BY_LENGTH.items():
        alone = model.loss_terms(data["targets"][rows, :length], noise=noise[rows, :length])
        for term, values in terms.items():
            np.testing.assert_allclose(values[rows], alone[term], rtol=1e-5, err_msg=term)


@pytest.mark.parametrize("name", EVERY_OUTPUT)
def test_gradients_of_padded_equal_those_of_unpadded(name):
    model, data = make(name, **NO_CHANCE.get(name, {})), padded_batch(lengths=LENGTHS)
    noise = normal(3, 5, model.noise_dim, seed=1)
    padded = named_gradients(lambda: total_loss(model, data, noise), model)

    def loss():
        losses = [
            len(rows) * total_loss(model, data["targets"][rows, :length], noise[rows, :length])
            for length, rows in BY_LENGTH.items()
        ]
        return sum(losses) / len(LENGTHS)

    for path, gradient in named_gradients(loss, model).items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(padded[path], gradient, rtol=1e-4, atol=1e-5 * scale, err_msg=path)


@pytest.mark.parametrize("name", [*EVERY_OUTPUT, "z_forcing_options"])
def test_masked_steps_get_no_gradient(name):
    model, mask = make(name), np.arange(5) < np.array(LENGTHS)[:, None]
    frames = keras.Variable(normal(3, 5, FEATURES))
    noise = keras.Variable(normal(3, 5, model.noise_dim, seed=1))
    variables = [frames, noise] if model.noise_dim else [frames]

    def loss():
        # Not of `loss_terms`, which checks what is no tracer as a NumPy array, through which no gradient flows.
        steps = model({"targets": frames + 0.0, "mask": ops.convert_to_tensor(mask)}, noise=noise + 0.0)
        return sum(weight * ops.sum(steps.terms[name]) for name, weight in model.current_weights().items())

    for gradient in gradients(loss, variables):
        assert not gradient[~mask].any()
        assert np.abs(gradient[mask]).max(-1).all()


def test_inputs_apart_from_targets():
    """Without inputs they are the targets a step later; without targets the first frame is given."""
    model, s = make("z_forcing"), normal(2, 6, FEATURES)
    noise = normal(2, 5, 2, seed=1)
    given = model.loss_terms({"inputs": s}, noise=noise)
    apart = model.loss_terms({"inputs": s[:, :-1], "targets": s[:, 1:]}, noise=noise)
    shifted = model.loss_terms(s[:, 1:], noise=noise)
    zeros = np.concatenate([np.zeros_like(s[:, :1]), s[:, 1:-1]], axis=1)
    zero_start = model.loss_terms({"inputs": zeros, "targets": s[:, 1:]}, noise=noise)
    for name in given:
        np.testing.assert_array_equal(given[name], apart[name])
        np.testing.assert_array_equal(shifted[name], zero_start[name])
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    masked = model.loss_terms({"inputs": s, "mask": mask}, noise=noise)
    alone = model.loss_terms({"inputs": s[1:, :3]}, noise=noise[1:, :2])
    np.testing.assert_allclose(masked["nll"][1], alone["nll"][0], rtol=1e-5)


def test_start_token():
    model = make("z_forcing", "categorical", start_token=4)
    s, noise = np.array([[1, 2, 3]]), normal(1, 3, 2)
    expected = model.loss_terms({"inputs": np.array([[4, 1, 2]]), "targets": s}, noise=noise)
    for name, value in model.loss_terms(s, noise=noise).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
@pytest.mark.parametrize("name", ["rnn", "rnn_options"])
def test_tokens_of_any_integer_type(name, dtype):
    model, tokens = make(name, "categorical"), np.array([[1, 2, 3]])
    np.testing.assert_array_equal(model.log_likelihood(tokens.astype(dtype)), model.log_likelihood(tokens))
