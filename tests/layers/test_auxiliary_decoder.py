import keras
import numpy as np
import pytest
from keras import ops

from tests.support import normal, set_random_weights
from zf_keras import AuxiliaryDecoder


@pytest.mark.parametrize("cost", ["gaussian", "l2"])
def test_cost_written_out(cost):
    decoder = AuxiliaryDecoder(units=4, hidden_units=5, cost=cost, clip=0.7)
    decoder.build((None, None, 2))
    set_random_weights(decoder, 1.0)
    params = decoder(normal(3, 6, 2))
    p, b = ops.convert_to_numpy(params), np.tanh(normal(3, 6, 4, seed=1))
    clipped = np.clip(p, -0.7, 0.7)
    assert (np.abs(p) > 0.7).any() and (np.abs(p) < 0.7).any()
    mean = np.tanh(clipped[..., :4])
    if cost == "l2":
        expected, variance = ((b - mean) ** 2).sum(-1), np.full_like(mean, 0.5)
        constant = 4 * 0.5 * np.log(np.pi)
    else:
        variance, constant = np.exp(clipped[..., 4:]), 0.0
        expected = 0.5 * (np.log(2 * np.pi * variance) + (b - mean) ** 2 / variance).sum(-1)
    np.testing.assert_allclose(decoder.nll(params, b), expected, rtol=1e-5, atol=1e-6)
    distribution = decoder.distribution(params)
    np.testing.assert_allclose(-distribution.log_prob(b), expected + constant, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(distribution.variance(), variance, rtol=1e-5)


def test_stands_alone_and_survives_saving(tmp_path):
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, AuxiliaryDecoder(4, 5, "l2", clip=None)(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    x = normal(3, 6, 2)
    np.testing.assert_array_equal(restored.predict(x, verbose=0), model.predict(x, verbose=0))
    assert restored.layers[-1].get_config() == model.layers[-1].get_config()
    with pytest.raises(ValueError, match="'huber'"):
        AuxiliaryDecoder(4, 5, "huber")
