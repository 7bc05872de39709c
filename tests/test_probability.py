"""Gaussians against TFP, which is imported only where a distribution is asked for."""

import pathlib

import numpy as np
import pytest

from tests.support import normal
from zf_keras import RNN, probability
from zf_keras.heads.registry import OUTPUTS, get_head
from zf_keras.probability import Gaussian, standard_normal

F = 3


def test_gaussian_kl_and_log_prob_against_tfp():
    q, p = (Gaussian(normal(7, F, seed=s), normal(7, F, seed=s + 10)) for s in (0, 1))
    x = normal(7, F, seed=5)
    from zf_keras.probability import tfd

    np.testing.assert_allclose(q.kl(p), tfd.kl_divergence(q.distribution(), p.distribution()), rtol=1e-5)
    np.testing.assert_allclose(q.log_prob(x), q.distribution().log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(q.kl(q), np.zeros(7), atol=1e-6)
    np.testing.assert_allclose(q.kl(standard_normal(q.mean)), q.kl(Gaussian(np.zeros((7, F)), np.zeros((7, F)))))


@pytest.mark.parametrize("output", OUTPUTS)
def test_nothing_but_distribution_needs_tfp(output, monkeypatch):
    def no_tfp():
        raise AssertionError("TFP was asked for")

    monkeypatch.setattr(probability, "tfp", no_tfp)
    head = get_head(output, num_classes=5 if OUTPUTS[output].tokens else None)
    model = RNN(3, head, seed=0)
    x = np.zeros((2, 4), "int32") if head.tokens else np.full((2, 4, F), 0.5 if output == "beta" else 1.0, "float32")
    model.build(x.shape)
    head, params = model.head, model(x).output
    assert np.isfinite(model.loss_terms(x)["nll"]).all()
    for temperature in (1.0, 0.5) if head.tempers else (1.0,):
        assert head.mode(head.at_temperature(params, temperature)).shape == head.sample(params, 0, temperature).shape
    with pytest.raises(AssertionError):
        head.distribution(params)


def test_one_door_to_tfp():
    root = pathlib.Path(probability.__file__).parent
    naming = [path for path in root.rglob("*.py") if "tensorflow_probability" in path.read_text()]
    assert naming == [root / "_private.py"]
