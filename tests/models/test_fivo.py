"""FIVO as what is minimised: its value, its gradient, and that it trains."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import make, sequences
from tests.support import gradients, padded_batch, path
from zf_keras import STORN, VRNN, KLAnnealing, ZForcing

#: A model of each kind of step, without further terms.
NO_TERMS = {"z_forcing": {"alpha": 0, "beta": 0}, "variational_bilstm": {"alpha": 0, "beta": 0, "skip_gradient": 0}}
MODELS = ("storn", "vrnn", "srnn", "z_forcing", "variational_bilstm")


def new(name, num_samples=4, **kwargs):
    return make(name, num_samples=num_samples, bound="fivo", **NO_TERMS.get(name, {}), **kwargs)


def objective(model, data, seed=0):
    model.seed_generator.state.assign([seed, 0])
    steps = model(data, training=True)
    terms = {name: ops.sum(term, axis=1) for name, term in steps.terms.items()}
    return model.objective(terms, model.current_weights(), training=True)


@pytest.mark.parametrize("name", MODELS)
def test_the_objective_is_minus_fivo(name):
    """In distribution: the draws are others."""
    model, data = new(name), padded_batch()
    many = {key: np.repeat(value, 500, axis=0) for key, value in data.items()}
    values = ops.convert_to_numpy(objective(model, many)).reshape(3, 500)
    bounds = model.log_likelihood(many, 4, seed=1, bound="fivo", batch_size=6000, verbose=0).reshape(3, 500)
    error = np.hypot(values.std(axis=1), bounds.std(axis=1)) / 500**0.5
    assert (np.abs(values.mean(axis=1) + bounds.mean(axis=1)) < 5 * error).all()


@pytest.mark.parametrize("name", MODELS)
def test_its_gradient_is_that_of_finite_differences(name):
    """With the same seed the same particles are drawn anew, and nothing is differentiated through that."""
    model, data = new(name), padded_batch()

    def loss():
        return ops.mean(objective(model, data))

    weights = model.trainable_weights
    slopes = gradients(loss, weights)
    rng = np.random.default_rng(0)
    direction = [rng.normal(size=w.shape).astype("float32") for w in weights]
    before, values, size = [ops.convert_to_numpy(w) for w in weights], [], 2e-4
    for sign in (1, -1):
        for weight, value, d in zip(weights, before, direction, strict=True):
            weight.assign(value + sign * size * d)
        values.append(float(loss()))
    expected = (values[0] - values[1]) / (2 * size)
    actual = sum((slope * d).sum() for slope, d in zip(slopes, direction, strict=True))
    np.testing.assert_allclose(actual, expected, rtol=0.02, atol=0.02)
    assert all(np.abs(slope).max() > 0 for w, slope in zip(weights, slopes, strict=True) if "prior" in path(w))


def test_fit():
    x = (
        np.sin(np.arange(20) / 2)[None, :, None]
        + np.zeros((32, 1, 1))
        + np.random.default_rng(0).normal(size=(32, 20, 1)) / 10
    )
    model = VRNN(8, 2, "gaussian", num_samples=4, bound="fivo", kl_weight=KLAnnealing(0.5, 0.1), seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    logs = model.fit(
        x.astype("float32"), epochs=4, batch_size=8, validation_data=x.astype("float32"), verbose=0
    ).history
    assert set(logs) >= {"loss", "elbo", "nll", "kl", "kl_weight", "val_elbo"}
    assert logs["loss"][-1] < logs["loss"][0] - 3 and int(model.updates) == 16
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert restored.bound == "fivo"


def test_the_weight_of_the_kl():
    """With w = 0 the particles are weighed by log p(y_t | ...) alone."""
    model, data = new("storn", kl_weight=0.0), sequences(count=200)
    weighed = ops.convert_to_numpy(objective(model, data)).mean()
    assert weighed < ops.convert_to_numpy(objective(new("storn"), data)).mean()


def test_a_mean_over_draws():
    model, data = make("vrnn", num_samples=3, bound="elbo"), padded_batch()
    model.seed_generator.state.assign([0, 0])
    steps = model(data, training=True)
    terms = {name: ops.convert_to_numpy(ops.sum(term, axis=1)) for name, term in steps.terms.items()}
    assert len(terms["nll"]) == 9 and "sampled_kl" not in terms
    value = model.objective(terms, model.current_weights(), training=True)
    np.testing.assert_allclose(value, terms["nll"] + terms["kl"], rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="num_samples > 1"):
        STORN(3, 2, "gaussian", bound="fivo")
    with pytest.raises(ValueError, match="`free_nats`"):
        STORN(3, 2, "gaussian", bound="fivo", num_samples=2, free_nats=0.1)
    with pytest.raises(ValueError, match="between layers"):
        STORN(3, 2, "gaussian", bound="fivo", num_samples=2, dropout=0.1, num_layers=2)
    with pytest.raises(ValueError, match="'aux_nll'"):
        ZForcing(3, 2, "gaussian", bound="fivo", num_samples=2).build((None, None, 1))
    with pytest.raises(ValueError, match="'iwae', 'elbo', 'fivo'"):
        STORN(3, 2, "gaussian", bound="best")
