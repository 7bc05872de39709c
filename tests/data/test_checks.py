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


class Loaded(keras.utils.PyDataset):
    def __init__(self, x, **kwargs):
        super().__init__(**kwargs)
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index][None]


@pytest.fixture
def in_processes(monkeypatch):
    """How a `PyDataset` is read in several processes. Here they are threads: a fork beside JAX may hang."""
    monkeypatch.setattr("keras.src.trainers.data_adapters.py_dataset_adapter._FORCE_THREADPOOL", True)
    return {"workers": 2, "use_multiprocessing": True}


def test_a_later_batch_of_several_processes_is_checked_before_its_update(in_processes):
    model, x = RNN(3, "gaussian", seed=0), np.copy(X)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    x[2] = np.nan
    with pytest.raises(Exception, match=r"`targets` holds nan"):
        model.fit(Loaded(x, **in_processes), shuffle=False, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_the_batches_of_several_processes_are_read_in_order(in_processes):
    x = np.random.default_rng(0).normal(size=(6, 2, 1)).astype("float32")
    weights = []
    for data in (x, Loaded(x), Loaded(x, **in_processes)):
        model = RNN(3, "gaussian", seed=0)
        model.build(x.shape)  # of a model that is not built, Keras reads a batch, and on JAX the order is another
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(data, batch_size=1 if data is x else None, shuffle=False, verbose=0)
        weights.append(model.get_weights())
        assert np.isfinite(model.evaluate(data, verbose=0)).all() and model.lagged
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_batches_are_shuffled():
    read, x = [], np.random.default_rng(0).normal(size=(20, 2, 1)).astype("float32")

    class Noting(Loaded):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    model = RNN(3, "gaussian", seed=0)
    model.compile("sgd", run_eagerly=True)
    model.fit(x[:1], verbose=0)
    read.clear()
    model.fit(Noting(x), verbose=0)
    assert sorted(read[-20:]) == list(range(20)) and read[-20:] != list(range(20))


def test_what_cannot_be_checked_is_caught_at_its_update(monkeypatch):
    """As of a `DataLoader` of PyTorch."""
    monkeypatch.setattr("zf_keras.models.fitting.is_checked", lambda data: False)
    monkeypatch.setattr("zf_keras.models.fitting.checked", lambda data, check, shuffle: data)
    x = np.copy(X)
    x[2] = np.nan
    for callbacks in ([], [keras.callbacks.Callback()]):
        model = RNN(3, "gaussian")
        model.compile(run_eagerly=True)
        with pytest.raises(ValueError, match="nan at epoch 1, batch 3"):
            model.fit(x, None, 1, 1, 0, callbacks, shuffle=False)


def test_what_is_checked_before_its_update():
    for data in (X, {"targets": X}, (X for _ in range(2)), Loaded(X), Loaded(X, workers=2, use_multiprocessing=True)):
        assert is_checked(data)
    assert not is_checked([X])


def test_one_batch(model):
    """Training loops of one's own: `train_on_batch` and `test_on_batch` check too, and note what was fitted on."""
    x = np.copy(X)
    x[1, 0] = np.nan
    weights = model.get_weights()
    for method in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="holds nan"):
            method(x)
        with pytest.raises(ValueError, match="`y`"):
            method(X, X)
    np.testing.assert_equal(model.get_weights(), weights)
    assert np.isfinite(model.train_on_batch(X)).all() and model.lagged
    assert np.isfinite(model.train_on_batch({"inputs": X + 1, "targets": X})).all() and not model.lagged
    assert np.isfinite(model.train_on_batch(X)).all() and model.lagged
