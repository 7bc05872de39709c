"""Models that must agree where one is a limit of the other."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import FEATURES, make, sequences
from tests.support import normal, padded_batch, path, set_random_weights
from zf_keras import RNN, VRNN, ZForcing
from zf_keras.layers import lstm
from zf_keras.loops import recurrence


def assign(model, values):
    """Sets the weights named in `values` (path -> array)."""
    weights = {path(weight): weight for weight in model.trainable_weights}
    for name, value in values.items():
        weights[name].assign(value)


def values(model, prefix=""):
    return {path(w): ops.convert_to_numpy(w) for w in model.trainable_weights if path(w).startswith(prefix)}


@pytest.mark.parametrize("num_layers", [1, 2])
def test_z_forcing_whose_latents_reach_nothing_is_the_rnn(num_layers):
    kwargs = {"num_layers": num_layers, "output_network": "mlp"}
    rnn, model = make("rnn", **kwargs), make("z_forcing_elbo", **kwargs)
    source = values(rnn)
    cell = {name: source[f"lstm/layer_0/lstm_cell/{name}"] for name in ("kernel", "recurrent_kernel", "bias")}
    kernel = np.concatenate([cell.pop("kernel"), np.zeros((model.latent_dim, 4 * model.units))])
    assign(model, {"cell/kernel": kernel, **{f"cell/{name}": value for name, value in cell.items()}})
    assign(model, {name: value for name, value in source.items() if name.startswith("head/")})
    above = {k.replace("lstm/layer_1", "upper/layer_0"): v for k, v in source.items() if "layer_1" in k}
    assert len(above) == 3 * (num_layers - 1)
    assign(model, above)
    data = padded_batch()
    np.testing.assert_allclose(model.loss_terms(data)["nll"], rnn.loss_terms(data)["nll"], rtol=1e-5)
    if num_layers == 1:
        x = sequences(count=2)
        np.testing.assert_allclose(model.generate(2, 8, x, seed=0)[:, :5], x)
        a, b = (ops.convert_to_numpy(m(x).output) for m in (model, rnn))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_vrnn_with_a_prior_network_of_zeros_is_vrnn_i():
    fixed, learned = (VRNN(5, 2, "gaussian", prior=prior, seed=0) for prior in ("standard_normal", "learned"))
    for model in (fixed, learned):
        model.build((None, None, FEATURES))
    set_random_weights(fixed)
    assert set(values(learned)) - set(values(fixed)) == set(values(learned, "prior/"))
    assign(learned, values(fixed) | {name: np.zeros(v.shape) for name, v in values(learned, "prior/").items()})
    data, noise = padded_batch(), normal(3, 5, 2, seed=1)
    expected = fixed.loss_terms(data, noise=noise)
    for name, term in learned.loss_terms(data, noise=noise).items():
        np.testing.assert_allclose(term, expected[name], rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(learned.generate(2, 5, seed=0), fixed.generate(2, 5, seed=0))
    assert sum(v.size for v in values(learned, "prior/").values()) == learned.count_params() - fixed.count_params()


@pytest.mark.parametrize("name", ["rnn", "storn", "vrnn", "srnn", "z_forcing", "variational_bilstm"])
def test_a_mixture_of_one_is_the_gaussian(name):
    gaussian, mixture = make(name), make(name, "gaussian_mixture", num_components=1)
    for weight, value in values(gaussian).items():
        if "head/" in weight and "/linear/" in weight:  # the mixture has a logit first, whatever it is
            own = values(mixture, weight)[weight]
            value = np.concatenate([own[..., :1], value], axis=-1)
        assign(mixture, {weight: value})
    data, noise = padded_batch(), normal(3, 5, gaussian.noise_dim, seed=1)
    expected = gaussian.loss_terms(data, noise=noise)
    for term, value in mixture.loss_terms(data, noise=noise).items():
        np.testing.assert_allclose(value, expected[term], rtol=1e-5, err_msg=term)
    assert gaussian.count_params() < mixture.count_params()


def test_srnn_residual_of_zero_is_the_prior_s_mean():
    model = make("srnn")
    kernel, bias = (ops.convert_to_numpy(w) for w in (model.posterior.linear.kernel, model.posterior.linear.bias))
    kernel[:, :2], bias[:2] = 0, 0
    model.posterior.linear.kernel.assign(kernel)
    model.posterior.linear.bias.assign(bias)
    steps = model(sequences())
    np.testing.assert_array_equal(steps.posterior.mean, steps.prior.mean)
    assert np.abs(ops.convert_to_numpy(steps.prior.mean)).max() > 0.1


def test_every_example_and_layer_of_a_stack_is_keras_s_own():
    model = make("rnn", num_layers=3)
    assert all(isinstance(layer, keras.layers.LSTM) for layer in model.lstm.layers) and len(model.lstm.layers) == 3
    x = sequences()
    h = model.embed(model.sequences(x).inputs)
    for layer in model.lstm.layers:
        h, *_ = layer(h)
    np.testing.assert_allclose(model(x).output, model.head(h), rtol=1e-5, atol=1e-6)
    assert RNN(4, "gaussian", num_layers=2).num_layers == 2 and ZForcing(4, 2, "gaussian").num_layers == 1


def test_what_loops_by_hand_and_what_does_not(monkeypatch):
    """STORN and RNN leave every loop to the LSTM layer, Keras's here; SRNN loops over z alone."""
    states = []

    def scan(step, state, inputs):
        states.append(state)
        return real(step, state, inputs)

    real = recurrence.scan
    monkeypatch.setattr(recurrence, "scan", scan)
    monkeypatch.setattr(lstm.LSTM, "inner_loop", keras.layers.LSTM.inner_loop)
    for name in ("rnn", "storn", "srnn", "srnn_filtering"):
        make(name)(sequences())
    assert [array.shape for state in states for array in keras.tree.flatten(state)] == [(6, 2), (6, 2)]
