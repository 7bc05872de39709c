"""A mixed frame: each block of columns is what its own head makes of it."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.heads.test_arguments import Checking
from tests.support import gradients, normal
from zf_keras import (
    RNN,
    BernoulliHead,
    CategoricalHead,
    GaussianMixtureHead,
    LogNormalHead,
    MixedHead,
    TruncatedGaussianHead,
    ZeroInflatedHead,
)

N, F = 6, 6
#: A head, and its columns: one with a component for all of them, one without normal numbers, one of bounds.
BLOCKS = [
    ("gaussian", slice(0, 1)),
    (GaussianMixtureHead(num_components=3), slice(1, 3)),
    (ZeroInflatedHead("log_normal"), slice(3, 4)),
    ("bernoulli", slice(4, 5)),
    (TruncatedGaussianHead(low=-1, high=1), slice(5, 6)),
]
HEAD = MixedHead([(head, columns.stop - columns.start) for head, columns in BLOCKS])
PARAMS, NOISE = normal(N, HEAD.params_dim), HEAD.noise((N,), 0)
FRAMES = ops.convert_to_numpy(HEAD.draw(PARAMS, *NOISE))


def parts(x, of):
    """What each block has of an axis."""
    return np.split(ops.convert_to_numpy(x), np.cumsum([getattr(head, of) for head in HEAD.blocks])[:-1], -1)


def of_blocks(method, *arguments):
    """What the heads give by themselves. arguments: a list for each, of the blocks."""
    parts = zip(HEAD.blocks, *arguments, strict=True)
    return [ops.convert_to_numpy(getattr(head, method)(*given)) for head, *given in parts]


@pytest.mark.filterwarnings("ignore:shape requires ndarray:DeprecationWarning")  # of TFP, on JAX
def test_blocks_by_themselves():
    params, frames = parts(PARAMS, "params_dim"), parts(FRAMES, "features")
    assert (HEAD.features, HEAD.params_dim, HEAD.normal_dim, HEAD.uniform_dim) == (6, 23, 4, 4)
    noise = parts(NOISE[0], "normal_dim"), parts(NOISE[1], "uniform_dim")
    for temperature in (1.0, 0.7):
        expected = np.concatenate(of_blocks("draw", params, *noise, [temperature] * 5), -1)
        np.testing.assert_allclose(HEAD.draw(PARAMS, *NOISE, temperature), expected, rtol=1e-5)
    for method in ("mode", "mean"):
        np.testing.assert_array_equal(getattr(HEAD, method)(PARAMS), np.concatenate(of_blocks(method, params), -1))
    expected = np.concatenate(of_blocks("log_prob_by_feature", params, frames), -1)
    np.testing.assert_array_equal(HEAD.log_prob_by_feature(PARAMS, FRAMES), expected)
    expected = sum(of_blocks("log_prob", params, frames))
    np.testing.assert_allclose(HEAD.log_prob(PARAMS, FRAMES), expected, rtol=1e-6)
    np.testing.assert_allclose(HEAD.distribution(PARAMS).log_prob(FRAMES), expected, rtol=1e-4)


def test_missing_values():
    everywhere = np.ones(FRAMES.shape, bool)
    expected = HEAD.log_prob(PARAMS, FRAMES)
    np.testing.assert_array_equal(HEAD.log_prob(PARAMS, FRAMES, everywhere), expected)
    observed = np.random.default_rng(1).uniform(size=FRAMES.shape) < 0.5
    arguments = parts(PARAMS, "params_dim"), parts(FRAMES, "features"), parts(observed, "features")
    frames = np.where(observed, FRAMES, np.float32(1e30))
    log_prob = HEAD.log_prob(PARAMS, frames, observed)
    np.testing.assert_allclose(log_prob, sum(of_blocks("log_prob", *arguments)), rtol=1e-5)
    params = keras.Variable(PARAMS)
    (gradient,) = gradients(lambda: ops.sum(HEAD.log_prob(params, frames, observed)), [params])
    assert np.isfinite(gradient).all()
    HEAD.check_observed()
    with pytest.raises(NotImplementedError, match="Checking must define"):
        MixedHead([("gaussian", 1), (Checking(), 2)]).check_observed()


def test_scale():
    """Block by block; the weakest says what there is."""
    assert HEAD.scales is None
    with pytest.raises(ValueError, match="A BernoulliHead has no scale"):
        HEAD.at_scale(PARAMS, 0.0, 2.0)
    assert MixedHead([("gaussian", 1), ("student_t", 2)]).scales == "affine"
    head = MixedHead([("gaussian", 2), ("log_normal", 1), ("gaussian_mixture", 1)])
    params, noise = normal(N, head.params_dim), head.noise((N,), 0)
    frames = ops.convert_to_numpy(head.draw(params, *noise))
    assert head.scales == "positive"
    shift = np.array([1, -2, 0, 3], "float32")  # not of the positive column
    for scale in (3.0, np.array([0.1, 3, 5, 2], "float32"), np.exp(normal(N, 4)), np.exp(normal(N, 1))):
        scaled = head.at_scale(params, shift, scale)
        np.testing.assert_allclose(head.draw(scaled, *noise), shift + scale * frames, rtol=1e-5)
    with pytest.raises(ValueError, match="`shift` must be 0"):
        head.at_scale(params, 1.0, 2.0)


def test_temperature():
    head = MixedHead([("gaussian", 1), ("poisson", 1)])
    assert HEAD.tempers and not head.tempers
    with pytest.raises(ValueError, match="`temperature` must be 1 for a MixedHead"):
        head.sample(normal(N, 3), 0, 0.5)


def test_values_that_are_refused():
    HEAD.check_values("targets", FRAMES)
    for column, value, message in (
        (3, -1, "Columns 3 to 3 of a mixed frame: Of values that are not 0: A log_normal output"),
        (4, 0.5, "Columns 4 to 4 of a mixed frame: A bernoulli output"),
        (5, 2, r"Columns 5 to 5 of a mixed frame: .*low=-1\.0 and high=1\.0"),
    ):
        with pytest.raises(ValueError, match=message):
            HEAD.check_values("targets", np.where(np.arange(F) == column, value, FRAMES))


def test_arguments():
    for blocks in ([], [("gaussian",)], "gaussian"):
        with pytest.raises(ValueError, match=r"`blocks` must be a list of \(head, columns\)"):
            MixedHead(blocks)
    with pytest.raises(ValueError, match="`columns` must be a positive integer"):
        MixedHead([("gaussian", 0)])
    with pytest.raises(ValueError, match=r"not of tokens\. Received: CategoricalHead"):
        MixedHead([(CategoricalHead(3), 1)])
    with pytest.raises(ValueError, match=r"have 6 columns\. Received: features=3"):
        RNN(3, HEAD).build((None, None, 3))
    assert MixedHead([(BernoulliHead(), 2)]).discrete and not MixedHead([("poisson", 1), (LogNormalHead(), 1)]).discrete


def test_in_a_model(tmp_path):
    frames = np.stack([FRAMES[:3], FRAMES[3:]])
    model = RNN(3, HEAD, seed=0)
    model.build(frames.shape)
    assert model.generate(2, 4, temperature=0.5, seed=0).shape == (2, 4, F)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.log_likelihood(frames), model.log_likelihood(frames), rtol=1e-6)
    assert [type(head) for head in again.head.blocks] == [type(head) for head in HEAD.blocks]
    assert again.head.blocks[-1].low == -1 and again.head.blocks[1].num_components == 3
