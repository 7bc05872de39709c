"""Parity with the authors' released model, on the arrays in tests/reference."""

import pathlib

import numpy as np
import pytest
from keras import ops

from tests.support import named_gradients, total_loss
from zf_keras.models.z_forcing import from_released_weights
from zf_keras.models.z_forcing.released_weights import keras_weights

REFERENCE = pathlib.Path(__file__).parent.parent / "reference"
CASES = [(output, auxiliary) for output in ("gaussian", "categorical") for auxiliary in ("z", "zh")]


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    output, auxiliary = request.param
    with np.load(REFERENCE / f"{output}_aux_{auxiliary}.npz") as file:
        arrays = dict(file)
    weights = {name[2:]: a for name, a in arrays.items() if name.startswith("w.")}
    scales = {name: float(arrays[name]) for name in ("alpha", "beta", "kl_weight")}
    model = from_released_weights(weights, output, auxiliary, **scales)
    inputs, targets, noise = (arrays[name].swapaxes(0, 1) for name in ("x", "y", "eps"))
    return model, {"inputs": inputs, "targets": targets}, noise, arrays, (output, auxiliary)


def test_terms(case):
    model, data, noise, arrays, _ = case
    terms = model.loss_terms(data, noise=noise)
    for name, released in (
        ("nll", "forward_nll"),
        ("backward_nll", "backward_nll"),
        ("aux_nll", "aux_nll"),
        ("kl", "kl"),
    ):
        np.testing.assert_allclose(ops.convert_to_numpy(terms[name]), arrays[released], rtol=1e-5)
    np.testing.assert_allclose(float(total_loss(model, data, noise)), arrays["loss"], rtol=1e-5)


def test_backward_states_and_latent_densities(case):
    model, data, noise, arrays, _ = case
    steps = model(data, noise=noise)
    states = ops.convert_to_numpy(steps.extra["backward_states"]).swapaxes(0, 1)
    np.testing.assert_allclose(states, arrays["backward_states"], rtol=1e-4, atol=1e-6)
    for gaussian, released in ((steps.prior, "log_pz"), (steps.posterior, "log_qz")):
        log_prob = ops.convert_to_numpy(ops.sum(gaussian.log_prob(steps.latent), axis=1))
        np.testing.assert_allclose(log_prob, arrays[released], rtol=1e-4, atol=1e-5)


def test_gradient_of_every_weight(case):
    model, data, noise, arrays, (output, auxiliary) = case
    released = {name[2:]: a for name, a in arrays.items() if name.startswith("g.")}
    if auxiliary == "z":
        assert not released["aux_mod.0.weight"][:, : model.units].any()
    for name in ("bwd_mod.bias_hh_l0", "fwd_mod.bias_hh"):  # ours is the sum of two biases, with one gradient
        np.testing.assert_array_equal(released[name], released[name.replace("hh", "ih")])
        released[name] = np.zeros_like(released[name])
    expected = keras_weights(released, output, auxiliary)
    actual = named_gradients(lambda: total_loss(model, data, noise), model)
    assert actual.keys() == expected.keys()
    for name, gradient in actual.items():
        scale = np.abs(expected[name]).max()
        assert scale > 0
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-3, atol=1e-5 * scale, err_msg=name)


def test_sizes_are_read_off_the_arrays():
    rng = np.random.default_rng(0)
    units, latent, hidden, projected, embedding, features = 7, 2, 5, 3, 4, 6

    def linear(name, inputs, outputs):
        return {
            f"{name}.weight": rng.normal(size=(outputs, inputs)),
            f"{name}.bias": rng.normal(size=outputs),
        }

    arrays = {
        **linear("emb_mod.0", features, embedding),
        **linear("gen_mod", latent, projected),
        **linear("fwd_out_mod", units, 2 * features),
        **linear("bwd_out_mod", units, 2 * features),
    }
    for name, inputs, outputs in (
        ("pri_mod", units, 2 * latent),
        ("inf_mod", 2 * units, 2 * latent),
        ("aux_mod", units + latent, 2 * units),
    ):
        arrays.update(linear(f"{name}.0", inputs, hidden))
        arrays.update(linear(f"{name}.2", hidden, outputs))
    for name, suffix, inputs in (("bwd_mod", "_l0", embedding), ("fwd_mod", "", embedding + projected)):
        for kind, rows in (("ih", inputs), ("hh", units)):
            kernel = rng.normal(size=(4 * units, rows))
            arrays[f"{name}.weight_{kind}{suffix}"] = kernel if suffix else kernel.T
            arrays[f"{name}.bias_{kind}{suffix}"] = rng.normal(size=4 * units)
    model = from_released_weights(arrays, "gaussian", "zh")
    sizes = (model.units, model.latent_dim, model.hidden_units, model.latent_units, model.embedding_dim)
    assert sizes == (units, latent, hidden, projected, embedding)
    assert model.generate(2, 3).shape == (2, 3, features)
    with pytest.raises(ValueError, match="pri_mod"):
        from_released_weights({k: v for k, v in arrays.items() if "pri_mod.0" not in k}, "gaussian")
    arrays["pri_mod.0.weight"] = arrays["pri_mod.0.weight"][:, 1:]
    with pytest.raises(ValueError, match="prior/hidden/kernel"):
        from_released_weights(arrays, "gaussian", "zh")
    with pytest.raises(ValueError, match="output"):
        from_released_weights(arrays, "bernoulli")
