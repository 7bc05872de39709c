"""What models accept as data, and what they say of what they do not."""

import keras
import numpy as np
import pytest

from tests.support import normal
from zf_keras import RNN, datasets
from zf_keras.data.streams import is_checked

X = normal(4, 5, 2)


@pytest.fixture(scope="module")
def model():
    model = RNN(3, "gaussian", seed=0)
    model.compile(run_eagerly=True)
    model.fit(X[:1, :2], verbose=0)
    return model


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ma.masked_less(X, 0.0), "masked array.*`mask`"),
        (np.full((1, 3, 2), 1e20), r"`targets` holds 1e\+20 in size.*scale"),
        (np.full((1, 3, 2), -1e300), r"`targets` holds 1e\+300 in size"),
        (np.full((1, 3, 2), 2**62), r"`targets` holds 4\.61e\+18 in size"),
    ],
)
def test_refused(model, data, message):
    for method in (model.log_likelihood, model.fit):
        with pytest.raises(ValueError, match=message):
            method(data)


def test_a_large_scale_is_warned_of(model):
    with pytest.warns(UserWarning, match="`targets` holds numbers of more than 1e4: scale it"):
        model.check_data(np.full((1, 3, 2), 2e4))


def test_bytes_of_the_other_order_and_lists(model):
    other = X.astype(X.dtype.newbyteorder())
    np.testing.assert_array_equal(model.log_likelihood(other), model.log_likelihood(X))
    mask = np.ones((4, 5), int).tolist()
    for data in (other, {"targets": other, "mask": mask}, ((other,) for _ in range(2)), ({"targets": X} for _ in "ab")):
        arrays = isinstance(data, dict | np.ndarray)
        assert np.isfinite(model.fit(data, steps_per_epoch=None if arrays else 1, verbose=0).history["loss"]).all()


def test_streams_and_frames_that_are_named(model):
    class Frame:
        columns, shape = ("a", "b"), (5, 2)

        def to_numpy(self):
            return X[0]

    with pytest.raises(ValueError, match=r"frame\.to_numpy\(\)\[None\]"):
        model.fit(Frame())
    with pytest.raises(ValueError, match="Received the key 'foo'"):
        model.fit({"foo": X} for _ in range(2))


def test_batches_as_they_are(model):
    batches = datasets.Batches(list(X), 2)
    assert np.isfinite(model.fit(batches, validation_data=batches, verbose=0).history["val_loss"]).all()
    np.testing.assert_allclose(model.evaluate(batches, verbose=0), model.evaluate(X, verbose=0), rtol=1e-5)


def test_construction_and_compilation():
    with pytest.raises(ValueError, match="`input_shape` needs a shape"):
        RNN(3, "gaussian").build({})
    for policy in ("float16", "bfloat16"):
        with pytest.raises(ValueError, match=f"mixed_{policy}"):
            RNN(3, "gaussian", dtype=policy)
    for name, value in (("loss", "mse"), ("metrics", ["mae"])):
        with pytest.raises(ValueError, match=f"leave out `{name}`"):
            RNN(3, "gaussian").compile(**{name: value})


def test_what_cannot_be_checked_is_caught_at_its_update(monkeypatch):
    """As of a `PyDataset` in several processes."""
    monkeypatch.setattr("zf_keras.models.base.is_checked", lambda data: False)
    monkeypatch.setattr("zf_keras.models.base.checked", lambda data, check: data)
    model, x = RNN(3, "gaussian"), np.copy(X)
    model.compile(run_eagerly=True)
    x[2] = np.nan
    with pytest.raises(ValueError, match="nan at epoch 1, batch 3"):
        model.fit(x, batch_size=1, shuffle=False, verbose=0, callbacks=keras.callbacks.Callback())


def test_what_is_checked_before_its_update():
    for data in (X, {"targets": X}, (X for _ in range(2))):
        assert is_checked(data)

    class Loaded(keras.utils.PyDataset):
        pass

    assert is_checked(Loaded()) and not is_checked(Loaded(workers=2, use_multiprocessing=True))
