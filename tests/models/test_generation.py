"""Generation: closed forms for weights set by hand, prompts, seeds, temperature."""

import numpy as np
import pytest

from tests.models.table import FEATURES, MODELS, OUTPUTS, make, sequences
from zf_keras import RNN, ZForcing

K = 1e-3  # small enough that the LSTM is linear


def linear_cell(kernel, recurrent_kernel, bias):
    """An LSTM cell of one unit with h_t = K * (its inputs), by open input and output gates and a shut forget gate."""
    bias.assign([20.0, -20.0, 0.0, 20.0])
    recurrent_kernel.assign(np.zeros((1, 4)))

    def set_inputs(*factors):
        values = np.zeros(kernel.shape)
        values[:, 2] = K * np.array(factors)
        kernel.assign(values)

    return set_inputs


def ar1_with_latent(rho, a, m, s, sigma):
    """z_t ~ N(m, s^2), y_t ~ N(rho y_{t-1} + a z_t, sigma^2)."""
    model = ZForcing(units=1, latent_dim=1, output="gaussian", seed=0)
    model.build((None, None, 1))
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    linear_cell(model.cell.kernel, model.cell.recurrent_kernel, model.cell.bias)(rho, a)
    model.prior.linear.bias.assign([m, 2 * np.log(s)])
    model.head.network.linear.kernel.assign([[1 / K, 0.0]])
    model.head.network.linear.bias.assign([0.0, 2 * np.log(sigma)])
    return model


def test_z_forcing_follows_the_model():
    rho, a, m, s, sigma = 0.8, 1.5, 0.4, 0.7, 0.5
    model, n, length = ar1_with_latent(rho, a, m, s, sigma), 40_000, 6
    y = model.generate(n, length, seed=1)[..., 0].astype("float64")
    mean = variance = 0.0
    for t in range(length):
        mean = rho * mean + a * m
        previous, variance = variance, rho**2 * variance + a**2 * s**2 + sigma**2
        error = np.sqrt(variance / n)
        np.testing.assert_allclose(y[:, t].mean(), mean, atol=5 * error)
        np.testing.assert_allclose(y[:, t].var(), variance, rtol=5 * np.sqrt(2 / n))
        if t:
            covariance = np.cov(y[:, t - 1], y[:, t])[0, 1]
            np.testing.assert_allclose(covariance, rho * previous, atol=10 * error * np.sqrt(previous))


def test_forecast_continues_the_prompt():
    rho, a, m, s, sigma = 0.8, 1.5, 0.4, 0.7, 0.5
    model = ar1_with_latent(rho, a, m, s, sigma)
    prompt = np.array([[[9.0], [3.0]], [[0.0], [-7.0]]], "float32")
    paths = model.forecast(prompt, horizon=2, num_samples=20_000, seed=2)
    assert paths.shape == (20_000, 2, 2, 1)
    one = rho * prompt[:, -1] + a * m
    np.testing.assert_allclose(paths.mean(0)[:, 0], one, atol=0.05)
    np.testing.assert_allclose(paths.mean(0)[:, 1], rho * one + a * m, atol=0.06)


def test_the_state_after_a_prompt_is_that_of_the_posterior():
    """With a posterior that always says z = 2, and a recurrence that adds up its latents."""
    model = ar1_with_latent(0.0, 1.0, 0.0, 1e-3, 1e-3)
    model.cell.bias.assign([20.0, 20.0, 0.0, 20.0])  # the forget gate open: c_t = c_{t-1} + K z_t
    model.cell.posterior.clip = model.cell.clip = None
    model.cell.posterior.linear.bias.assign([2.0, -20.0])
    y = model.generate(4, 6, prompt=np.zeros((1, 3, 1), "float32"), seed=0)
    np.testing.assert_allclose(y[:, 3:], 6.0, atol=0.2)


def test_rnn_follows_the_model():
    rho, sigma, n = -0.6, 0.5, 40_000
    model = RNN(units=1, output="gaussian", output_network="linear", seed=0)
    model.build((None, None, 1))
    cell = model.lstm.cell
    linear_cell(cell.kernel, cell.recurrent_kernel, cell.bias)(rho)
    model.head.network.linear.kernel.assign([[1 / K, 0.0]])
    model.head.network.linear.bias.assign([0.0, 2 * np.log(sigma)])
    y = model.generate(n, 4, seed=1)[..., 0].astype("float64")
    variance = sigma**2 * (1 - rho ** (2 * np.arange(1, 5))) / (1 - rho**2)
    np.testing.assert_allclose(y.var(0), variance, rtol=5 * np.sqrt(2 / n))
    np.testing.assert_allclose(np.cov(y[:, 2], y[:, 3])[0, 1], rho * variance[2], atol=0.02)


def test_temperature():
    model = ar1_with_latent(0.0, 0.0, 0.0, 1.0, 0.5)
    for temperature in (1.0, 0.2):
        y = model.generate(20_000, 1, temperature=temperature, seed=0)
        np.testing.assert_allclose(y.std(), 0.5 * temperature, rtol=0.03)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", MODELS)
def test_seed_prompt_and_length(name, output):
    if output != "gaussian" and name not in ("rnn", "z_forcing", "z_forcing_released"):
        pytest.skip("one output is enough for the options")
    model, prompt = make(name, output), sequences(output, 2, time=3)
    frame = () if output == "categorical" else (FEATURES,)
    a, b, other = (model.generate(2, 5, seed=seed) for seed in (1, 1, 2))
    assert a.shape == (2, 5, *frame)
    np.testing.assert_array_equal(a, b)
    assert (a != other).any()
    assert (model.generate(2, 5) != model.generate(2, 5)).any()
    model.check_data(a)  # what is generated is data
    given = model.generate(2, 5, prompt=prompt, seed=1)
    assert given.shape == (2, 5, *frame) and given.dtype == a.dtype
    np.testing.assert_array_equal(given[:, :3], prompt)
    assert model.generate(3, 5, prompt=prompt[:1]).shape == (3, 5, *frame)
    np.testing.assert_array_equal(model.forecast(prompt, 2, 1, seed=1)[0], given[:, 3:])


def test_errors():
    with pytest.raises(ValueError, match="not built"):
        ZForcing(4, 2, "gaussian").generate()
    model, x = make("z_forcing"), sequences(count=2)
    for arguments, name in (
        ({"batch_size": 0}, "batch_size"),
        ({"length": 0}, "length"),
        ({"temperature": 0.0}, "temperature"),
        ({"length": 5, "batch_size": 2, "prompt": x}, "prompt"),
        ({"length": 9, "batch_size": 3, "prompt": x}, "prompt"),
        ({"length": 9, "batch_size": 2, "prompt": x[..., :2]}, "prompt"),
        ({"length": 9, "batch_size": 2, "prompt": x * np.nan}, "prompt"),
        ({"length": 9, "batch_size": 2, "prompt": {"targets": x}}, "prompt"),
    ):
        with pytest.raises(ValueError, match=name):
            model.generate(**arguments)
    for arguments, name in (((x, 0, 1), "horizon"), ((x, 1, 0), "num_samples"), ((x[0], 1, 1), "`prompt`: .*3 axes")):
        with pytest.raises(ValueError, match=name):
            model.forecast(*arguments)
    apart = ZForcing(4, 2, "gaussian", beta=0)
    apart.build({"inputs": (None, None, 5), "targets": (None, None, 2)})
    with pytest.raises(ValueError, match="5 and targets of 2"):
        apart.generate()
