"""What a model reads beside its frames: covariates, static numbers, embedded ids."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import FEATURES, FEW_HERE, MODELS, make, sequences
from tests.support import named_gradients, normal, set_random_weights, total_loss
from zf_keras import RNN

COUNT, TIME = 4, 5


def beside(count=COUNT, time=TIME, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "covariates": rng.normal(size=(count, time, 2)).astype("float32"),
        "static": rng.normal(size=(count, 1)).astype("float32"),
        "categories": rng.integers(0, 4, size=(count, 2)),
    }


def made(name, output="gaussian", **kwargs):
    model = make_unbuilt(name, output, cardinalities=(4, 7), **kwargs)
    model.build({"targets": (None, None, FEATURES), "covariates": (None, None, 2), "static": (None, 1)} | CATEGORIES)
    return set_random_weights(model)


CATEGORIES = {"categories": (None, 2)}


def make_unbuilt(name, output="gaussian", **kwargs):
    cls, arguments = MODELS[name]
    return cls(output=output, seed=0, **{**arguments, **kwargs})


@pytest.mark.parametrize("name", FEW_HERE)
def test_every_method_reads_them(name, tmp_path):
    model, y, known = made(name), sequences(count=COUNT), beside()
    data = {"targets": y, **known}
    scores = model.log_likelihood(data, seed=0, verbose=0)
    for key, x in known.items():
        other = {**data, key: (x + 1) % 4 if key == "categories" else x + 1}
        assert (model.log_likelihood(other, seed=0, verbose=0) != scores).all(), key
    # One for all is that of each.
    of_one = {key: x[:1] for key, x in beside(COUNT, 2 * TIME).items()}
    of_all = {key: np.repeat(x, COUNT, axis=0) for key, x in of_one.items()}
    forecasts = [model.forecast(y, TIME, 2, seed=0, **given).samples for given in (of_one, of_all)]
    np.testing.assert_array_equal(*forecasts)
    generated = [model.generate(COUNT, 2 * TIME, y, seed=0, **given) for given in (of_one, of_all)]
    np.testing.assert_array_equal(*generated)
    assert model.generate(COUNT, TIME, seed=0, **known).shape == y.shape
    step_scores = model.step_scores(data, 4, seed=0, verbose=0)
    assert step_scores.shape == (COUNT, TIME)
    if model.noise_dim:
        assert model.encode(data, seed=0).mean.shape[:2] == (COUNT, TIME)
        assert model.interpolate(data, {**data, "targets": y + 1}, 3, seed=0).shape == (3, *y.shape)
    model.compile(optimizer="adam")
    history = model.fit(data, verbose=0, batch_size=2)
    assert np.isfinite(history.history["loss"]).all()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(*(m.forecast(y, 2, 3, seed=0, **beside(time=7)).samples for m in (model, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_rnn_with_covariates_is_one_with_inputs_of_its_own():
    """x_t = [y_{t-1}, u_t], given as such."""
    y, u = sequences(count=COUNT), beside()["covariates"]
    model = make_unbuilt("rnn")
    model.build({"targets": (None, None, FEATURES), "covariates": (None, None, 2)})
    own = make_unbuilt("rnn")
    own.build({"targets": (None, None, FEATURES), "inputs": (None, None, FEATURES + 2)})
    own.lagged = False
    for a, b in zip(set_random_weights(model).trainable_weights, own.trainable_weights, strict=True):
        b.assign(a)
    x = np.concatenate([np.zeros((COUNT, 1, FEATURES)), y[:, :-1]], axis=1)
    inputs = np.concatenate([x, u], axis=-1)
    expected = own.log_likelihood({"inputs": inputs, "targets": y}, verbose=0)
    np.testing.assert_allclose(model.log_likelihood({"targets": y, "covariates": u}, verbose=0), expected, rtol=1e-6)


@pytest.mark.parametrize("name", FEW_HERE)
def test_the_future_reaches_the_forecast_and_never_the_past(name):
    model, y = made(name), sequences(count=COUNT)
    known, changed = beside(time=TIME + 4), beside(time=TIME + 4)
    changed["covariates"][:, TIME + 2 :] += 1.0
    paths, others = (model.forecast(y, 4, 3, seed=0, **each).samples for each in (known, changed))
    np.testing.assert_array_equal(paths[:, :, :2], others[:, :, :2])
    assert (paths[:, :, 2:] != others[:, :, 2:]).any(axis=-1).all()
    # Nor does the score of a step depend on what is known after it, by the prior.
    data = {"targets": y, **beside()}
    later = {**data, "covariates": data["covariates"] + np.array([0, 0, 0, 1, 1])[:, None]}
    scores = [model.step_scores(each, 4, seed=0, proposal="prior", verbose=0) for each in (data, later)]
    np.testing.assert_allclose(scores[0][:, :3], scores[1][:, :3], rtol=1e-6)
    assert (scores[0][:, 3:] != scores[1][:, 3:]).any(axis=1).all()


@pytest.mark.parametrize("name", ["rnn", "srnn"])
def test_ragged_prompts_are_as_one_at_a_time(name):
    model, y, known = made(name), sequences(count=3), beside(3, TIME + 4)
    lengths = [5, 2, 4]
    mask = np.arange(TIME) < np.array(lengths)[:, None]
    together = model.forecast(y, 4, 1, seed=0, temperature=1e-6, mask=mask, **known)
    for row, length in enumerate(lengths):
        of_row = {key: x[row : row + 1] for key, x in known.items()}
        of_row["covariates"] = of_row["covariates"][:, : length + 4]
        alone = model.forecast(y[row : row + 1, :length], 4, 1, seed=0, temperature=1e-6, **of_row)
        if name == "rnn":  # the others draw latents
            np.testing.assert_allclose(together.samples[:, row], alone.samples[:, 0], atol=1e-4)
    with pytest.raises(ValueError, match=r"`covariates` must be \(batch, time, features\), with the axes \(3, 9\)"):
        model.forecast(y, 4, 1, **{**known, "covariates": known["covariates"][:, :-1]})


def test_each_step_reads_its_own():
    """A model in steps, as its `infer`."""
    model, y, known = made("vrnn"), sequences(count=COUNT), beside()
    batch = model.sequences({"targets": y, **known})
    x, target = model.read(batch)
    noise = ops.convert_to_tensor(normal(COUNT, TIME, model.noise_dim))
    context = model.context(x, target, None, False)
    expected, _ = model.infer(x, context, batch, noise, False)
    state = model.initial_state(COUNT)
    for t in range(TIME):
        frame = model.read_frames(batch.inputs[:, t], batch.known[:, t])
        latent = expected.latent[:, t]
        steps, state = model.step(model.step_weights(), state, frame, noise[:, t], latent=latent)
        np.testing.assert_allclose(steps.output, expected.output[:, t], rtol=1e-4, atol=1e-5)


def test_where_the_first_frame_is_known():
    """Covariates are of frames: those of the first one are of no target."""
    model, y, known = made("rnn"), sequences(count=COUNT), beside()
    later = {**known, "covariates": known["covariates"][:, 1:]}
    expected = model.log_likelihood({"inputs": y[:, :-1], "targets": y[:, 1:], **later}, verbose=0)
    np.testing.assert_allclose(model.log_likelihood({"inputs": y, **known}, verbose=0), expected, rtol=1e-6)


def test_ids_are_embedded():
    """Each row of a table has the gradient of the sequences of that id alone."""
    model = make_unbuilt("rnn", cardinalities=(4,))
    model.build({"targets": (None, None, FEATURES), "categories": (None, 1)})
    set_random_weights(model)
    data = {"targets": sequences(count=2), "categories": np.array([[1], [3]])}
    noise = np.zeros((2, TIME, 0), "float32")
    gradient = named_gradients(lambda: total_loss(model, data, noise), model)["category_0/embeddings"]
    assert gradient.shape == (4, 2)
    np.testing.assert_array_equal(np.any(gradient != 0, axis=1), [False, True, False, True])


def test_padding_reaches_nothing():
    model, y, known = made("z_forcing"), sequences(count=2), beside(2)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    wild = {**known, "covariates": np.where(mask[..., None], known["covariates"], np.nan)}
    noise = normal(2, TIME, model.noise_dim)
    data = [{"targets": y, "mask": mask, **each} for each in (known, wild)]
    for name, term in model.loss_terms(data[0], noise).items():
        np.testing.assert_array_equal(term, model.loss_terms(data[1], noise)[name])
    gradient = named_gradients(lambda: total_loss(model, data[1], noise), model)
    assert all(np.isfinite(each).all() for each in gradient.values())


def test_errors():
    model, y, known = made("rnn"), sequences(count=COUNT), beside()
    data = {"targets": y, **known}
    for changed, match in (
        ({"covariates": None}, "must have `covariates`, of 2 columns"),
        ({"covariates": known["covariates"][..., :1]}, "`covariates` must have 2 columns"),
        ({"covariates": known["covariates"][:, :4]}, r"`covariates` must be \(batch, time, features\)"),
        ({"covariates": known["covariates"] * np.nan}, r"`covariates` holds nan at index \(0, 0, 0\)"),
        ({"static": known["static"][:2]}, r"`static` must be \(batch, features\), with the axes \(4,\)"),
        ({"categories": known["categories"] + 4}, r"`categories` must be integers in \[0, 4\) in column 0"),
        ({"categories": known["categories"] + 0.5}, "integers"),
    ):
        with pytest.raises(ValueError, match=match):
            model.log_likelihood({**data, **changed}, verbose=0)
    with pytest.raises(ValueError, match="`static` must be left out"):
        make("rnn").log_likelihood({"targets": y, "static": known["static"]}, verbose=0)
    with pytest.raises(ValueError, match="`categories` must have a column for each of `cardinalities`"):
        make_unbuilt("rnn").log_likelihood({"targets": y, "categories": known["categories"]}, verbose=0)
    with pytest.raises(ValueError, match="`categories` needs the argument `cardinalities`"):
        make_unbuilt("rnn").build({"targets": (None, None, 3), "categories": (None, 2)})
    with pytest.raises(ValueError, match="must have `covariates`"):
        model.generate(2, 5, static=known["static"][:2], categories=known["categories"][:2])
    with pytest.raises(ValueError, match="`covariates` must be of 1 or 4 sequences"):
        model.forecast(y, 2, 1, covariates=known["covariates"][:3])
    for wrong in ((), (0,), 3):
        with pytest.raises(ValueError, match="cardinalities"):
            RNN(units=4, output="gaussian", cardinalities=wrong)
