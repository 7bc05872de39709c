"""Models and heads as version 0.1 wrote them: the heads were in zf_keras.layers.heads, void arguments were kept."""

import keras
import numpy as np
import pytest

from zf_keras import RNN, STORN, GaussianMixtureHead

HEAD = {
    "module": "zf_keras.layers.heads",
    "class_name": "GaussianMixtureHead",
    "config": {"name": "gaussian_mixture_head", "features": None, "hidden_units": None, "num_components": 2},
    "registered_name": "zf_keras>GaussianMixtureHead",
}
VOID = {"hidden_units": 6, "num_components": 20, "num_classes": 7, "output_network": "mlp"}


@pytest.mark.parametrize("cls", [RNN, STORN])
def test_void_arguments(cls):
    size = {} if cls is RNN else {"latent_dim": 2}
    model = cls.from_config({"units": 4, "output": HEAD, **VOID, **size})
    assert type(model.output) is GaussianMixtureHead
    assert (model.output.num_components, model.output_network, model.num_classes) == (2, None, None)
    assert model.hidden_units == (4 if cls is RNN else 6)
    model = cls.from_config({"units": 4, "output": "bernoulli", **VOID, **size})
    assert (model.hidden_units, model.output_network, model.num_components, model.num_classes) == (6, "mlp", None, None)
    model = cls.from_config({"units": 4, "output": "gaussian_mixture", **VOID, **size})
    assert model.num_components == 20
    with pytest.raises(ValueError, match="gausian"):
        cls.from_config({"units": 4, "output": "gausian", **VOID, **size})


@pytest.mark.parametrize("cls", [RNN, STORN])
@pytest.mark.parametrize("output", ["gaussian_mixture", GaussianMixtureHead(num_components=2)], ids=["name", "head"])
def test_saved_and_loaded(cls, output, tmp_path):
    model = cls(units=4, output=output, **({} if cls is RNN else {"latent_dim": 2, "hidden_units": 3}))
    model.build((None, None, 2))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    x = np.zeros((1, 3, 2), "float32")
    np.testing.assert_allclose(again.log_likelihood(x, seed=0), model.log_likelihood(x, seed=0), rtol=1e-6)
