"""`at_scale`: the distribution of shift + scale * y."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from tests.support import normal
from zf_keras import NegativeBinomialHead, PoissonHead, ZeroInflatedHead
from zf_keras.heads.registry import OUTPUTS, get_head

F, N = 3, 6
SCALED = {name: get_head(name, num_classes=5 if cls.tokens else None).scales for name, cls in OUTPUTS.items()}
AFFINE, POSITIVE, OTHERS = ([name for name in SCALED if SCALED[name] == kind] for kind in ("affine", "positive", None))
COUNTS = [name for name, cls in OUTPUTS.items() if "poisson" in name or "binomial" in name]
#: For each feature; and for each frame and feature.
SCALES = (np.array([0.01, 3.0, 2e4], "float32"), np.exp(normal(N, F, seed=3)), 7.0)


def case(name):
    head = get_head(name).with_features(F)
    params = normal(N, head.params_dim)
    return head, params, *head.noise((N,), seed=0)


def test_which_scale():
    assert {"gaussian", "gaussian_mixture", "student_t"} <= set(AFFINE)
    assert {"log_normal", "zero_inflated_log_normal", *COUNTS} <= set(POSITIVE)
    assert ZeroInflatedHead("bernoulli").scales is None and ZeroInflatedHead("gaussian").scales == "positive"


@pytest.mark.parametrize("scale", SCALES, ids=["feature", "frame", "number"])
@pytest.mark.parametrize("name", [*AFFINE, *(name for name in POSITIVE if name not in COUNTS)])
def test_scaled(name, scale):
    """The same noise gives shift + scale * y, and its log p has the Jacobian."""
    head, params, normals, uniform = case(name)
    shift = 5.0 * scale if name in AFFINE else 0.0
    scaled = head.at_scale(params, shift, scale)
    y = ops.convert_to_numpy(head.draw(params, normals, uniform))
    moved = shift + scale * y
    np.testing.assert_allclose(head.draw(scaled, normals, uniform), moved, rtol=1e-5)
    np.testing.assert_allclose(head.mean(scaled), shift + scale * ops.convert_to_numpy(head.mean(params)), rtol=1e-5)
    volume = np.where(y == 0, 0, np.log(scale)).sum(-1)  # 0 has a probability, or none
    expected = ops.convert_to_numpy(head.log_prob(params, y)) - volume
    np.testing.assert_allclose(head.log_prob(scaled, moved), expected, rtol=1e-4, atol=1e-4)


def test_units_of_a_student_t_may_be_small_or_large():
    head, params, *_ = case("student_t")
    for scale in (1e-8, 1e8):
        np.testing.assert_allclose(
            head.log_prob(head.at_scale(params, 0.0, scale), np.zeros((N, F))),
            ops.convert_to_numpy(head.log_prob(params, np.zeros((N, F)))) - F * np.log(scale),
            rtol=1e-4,
        )


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_counts_of_a_scaled_mean(name):
    """Of the same dispersion, against SciPy."""
    head = (PoissonHead if name == "poisson" else NegativeBinomialHead)(1)
    params, scale = np.array([[1.5], [-0.5]]) if name == "poisson" else np.array([[1.5, 0.3], [-0.5, -2.0]]), 40.0
    mean = scale * np.exp(15 * np.tanh(params[:, :1] / 15))
    if name == "poisson":
        law = stats.poisson(mean)
    else:
        size = np.exp(-10 * np.tanh(params[:, 1:] / 10))
        law = stats.nbinom(size, size / (size + mean))
    scaled, counts = head.at_scale(params, 0, scale), np.array([[150.0], [3.0]])
    np.testing.assert_allclose(head.log_prob_by_feature(scaled, counts), law.logpmf(counts), rtol=1e-4)
    np.testing.assert_allclose(head.mean(scaled), mean, rtol=1e-5)


@pytest.mark.parametrize("name", POSITIVE)
def test_positive_numbers_are_not_shifted(name):
    head, params, *_ = case(name)
    with pytest.raises(ValueError, match=r"`shift` must be 0 .*Received: shift=1\.5"):
        head.at_scale(params, 1.5, 2.0)
    # A tensor's value may not be known yet.
    scaled = head.at_scale(params, ops.convert_to_tensor([0.0, 1.5, 0.0]), 2.0)
    np.testing.assert_array_equal(np.isnan(head.mean(scaled)), np.broadcast_to([False, True, False], (N, F)))


@pytest.mark.parametrize("name", OTHERS)
def test_the_others_refuse(name):
    head = get_head(name, num_classes=5 if OUTPUTS[name].tokens else None)
    with pytest.raises(ValueError, match=f"A {type(head).__name__} has no scale"):
        head.at_scale(np.zeros((2, 5)), 0.0, 2.0)
