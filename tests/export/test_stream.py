"""Scores and forecasts of a stream, from an export."""

import json

import keras
import numpy as np
import pytest

from tests.inference.test_particles import KAPPA, RHO, SIGMA, A, M, S, kalman
from tests.models.table import make, sequences
from tests.models.test_generation import linear_gaussian
from tests.support import normal
from zf_keras import SRNN, ZForcing
from zf_keras.export import Stream
from zf_keras.inference.particles import filtered
from zf_keras.inference.passes import context_of
from zf_keras.seeds import SeedGenerator, seeds_of_steps

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="it is TensorFlow that reads an export")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A state-space model whose likelihood a Kalman filter knows, exported."""
    model, folder = linear_gaussian(SRNN, RHO, A, M, S, SIGMA, KAPPA), tmp_path_factory.mktemp("exported")
    model.export(folder)
    return model, folder


def test_scores_come_near_those_of_a_kalman_filter(exported):
    model, folder = exported
    y = model.generate(1, 15, seed=4)[0]
    for resample_below in (0.5, 1.0):
        stream = Stream(folder, 4000, seed=0, resample_below=resample_below)
        np.testing.assert_allclose([stream.score(frame) for frame in y], kalman(y[:, 0]), atol=0.15)


def test_the_endpoint_of_whole_sequences(exported):
    import tensorflow as tf

    model, folder = exported
    y, loaded = model.generate(3, 6, seed=8), tf.saved_model.load(str(folder))
    mask = np.arange(6) < np.array([[6], [3], [5]])
    seeds = seeds_of_steps(6, SeedGenerator(1))
    data, settings = {"targets": y, "mask": mask}, {"proposal": "posterior", "by_feature": False}
    settings |= {"num_particles": 32, "resample_below": 0.5, "resampling": "systematic"}
    expected = filtered(model, data, context_of(model, data), seeds, **settings)
    np.testing.assert_allclose(loaded.step_scores(y, 32, mask, seeds=seeds), expected, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(loaded.step_scores(y), loaded.step_scores(y))
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_particles must be at least 1"):
        loaded.step_scores(y, 0)


def test_a_seed_gives_the_scores_again(exported):
    _, folder = exported
    first, again, other = (Stream(folder, 8, seed=seed) for seed in (1, 1, 2))
    scores = [[stream.score([value]) for value in (0.5, 1.0, -1.0)] for stream in (first, again, other)]
    assert scores[0] == scores[1] != scores[2]
    np.testing.assert_array_equal(first.forecast(3), again.forecast(3))
    assert first.score([0.0]) == again.score([0.0])  # where it was


def test_a_forecast_follows_what_was_seen(exported):
    """y_{t+1} given the past: mean and variance by the Kalman filter's next score, as a function of the frame."""
    model, folder = exported
    y = model.generate(1, 10, seed=7)[0]
    stream = Stream(folder, 20_000, seed=0)
    for frame in y:
        stream.score(frame)
    drawn = stream.forecast(1)[:, 0, 0].astype("float64")
    values = np.linspace(-15, 15, 3001)
    density = np.exp([kalman(np.append(y[:, 0], value))[-1] for value in values]) * (values[1] - values[0])
    mean = (values * density).sum()
    np.testing.assert_allclose(density.sum(), 1.0, atol=1e-3)
    np.testing.assert_allclose(drawn.mean(), mean, atol=0.05)
    np.testing.assert_allclose(drawn.var(), ((values - mean) ** 2 * density).sum(), rtol=0.1)


def test_a_missing_frame_is_not_scored(exported):
    model, folder = exported
    y = model.generate(1, 5, seed=6)[0]
    y[2] = np.nan
    stream = Stream(folder, 4000, seed=0)
    scores = np.array([stream.score(frame) for frame in y])
    assert np.isnan(scores[2]) and np.isfinite(scores[[0, 1, 3, 4]]).all()
    expected = model.step_scores(y[None], 4000, seed=1, verbose=0)[0]
    np.testing.assert_allclose(scores, expected, atol=0.15)


def test_tokens_are_exact_without_latents(tmp_path):
    model, (y, *_) = make("rnn", "categorical"), sequences("categorical", 1)
    model.export(tmp_path / "exported")
    stream = Stream(tmp_path / "exported", 1)
    np.testing.assert_allclose(
        [stream.score(token) for token in y], model.step_scores(y[None], verbose=0)[0], rtol=1e-4
    )
    assert stream.forecast(4).shape == (1, 4)


def test_inputs_of_its_own(tmp_path):
    model = ZForcing(4, 2, "gaussian", beta=0, seed=0)
    data = {"inputs": normal(1, 4, 4), "targets": normal(1, 4, 3)}
    model.build({key: x.shape for key, x in data.items()})
    model.export(tmp_path / "exported")
    stream = Stream(tmp_path / "exported", 4000, seed=0)
    scores = [stream.score(y, x) for y, x in zip(data["targets"][0], data["inputs"][0], strict=True)]
    expected = model.step_scores(data, 4000, seed=1, proposal="prior", verbose=0)[0]
    np.testing.assert_allclose(scores, expected, atol=0.1)
    assert np.isnan(stream.score([np.nan, 0, 0], data["inputs"][0, 0]))
    with pytest.raises(ValueError, match="`x` must be given"):
        stream.score(data["targets"][0, 0])
    with pytest.raises(ValueError, match="can't forecast"):
        stream.forecast(2)


def test_errors(exported, tmp_path):
    _, folder = exported
    for arguments, message in (
        ({"num_particles": 0}, "num_particles"),
        ({"resample_below": 2}, "resample_below"),
        ({"folder": tmp_path}, "no export of zf_keras"),
    ):
        with pytest.raises(ValueError, match=message):
            Stream(**{"folder": folder, **arguments})
    description = json.loads((folder / "endpoints.json").read_text())
    (tmp_path / "endpoints.json").write_text(json.dumps({**description, "format": "onnx"}))
    with pytest.raises(ValueError, match="It is of 'onnx'"):
        Stream(tmp_path)
    stream = Stream(folder, 2)
    with pytest.raises(ValueError, match="`x` must be left out"):
        stream.score([0.0], [0.0])
    with pytest.raises(ValueError, match=r"`y` must be of shape \(1,\)"):
        stream.score(0.0)
