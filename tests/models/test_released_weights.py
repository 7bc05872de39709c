"""Parity with the authors' released model, on the arrays in tests/reference."""

import pathlib
import sys

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
    context = model.context(None, model.embed(model.sequences(data).targets), None, False)
    states = ops.convert_to_numpy(context).swapaxes(0, 1)
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


@pytest.fixture
def released(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with np.load(REFERENCE / "gaussian_aux_z.npz") as file:
        return {name[2:]: file[name] for name in file if name.startswith("w.")}


def assert_same_weights(model, arrays):
    for weight, expected in zip(
        model.get_weights(), from_released_weights(arrays, "gaussian").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, expected)


def test_files(released):
    safetensors = pytest.importorskip("safetensors.numpy")
    np.savez("a.npz", **released)
    safetensors.save_file({name: np.ascontiguousarray(x) for name, x in released.items()}, "a.safetensors")
    for path in ("a.npz", pathlib.Path("a.safetensors")):
        assert_same_weights(from_released_weights(path, "gaussian"), released)
    rounded = {name: x.astype("float16") for name, x in released.items()}
    safetensors.save_file({f"module.{name}": x for name, x in rounded.items()}, "b.safetensors")
    expected = {name: x.astype("float32") for name, x in rounded.items()}
    assert_same_weights(from_released_weights("b.safetensors", "gaussian"), expected)
    assert_same_weights(
        from_released_weights({f"model.module.{n}": x for n, x in released.items()}, "gaussian"), released
    )


def test_bfloat16(released):
    safetensors = pytest.importorskip("safetensors.numpy")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rounded = {name: x.astype(ml_dtypes.bfloat16) for name, x in released.items()}
    safetensors.save_file(rounded, "a.safetensors")
    expected = {name: x.astype("float32") for name, x in rounded.items()}
    assert_same_weights(from_released_weights("a.safetensors", "gaussian"), expected)


def test_files_that_are_refused(released, tmp_path, monkeypatch):
    np.savez("whole.npz", **released)
    data = pathlib.Path("whole.npz").read_bytes()
    for name in ("cut.npz", "cut.safetensors"):
        pathlib.Path(name).write_bytes(data[:-100])
        with pytest.raises(ValueError, match=rf"{name} can't be read as"):
            from_released_weights(name, "gaussian")
    np.savez("pickle.npz", **{**released, "emb_mod.0.weight": np.array([print], object)})
    with pytest.raises(ValueError, match=r"pickle\.npz can't be read as \.npz: .*allow_pickle=False"):
        from_released_weights("pickle.npz", "gaussian")
    np.savez("infinite.npz", **{**released, "gen_mod.bias": released["gen_mod.bias"] * np.inf})
    with pytest.raises(ValueError, match=r"gen_mod\.bias holds numbers that are not finite"):
        from_released_weights("infinite.npz", "gaussian")
    np.savez("complex.npz", **{**released, "gen_mod.bias": released["gen_mod.bias"] + 1j})
    with pytest.raises(ValueError, match=r"gen_mod\.bias is not .* dtype=complex"):
        from_released_weights("complex.npz", "gaussian")
    with pytest.raises(ValueError, match=r"gen_mod\.weight.*another number of axes"):
        from_released_weights({**released, "gen_mod.weight": np.zeros(3)}, "gaussian")
    with pytest.raises(ValueError, match=r"must be the path of an \.npz or a \.safetensors"):
        from_released_weights("checkpoint.pt", "gaussian")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        from_released_weights("nothing.npz", "gaussian")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "zf_keras\[presets\]"'):
        from_released_weights("cut.safetensors", "gaussian")
