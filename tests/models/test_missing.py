"""Missing values: scored by what is there, read as the model's own mean and a flag."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import FEATURES, FEW_HERE, MODELS, make, sequences
from tests.models.test_generation import linear_gaussian
from tests.support import gradients, named_gradients, normal, path, total_loss
from zf_keras import RNN, SRNN, DistributionHead
from zf_keras.inference.prompts import Prompts, checked_prompt
from zf_keras.seeds import SeedGenerator

KNOWN = {"a": 1.5, "m": 0.4, "s": 0.7, "kappa": 0.6, "sigma": 0.5}


def with_gaps(count=4, share=0.4, seed=3):
    y = sequences(count=count)
    y[np.random.default_rng(seed).random(y.shape) < share] = np.nan
    return y


def noise_of(model, data):
    return normal(*data.shape[:2], model.noise_dim, seed=5)


@pytest.mark.parametrize("name", FEW_HERE)
def test_what_stands_in_a_gap_reaches_nothing(name):
    """NaN, or any number where `observed` is false: the same terms and gradients, and finite."""
    model, y = make(name, missing="skip", **({"skip_gradient": 0} if name == "variational_bilstm" else {})), with_gaps()
    noise, observed = noise_of(model, y), ~np.isnan(y)
    forms = [y, *({"targets": np.where(observed, y, wild), "observed": observed} for wild in (0.5, 1e3))]
    terms = [model.loss_terms(data, noise) for data in forms]
    found = [named_gradients(lambda data=data: total_loss(model, data, noise), model) for data in forms[:2]]
    for key, term in terms[0].items():
        assert np.isfinite(term).all()
        for other in terms[1:]:
            np.testing.assert_allclose(other[key], term, rtol=1e-6)
    for key, gradient in found[0].items():
        assert np.isfinite(gradient).all(), key
        np.testing.assert_allclose(found[1][key], gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FEW_HERE)
def test_with_everything_observed_nothing_changes(name):
    """To the bit, however it is said; and the flags of a whole frame add nothing."""
    model, y = make(name, missing="skip"), sequences(count=4)
    noise = noise_of(model, y)
    plain, said = (model.loss_terms(x, noise) for x in (y, {"targets": y, "observed": np.ones(y.shape, bool)}))
    for key, term in plain.items():
        np.testing.assert_array_equal(term, said[key])
    without = make(name)
    for weight, own in zip(without.trainable_weights, model.trainable_weights, strict=True):
        kernel = ops.convert_to_numpy(own)
        if kernel.shape != tuple(weight.shape):
            before = FEATURES + model.units * (name == "srnn" and "encoder" in path(own))  # [d_t, y_t, flags]
            kernel = np.delete(kernel, np.arange(before, before + FEATURES), axis=0)
        weight.assign(kernel)
    for key, term in without.loss_terms(y, noise).items():
        np.testing.assert_allclose(plain[key], term, rtol=1e-5, atol=1e-5)


def test_marginalised_in_closed_form():
    """A linear state-space model, whose likelihood of what is there the Kalman filter knows."""
    model = linear_gaussian(SRNN, 0.0, missing="skip", **KNOWN)
    y = model.generate(3, 8, seed=2)
    y[0, 2:4], y[1, 0], y[2, [1, 7]] = np.nan, np.nan, np.nan
    scores = model.step_scores(y, 20_000, seed=0, batch_size=60_000, proposal="prior", verbose=0)
    for row, found in zip(y[..., 0], scores, strict=True):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(row))
        np.testing.assert_allclose(found, kalman(row.astype("float64"), **KNOWN), atol=0.1)


def kalman(y, a, m, s, kappa, sigma):
    """log p(y_t | y_<t) of z_t ~ N(m + kappa z_{t-1}, s^2), y_t ~ N(a z_t, sigma^2); NaN in gaps."""
    mean, variance, scores = 0.0, 0.0, []
    for frame in y:
        mean, variance = m + kappa * mean, kappa**2 * variance + s**2
        total = a**2 * variance + sigma**2
        scores.append(-0.5 * (np.log(2 * np.pi * total) + (frame - a * mean) ** 2 / total))
        if not np.isnan(frame):
            gain = a * variance / total
            mean, variance = mean + gain * (frame - a * mean), variance * (1 - gain * a)
    return np.array(scores)


@pytest.mark.parametrize("output", ["gaussian", "gaussian_mixture"])
def test_a_feature_is_integrated_out(output):
    """By quadrature over what is missing of the last frame, of any weights."""
    model, y = make("rnn", output, missing="skip"), sequences(count=2)
    grid = np.linspace(-25, 25, 4001, dtype="float32")
    filled = np.repeat(y[:1], len(grid), axis=0)
    filled[:, -1, 1] = grid
    whole = model.log_likelihood(filled, verbose=0).astype("float64")
    y[0, -1, 1] = np.nan
    expected = np.log(np.trapezoid(np.exp(whole), grid))
    np.testing.assert_allclose(model.log_likelihood(y, verbose=0)[0], expected, rtol=1e-4)


@pytest.mark.parametrize("name", FEW_HERE)
def test_a_gap_is_read_as_the_mean_of_the_model(name):
    """Step by step in Python: no noise, the frame before or the mean of its step, and a flag."""
    model, y = make(name, missing="skip"), with_gaps(2)
    batch, observed = model.sequences(y), ~np.isnan(y)
    state, frame, seen = model.initial_state(2), np.zeros((2, FEATURES), "float32"), np.ones((2, FEATURES), bool)
    for t in range(y.shape[1]):
        np.testing.assert_allclose(batch.inputs[:, t], frame, rtol=1e-4, atol=1e-5)
        read = model.read(batch)[0][:, t]
        np.testing.assert_allclose(read, np.concatenate([frame, ~seen], axis=1), rtol=1e-4, atol=1e-5)
        noise = ops.zeros((2, model.noise_dim))
        steps, state = model.step(model.step_weights(), state, ops.convert_to_tensor(read), noise)
        mean = ops.convert_to_numpy(model.head.mean(steps.output))
        seen = observed[:, t]
        frame = np.where(seen, y[:, t], mean)


def test_padding_misses_nothing():
    """So that batches of whole sequences are not filled, which takes a loop."""
    y = sequences(count=2)
    y[1, 3:] = np.nan
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    assert ops.convert_to_numpy(make("rnn", missing="skip").sequences({"targets": y, "mask": mask}).observed).all()


def test_what_is_missing_is_not_scored():
    """As target, and as input of the step after it by the backward output."""
    model, y = make("z_forcing", missing="skip"), sequences(count=2)
    y[:, 2] = np.nan
    terms = model(y, noise=ops.convert_to_tensor(noise_of(model, y))).terms
    for name, step in (("nll", 2), ("backward_nll", 3)):
        scored = np.arange(5) != step
        np.testing.assert_array_equal(ops.convert_to_numpy(terms[name]) != 0, np.broadcast_to(scored, (2, 5)))


def test_no_gradient_flows_through_what_fills_a_gap():
    model, y = make("vrnn", missing="skip"), with_gaps(2)
    read = gradients(lambda: ops.sum(model.sequences(y).inputs), model.trainable_weights)
    assert not any(gradient.any() for gradient in read)


@pytest.mark.parametrize("name", ["rnn", "z_forcing"])
def test_forecasts_go_on_from_gaps(name):
    """A prompt that ends in a gap, of any length, is as that prompt alone."""
    model, y = make(name, missing="skip"), with_gaps(3)
    y[0, -1] = np.nan
    lengths = np.array([5, 3, 4])
    mask = np.arange(5) < lengths[:, None]
    together = model.forecast(y, 3, 200, seed=0, mask=mask).mean
    assert np.isfinite(together).all()
    for row, length in enumerate(lengths):
        alone = model.forecast(y[row : row + 1, :length], 3, 200, seed=1).mean
        np.testing.assert_allclose(together[row], alone[0], atol=0.5)
    if name == "rnn":
        cold = model.forecast(y, 3, 1, seed=0, temperature=1e-6, mask=mask).samples
        for row, length in enumerate(lengths):
            alone = model.forecast(y[row : row + 1, :length], 3, 1, seed=0, temperature=1e-6).samples
            np.testing.assert_allclose(cold[:, row], alone[:, 0], atol=1e-4)


@pytest.mark.parametrize("name", FEW_HERE)
def test_a_forecast_reads_the_gap_that_it_begins_after(name):
    """As the mean that stands there; without latents, the first step, cold, is that of a gap there."""
    model, y = make(name, missing="skip"), with_gaps(2)
    y[:, 3:] = np.nan
    filled = ops.convert_to_numpy(model.filled(model.sequences(y)))
    data = checked_prompt(model, y[:, :4], None)
    start = Prompts(model, data, 2).starts(np.arange(2), SeedGenerator(0))
    np.testing.assert_allclose(start.frame, filled[:, 3], rtol=1e-4, atol=1e-6)
    assert not np.any(start.observed)
    if not model.noise_dim:
        cold = model.forecast(y[:, :4], 1, 1, seed=0, temperature=1e-6).samples[0, :, 0]
        np.testing.assert_allclose(cold, filled[:, 4], rtol=1e-3, atol=1e-4)


def test_impute():
    model, y = make("z_forcing", missing="skip"), with_gaps(3)
    draws = model.impute(y, 50, seed=0)
    assert draws.shape == (50, *y.shape) and np.isfinite(draws).all()
    there = ~np.isnan(y)
    np.testing.assert_array_equal(draws[:, there], np.broadcast_to(y[there], (50, there.sum())))
    assert (draws[:, ~there].std(axis=0) > 0).all()
    np.testing.assert_array_equal(draws, model.impute(y, 50, seed=0, batch_size=128))
    with pytest.raises(ValueError, match="`impute` needs a model that was made with missing='skip'"):
        make("rnn").impute(sequences(), 2)


def test_imputed_features_depend_on_those_beside_them():
    """Of a mixture: the components that explain what is there of the frame."""
    model = make("rnn", "gaussian_mixture", missing="skip", random=False)
    head = model.head.network.linear
    head.kernel.assign(np.zeros(head.kernel.shape))
    means = np.repeat([[-5.0], [0.0], [5.0]], FEATURES, axis=1)
    head.bias.assign(np.concatenate([np.zeros(3), means.ravel(), np.full(9, -4.0)]))
    y = np.array([[[5.0, np.nan, np.nan], [np.nan, -5.0, np.nan]]], "float32")
    draws = model.impute(y, 200, seed=0)
    np.testing.assert_allclose(draws.mean(axis=0)[0], [[5, 5, 5], [-5, -5, -5]], atol=0.1)


@pytest.mark.parametrize("name", ["rnn", "vrnn"])
def test_training(name, tmp_path):
    model = make(name, missing="skip", random=False)
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    y = with_gaps(16) + 3
    loss = model.fit(y, epochs=20, verbose=0).history["loss"]
    assert np.isfinite(loss).all() and loss[-1] < 0.8 * loss[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.missing == "skip"
    np.testing.assert_array_equal(*(m.step_scores(y, 8, seed=0, verbose=0) for m in (model, again)))


def test_two_draws_a_sequence():
    model, y = make("z_forcing", missing="skip", num_samples=2), with_gaps()
    assert np.isfinite(model.log_likelihood(y, 3, seed=0, verbose=0)).all()
    model.compile(optimizer="adam")
    assert np.isfinite(model.fit(y, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    "arguments", [{"segment_length": 2}, {"bound": "fivo", "num_samples": 4, "alpha": 0, "beta": 0}]
)
def test_other_ways_to_train(arguments):
    """Whatever stands in the gaps; in segments as in one."""
    y = with_gaps()
    observed, found = ~np.isnan(y), []
    forms = [(y, arguments), ({"targets": np.where(observed, y, 1e3), "observed": observed}, arguments)]
    for data, given in [*forms, (y, {**arguments, "segment_length": None})]:
        model = make("z_forcing", missing="skip", scaling="mean_abs", **given)
        model.compile(optimizer=keras.optimizers.SGD(0.0))
        found.append(model.train_on_batch(data, return_dict=True))
    assert np.isfinite(list(found[0].values())).all()
    for others in found[1:]:
        for name, value in others.items():
            np.testing.assert_allclose(found[0][name], value, rtol=1e-4)


@pytest.mark.parametrize("name", ["rnn", "vrnn"])
def test_targets_with_gaps_beside_inputs_of_their_own(name):
    """Of other features than the targets: they are all there, whatever is missing of these."""
    cls, arguments = MODELS[name]
    model, y = cls(output="gaussian", missing="skip", seed=0, **arguments), with_gaps()
    inputs = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
    model.build({"targets": (None, None, FEATURES), "inputs": (None, None, 2)})
    read, _ = model.read(model.sequences({"inputs": inputs, "targets": y}))
    np.testing.assert_array_equal(read, np.concatenate([inputs, np.zeros(y.shape)], axis=-1))
    model.compile(optimizer="adam")
    assert np.isfinite(model.fit({"inputs": inputs, "targets": y}, verbose=0).history["loss"]).all()
    scores = model.step_scores({"inputs": inputs, "targets": y}, 4, seed=0, verbose=0)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(y).all(axis=-1))
    counts = model.step_scores({"inputs": inputs, "targets": np.ones(y.shape, int)}, 4, seed=0, verbose=0)
    assert np.isfinite(counts).all()


def test_errors():
    y = with_gaps()
    with pytest.raises(ValueError, match="would not tell its scale"):
        make("rnn", scaling="mean_abs").step_scores(y, verbose=0)
    with pytest.raises(ValueError, match="make the model with missing='skip'"):
        make("rnn").log_likelihood(y, verbose=0)
    with pytest.raises(ValueError, match="`observed` is for models with missing='skip'"):
        make("rnn").log_likelihood({"targets": sequences(), "observed": np.ones((6, 5, 3))}, verbose=0)
    model = make("rnn", missing="skip")
    for data, match in (
        ({"targets": y, "observed": np.ones((4, 5))}, "in the shape of `targets`"),
        ({"targets": y, "observed": np.full(y.shape, 2)}, "`observed` must hold 0 and 1"),
        ({"inputs": y, "targets": y}, "`inputs` holds nan.*Leave `inputs` out"),
        ({"inputs": sequences(), "observed": np.ones((6, 5, 3))}, "`observed` is of `targets`"),
        ({"targets": np.full((2, 5, 3), np.inf)}, "`targets` holds inf"),
    ):
        with pytest.raises(ValueError, match=match):
            model.log_likelihood(data, verbose=0)
    with pytest.raises(ValueError, match="`missing` must be one of 'skip'"):
        make("rnn", missing="mean")
    with pytest.raises(ValueError, match="`missing` is for frames"):
        make("rnn", "categorical", missing="skip")
    with pytest.raises(ValueError, match="`missing` is not for models with `num_streams`"):
        make("rnn", missing="skip", num_streams=2)

    class OwnHead(DistributionHead):
        params_dim = 1

        def log_prob(self, params, values):
            return values[..., 0]

    with pytest.raises(NotImplementedError, match="OwnHead must define `log_prob"):
        RNN(units=2, output=OwnHead(), missing="skip")
