"""Exports and streams of models that read covariates, gaps and scales."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import MODELS
from tests.support import normal, set_random_weights
from zf_keras.export import Stream

if keras.config.backend() != "tensorflow":
    pytest.skip("it is TensorFlow that reads an export", allow_module_level=True)

from zf_keras.export import endpoints
from zf_keras.export.files import HELD

COUNT, TIME, HORIZON = 3, 6, 4


def made(name, **kwargs):
    cls, arguments = MODELS[name]
    model = cls(output="gaussian", seed=0, cardinalities=(3,), **{**arguments, **kwargs})
    model.build(
        {
            "targets": (None, None, 2),
            "covariates": (None, None, 2),
            "static": (None, 1),
            "categories": (None, 1),
        }
    )
    return set_random_weights(model)


def data(time=TIME, gaps=True):
    rng = np.random.default_rng(0)
    y = 50 * rng.normal(size=(COUNT, time, 2)).astype("float32")
    if gaps:
        y[rng.random(y.shape) < 0.3] = np.nan
    known = {
        "covariates": rng.normal(size=(COUNT, time + HORIZON, 2)).astype("float32"),
        "static": rng.normal(size=(COUNT, 1)).astype("float32"),
        "categories": np.array([[0], [2], [1]], "int32"),
    }
    return y, known


def export(model, folder, monkeypatch, names):
    """A SavedModel of some endpoints: tracing all of them takes a minute."""
    import tensorflow as tf

    whole = endpoints.endpoints
    names = ("elbo", "initial_state", "score_step", "generate_step", *names)
    monkeypatch.setattr(endpoints, "endpoints", lambda m: {k: v for k, v in whole(m).items() if k in names})
    model.export(folder)
    return tf.saved_model.load(str(folder))


def test_gaps_scales_and_covariates(tmp_path, monkeypatch):

    model = made("rnn", missing="skip", scaling="mean_abs")
    loaded = export(model, tmp_path, monkeypatch, ("continue_sequence", "state_after", "generate"))
    assert not hasattr(loaded, "generate")  # nothing would tell the scale
    y, known = data()
    first = {**known, "covariates": known["covariates"][:, :TIME]}
    mask = np.arange(TIME) < np.array([[6], [4], [5]])
    expected = model.log_likelihood({"targets": y, "mask": mask, **first}, verbose=0)
    np.testing.assert_allclose(loaded.elbo(targets=y, mask=mask, **first), expected, rtol=1e-4)
    drawn = loaded.continue_sequence(y, horizon=HORIZON, prompt_mask=mask, temperature=1e-6, **known)
    wanted = model.forecast(y, HORIZON, 1, seed=0, temperature=1e-6, mask=mask, **known).samples[0]
    np.testing.assert_allclose(drawn, wanted, rtol=1e-3, atol=1e-3)
    _steps_are_the_whole(model, loaded, y, known, first, mask)
    _streams(model, tmp_path, y, known, first, loaded.state_after(y, **first)["scale"])


def _steps_are_the_whole(model, loaded, y, known, first, mask):
    """`state_after` and `generate_step` are `continue_sequence`."""
    noise = normal(COUNT, HORIZON, model.head.normal_dim, seed=1)
    expected = loaded.continue_sequence(y, horizon=HORIZON, prompt_mask=mask, noise=noise, **known)
    after = loaded.state_after(y, prompt_mask=mask, **first)
    state, x, observed = after["state"], after["frame"], after["observed"]
    assert not np.all(observed)
    for t in range(HORIZON):
        covariates = known["covariates"][np.arange(COUNT), mask.sum(1) + t]
        of_step = {**known, "covariates": covariates, "scale": after["scale"], "observed": observed}
        step = loaded.generate_step(state=state, x=x, noise=noise[:, t], **of_step)
        np.testing.assert_allclose(step["y"], expected[:, t], rtol=1e-3, atol=1e-3)
        state, x, observed = step["state"], step["y"], np.ones((COUNT, 2), bool)


def _streams(model, folder, y, known, first, scale, row=1):
    """Scores with gaps, frame by frame, are those of Python."""
    expected = model.step_scores({"targets": y, **first}, verbose=0)
    of_row = {"static": known["static"][row], "categories": known["categories"][row]}
    stream = Stream(folder, 2, seed=0, scale=scale[row], **of_row)
    scores = [stream.score(frame, covariates=u) for frame, u in zip(y[row], known["covariates"][row], strict=False)]
    np.testing.assert_allclose(scores, expected[row], rtol=1e-4)
    paths = stream.forecast(HORIZON, covariates=known["covariates"][row, TIME:])
    assert paths.shape == (2, HORIZON, 2) and np.isfinite(paths).all()
    for arguments, match in (
        ({"covariates": None}, "`covariates` must be given"),
        ({"covariates": np.zeros(3)}, r"`covariates` must be of shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=match):
            stream.score(y[row, 0], **arguments)
    with pytest.raises(ValueError, match="`covariates` must be of horizon=2 steps"):
        stream.forecast(2, covariates=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="`scale` must be given"):
        Stream(folder, 2, **of_row)


def test_a_global_scale_and_covariates(tmp_path, monkeypatch):
    """Generated from the first frame on, in the user's units."""
    import tensorflow as tf

    model = made("vrnn", scaling="standard", missing="skip")
    y, known = data(gaps=False)
    model.adapt({"targets": y, **known, "covariates": known["covariates"][:, :TIME]})
    loaded = export(model, tmp_path, monkeypatch, ("generate",))
    width = model.noise_dim + model.head.normal_dim
    length = TIME + HORIZON
    frames = loaded.generate(batch_size=COUNT, length=length, noise=normal(COUNT, TIME + HORIZON, width), **known)
    assert frames.shape == (COUNT, TIME + HORIZON, 2) and np.abs(frames).max() > 20
    stream = Stream(tmp_path, 2, static=known["static"][0], categories=known["categories"][0])
    np.testing.assert_allclose(stream._x, np.tile(model.scaling.shift, (3, 1)), rtol=1e-6)
    # A gap is filled without noise, whatever the particles draw: as in Python.
    gaps = {"targets": y[:1, :3].copy(), **{key: x[:1] for key, x in known.items()}}
    gaps["covariates"], gaps["targets"][0, 1:] = gaps["covariates"][:, :3], np.nan
    filled = ops.convert_to_numpy(model.filled(model.sequences(gaps)))[0]
    for t in range(3):
        stream.score(gaps["targets"][0, t], covariates=gaps["covariates"][0, t])
        np.testing.assert_allclose(stream._x, np.tile(filled[t], (3, 1)), rtol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="covariates must be of every step"):
        loaded.generate(batch_size=COUNT, length=TIME, **known)
    with pytest.raises(tf.errors.InvalidArgumentError, match="categories must be known ids"):
        loaded.generate(batch_size=COUNT, length=length, **{**known, "categories": known["categories"] + 1})


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_files(format, tmp_path, monkeypatch):
    """Each is run and compared with the model as it is written."""
    monkeypatch.setitem(HELD, "onnx", ("elbo", "score_step"))
    made("z_forcing", missing="skip", scaling="mean_abs").export(tmp_path, format)
    assert list(tmp_path.glob("score_step.*"))
