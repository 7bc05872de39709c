"""Scaling in the model: everything in the user's units, the density with its Jacobian."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import FEATURES, FEW_HERE, MODELS, make, sequences
from tests.support import normal, set_random_weights
from zf_keras import RNN, VRNN, Scaling

SHIFT, SCALE = np.array([100.0, -3.0, 0.0], "float32"), np.array([20.0, 0.01, 1.0], "float32")


def scaled(name, output="gaussian", **kwargs):
    model = make(name, output, scaling="standard", **kwargs)
    model.scaling.shift.assign(SHIFT)
    model.scaling.scale.assign(SCALE)
    model.scaling.count.assign(1)
    return model


@pytest.mark.parametrize(("name", "output"), [*((n, "gaussian") for n in FEW_HERE), ("rnn", "gaussian_mixture")])
def test_scaled_is_unscaled_with_the_jacobian(name, output):
    """y = shift + scale * x: log p(y) = log p(x) - log scale at each step; draws are shift + scale * those of x."""
    plain, model, x = make(name, output), scaled(name, output), sequences(count=4)
    y, log_scale, noise = SHIFT + SCALE * x, np.log(SCALE).sum(), normal(4, 5, plain.noise_dim)
    terms, expected = model.loss_terms(y, noise), plain.loss_terms(x, noise)
    for key, term in expected.items():
        shifted = 5 * log_scale if key in ("nll", "backward_nll") else 0.0
        np.testing.assert_allclose(terms[key], ops.convert_to_numpy(term) + shifted, rtol=1e-3, atol=1e-3)
    for found, wanted in (
        (model.generate(2, 6, seed=0), plain.generate(2, 6, seed=0)),
        (model.forecast(y, 3, 4, seed=0).samples, plain.forecast(x, 3, 4, seed=0).samples),
    ):
        np.testing.assert_allclose((found - SHIFT) / SCALE, wanted, rtol=1e-3, atol=1e-2)
    scores = [m.step_scores(data, 4, seed=0, verbose=0) for m, data in ((model, y), (plain, x))]
    np.testing.assert_allclose(scores[0] + log_scale, scores[1], rtol=1e-3, atol=1e-2)
    if model.noise_dim:
        paths = [m.interpolate(data[:1], data[1:2], 3, seed=0) for m, data in ((model, y), (plain, x))]
        np.testing.assert_allclose((paths[0] - SHIFT) / SCALE, paths[1], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", [name for name in ("rnn", "vrnn", "z_forcing") if name in FEW_HERE])
def test_by_sequence(name, tmp_path):
    """A scale of each sequence: ten times the values have ten times the draws, but for what reads log scale."""
    model = make(name, scaling="mean_abs")
    kernel = model.lstm.layers[0].cell.kernel if name == "rnn" else None
    x = sequences(count=3)
    scale = np.abs(x).mean(axis=1, keepdims=True)
    batch = model.sequences(x)
    np.testing.assert_allclose(batch.scale, np.broadcast_to(scale, x.shape), rtol=1e-5)
    np.testing.assert_allclose(batch.known, np.broadcast_to(np.log(scale), x.shape), rtol=1e-5, atol=1e-6)
    read = ops.convert_to_numpy(model.read(batch)[1])
    np.testing.assert_allclose(read[..., :FEATURES], x / scale, rtol=1e-5)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    padded = model.sequences({"targets": np.where(mask[..., None], x, 1e3), "mask": mask}).scale
    np.testing.assert_allclose(padded[0, 0], np.abs(x[0, :3]).mean(axis=0), rtol=1e-5)
    if kernel is not None:  # that reads no log scale
        weights = ops.convert_to_numpy(kernel)
        kernel.assign(np.concatenate([weights[:FEATURES], 0 * weights[FEATURES:]]))
        paths, tenfold = (model.forecast(c * x, 4, 5, seed=0).samples for c in (1, 10))
        np.testing.assert_allclose(tenfold, 10 * paths, rtol=1e-3, atol=1e-3)
        ratio = model.log_likelihood(10 * x, verbose=0) - model.log_likelihood(x, verbose=0)
        np.testing.assert_allclose(ratio, -x[0].size * np.log(10), rtol=1e-4)
    # A prompt tells the scale, whatever its length.
    ragged = model.forecast(x, 2, 1, seed=0, temperature=1e-6, mask=mask).samples
    if name == "rnn":
        alone = model.forecast(x[:1, :3], 2, 1, seed=0, temperature=1e-6).samples
        np.testing.assert_allclose(ragged[:, :1], alone, atol=1e-3)
    with pytest.raises(ValueError, match="needs a `prompt`"):
        model.generate(2, 4)
    if model.noise_dim:
        assert np.isfinite(model.interpolate(x[:1], 100 * x[1:2], 3, seed=0)).all()
    model.compile(optimizer="adam")
    model.fit(1e6 * np.abs(x), verbose=0)  # without a warning of large numbers
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(*(m.forecast(x, 2, 3, seed=0).samples for m in (model, again)))


def test_the_first_steps_give_the_scale():
    model = make("rnn", scaling=Scaling("mean_abs", steps=2))
    x = sequences(count=3)
    np.testing.assert_allclose(model.sequences(x).scale[:, 0], np.abs(x[:, :2]).mean(axis=1), rtol=1e-5)
    assert RNN.from_config(model.get_config()).scaling.steps == 2


def test_missing_values_have_no_scale():
    model = make("rnn", scaling="mean_abs", missing="skip")
    x = np.array([[[1.0, 2.0, 0.0], [np.nan, 4.0, 0.0], [3.0, np.nan, np.nan]], [[np.nan] * 3] * 3], "float32")
    np.testing.assert_allclose(model.sequences(x).scale[:, 0], [[2, 3, 1], [1, 1, 1]])
    assert np.isfinite(model.log_likelihood(x, verbose=0)).all()
    assert np.isfinite(model.impute(x, 2, seed=0)).all()
    # Gaps are read as they are by a model without scale, in its own units.
    plain, of_standard, gaps = make("vrnn", missing="skip"), scaled("vrnn", missing="skip"), sequences(count=2)
    gaps[0, 2], gaps[1, 0, 1] = np.nan, np.nan
    read, expected = (m.sequences(data).inputs for m, data in ((of_standard, SHIFT + SCALE * gaps), (plain, gaps)))
    np.testing.assert_allclose((ops.convert_to_numpy(read) - SHIFT) / SCALE, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("output", ["poisson", "negative_binomial", "log_normal"])
def test_counts_and_positive_numbers_have_their_mean_multiplied(output):
    cls, arguments = MODELS["vrnn"]
    models = [cls(output=output, scaling=scaling, seed=0, **arguments) for scaling in (None, "mean_abs")]
    x = np.full((2, 5, 1), 3.0)
    x[1] = 3000.0
    for model in models:
        model.build((None, None, 1))
        set_random_weights(model, 0.1)
    forecasts = models[1].forecast(x, 2, 400, seed=0).mean[..., 0]
    assert (forecasts[0] > 1).all() and (forecasts[0] < 20).all()
    assert (forecasts[1] > 1000).all() and (forecasts[1] < 20_000).all()
    if output != "log_normal":
        np.testing.assert_array_equal(forecasts * 400, np.round(forecasts * 400))
    standard = cls(output=output, scaling="standard", seed=0, **arguments)
    standard.adapt(x)
    np.testing.assert_allclose(standard.scaling.scale, [1501.5])
    np.testing.assert_allclose(standard.scaling.shift, [0.0])


def test_adapt():
    """Mean and standard deviation of what is valid and observed, over batches."""
    rng = np.random.default_rng(0)
    batches = [{"targets": rng.normal([5, -1], [3, 0.1], size=(4, 6, 2)), "mask": np.ones((4, 6))} for _ in range(3)]
    batches[0]["mask"][1, 3:] = 0
    batches[0]["targets"][1, 3:] = 1e4
    batches[1]["targets"][2, 2, 0] = np.nan
    values = np.concatenate([np.where(b["mask"][..., None] > 0, b["targets"], np.nan).reshape(-1, 2) for b in batches])
    model = VRNN(units=4, latent_dim=2, output="gaussian", scaling="standard", missing="skip")
    model.build((None, None, 2))
    model.compile(optimizer="adam")
    with pytest.raises(ValueError, match=r"call `model\.adapt"):
        model.fit(batches[2]["targets"], verbose=0)
    model.adapt(batch for batch in batches)
    np.testing.assert_allclose(model.scaling.shift, np.nanmean(values, axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.scaling.scale, np.nanstd(values, axis=0), rtol=1e-5)
    assert np.isfinite(model.fit(batches[2]["targets"], verbose=0).history["loss"]).all()


def test_what_is_read_is_scaled_for_every_output():
    """16 bits, whose output has a grid of its own."""
    model = RNN(units=4, output="logistic_mixture", scaling="standard", seed=0)
    x = np.random.default_rng(0).integers(0, 256, size=(4, 6, 1))
    model.adapt(x)
    read, _ = model.read(model.sequences(x))
    assert np.abs(ops.convert_to_numpy(read)[:, 1:]).max() < 3
    assert (ops.convert_to_numpy(read)[:, 0] == 0).all()
    assert np.isfinite(model.log_likelihood(x, verbose=0)).all()


def test_errors():
    with pytest.raises(ValueError, match="`scaling` must be None, 'standard', 'mean_abs' or a Scaling"):
        RNN(units=4, output="gaussian", scaling="minmax")
    with pytest.raises(ValueError, match="`scaling` by sequence needs an output whose values have a scale"):
        RNN(units=4, output="bernoulli", scaling="mean_abs")
    with pytest.raises(ValueError, match="`scaling` is for frames"):
        RNN(units=4, output="categorical", num_classes=5, scaling="standard")
    with pytest.raises(ValueError, match="`steps` is for kind='mean_abs'"):
        Scaling("standard", steps=3)
    with pytest.raises(ValueError, match="`adapt` is for models with scaling='standard'"):
        make("rnn", scaling="mean_abs").adapt(sequences())
    with pytest.raises(ValueError, match="same features with `scaling`"):
        RNN(units=4, output="gaussian", scaling="mean_abs").build(
            {"targets": (None, None, 1), "inputs": (None, None, 2)}
        )
