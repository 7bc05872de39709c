"""Frames with missing features: those are marginalised, whatever is there."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.support import gradients, normal
from zf_keras import GaussianMixtureHead, LogisticMixtureHead
from zf_keras.heads import IndependentHead
from zf_keras.heads.registry import OUTPUTS, get_head

F, N = 3, 8
VECTORS = [name for name in OUTPUTS if not OUTPUTS[name].tokens]
OBSERVED = np.random.default_rng(3).uniform(size=(N, F)) < 0.6


def case(name):
    """A head, parameters and frames drawn from them."""
    head = get_head(name).with_features(F)
    params = normal(N, head.params_dim)
    return head, params, ops.convert_to_numpy(head.sample(params, 0))


@pytest.mark.parametrize("name", VECTORS)
def test_all_observed_is_the_same_to_the_bit(name):
    head, params, values = case(name)
    expected = head.log_prob(params, values)
    np.testing.assert_array_equal(head.log_prob(params, values, np.ones_like(OBSERVED)), expected)
    head.check_observed()


@pytest.mark.parametrize("name", VECTORS)
def test_a_single_feature_is_scored_by_itself(name):
    """Of a mixture too, whose features share their component."""
    head, params, values = case(name)
    by_feature = ops.convert_to_numpy(head.log_prob_by_feature(params, values))
    for i in range(F):
        observed = np.broadcast_to(np.arange(F) == i, OBSERVED.shape)
        np.testing.assert_allclose(head.log_prob(params, values, observed), by_feature[:, i], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(head.log_prob(params, values, np.zeros_like(OBSERVED)), np.zeros(N), atol=1e-6)


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("missing", [0.0, -3.0, 3e38])
def test_what_is_missing_reaches_neither_value_nor_gradient(name, missing):
    head, params, values = case(name)

    def scored(values):
        params_, values_ = keras.Variable(params), keras.Variable(values)

        def loss():
            return ops.sum(head.log_prob(params_, ops.convert_to_tensor(values_), OBSERVED))

        return ops.convert_to_numpy(head.log_prob(params, values, OBSERVED)), *gradients(loss, [params_, values_])

    log_prob, of_params, of_values = scored(np.where(OBSERVED, values, np.float32(missing)))
    expected, expected_of_params, _ = scored(values)
    np.testing.assert_array_equal(log_prob, expected)
    np.testing.assert_array_equal(of_params, expected_of_params)
    assert np.isfinite(of_params).all() and not of_values[~OBSERVED].any()
    if isinstance(head, IndependentHead):
        by_feature = ops.convert_to_numpy(head.log_prob_by_feature(params, values))
        np.testing.assert_allclose(log_prob, np.where(OBSERVED, by_feature, 0).sum(-1), rtol=1e-5, atol=1e-5)


def test_a_mixture_is_marginalised_by_hand():
    """The mixture of what the components are without a feature."""
    head, params, values = GaussianMixtureHead(F, 4), normal(N, 4 + 8 * F), normal(N, F, seed=1)
    logits, rest = params[:, :4], params[:, 4:].reshape(N, 2, 4, F)
    kept = np.concatenate([logits, rest[..., :2].reshape(N, -1)], -1)
    observed = np.broadcast_to([True, True, False], (N, F))
    expected = GaussianMixtureHead(2, 4).log_prob(kept, values[:, :2])
    np.testing.assert_allclose(head.log_prob(params, values, observed), expected, rtol=1e-5)


def test_a_mixture_of_steps_is_marginalised_by_summing():
    head, params = LogisticMixtureHead(2, 3), normal(1, 3 + 12, seed=4)
    frames = np.stack([np.full(256, 130.0), np.arange(256.0)], -1)
    joint = ops.convert_to_numpy(head.log_prob(np.tile(params, (256, 1)), frames))
    marginal = head.log_prob(params, frames[:1], np.array([[True, False]]))
    np.testing.assert_allclose(marginal, [np.logaddexp.reduce(joint.astype("float64"))], rtol=1e-4)


def test_a_missing_token():
    head, params = get_head("categorical", num_classes=5), normal(4, 5)
    values, observed = np.arange(4), np.array([True, False, True, True])
    expected = np.where(observed, head.log_prob(params, values), 0)
    np.testing.assert_array_equal(head.log_prob(params, values, observed), expected)
