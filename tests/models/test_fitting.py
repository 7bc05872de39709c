"""fit, evaluate and predict that end in an error or in threads: the model stays whole."""

import threading

import keras
import numpy as np
import pytest

from tests.models.table import make
from tests.support import normal
from zf_keras import RNN, ZForcing


def compiled(model=None, **kwargs):
    model = model or RNN(3, "gaussian", seed=0)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), **kwargs)
    return model


def values(model, draws=True):
    """Weights, optimizer's variables and, with `draws`, the seed state."""
    variables = [*model.variables, *model.optimizer.variables]
    # TensorFlow counts the update and draws its noise while it waits for the batch that never comes.
    draws = draws and keras.config.backend() == "jax"
    return [keras.ops.convert_to_numpy(v) for v in variables if draws or "int" not in v.dtype]


class Interrupt(keras.callbacks.Callback):
    """Notes the values after each update, and stops where it is told."""

    def __init__(self, batch, at):
        super().__init__()
        self.batch, self.at, self.seen = batch, at, None

    def stop(self, batch, at):
        if (batch, at) == (self.batch, self.at):
            raise KeyboardInterrupt

    def on_train_batch_begin(self, batch, logs=None):
        self.stop(batch, "begin")

    def on_train_batch_end(self, batch, logs=None):
        self.seen = values(self.model)
        self.stop(batch, "end")


def interrupted_stream(x, batch):
    for i in range(100):
        if i == batch:
            raise RuntimeError("stopped")
        yield (x,)


def assert_whole(model, expected):
    for value, other in zip(values(model), expected, strict=True):
        np.testing.assert_array_equal(value, other)
    x = normal(4, 5, 2)
    assert np.isfinite(model.log_likelihood(x)).all()
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(("batch", "at"), [(0, "begin"), (2, "begin"), (2, "end")])
def test_a_model_is_whole_after_an_interrupted_fit(batch, at):
    model, x = compiled(), normal(8, 5, 2)
    model.fit(x, batch_size=2, verbose=0)
    before, interrupt = values(model), Interrupt(batch, at)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, batch_size=2, verbose=0, callbacks=[interrupt])
    assert_whole(model, interrupt.seen or before)


@pytest.mark.skipif(keras.config.backend() != "jax", reason="its trainer takes the values out")
def test_a_distributed_model_is_whole_after_an_interrupted_fit():
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0"]))
    try:
        model, x, interrupt = compiled(), normal(8, 5, 2), Interrupt(2, "begin")
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, batch_size=2, verbose=0, callbacks=[interrupt])
        assert_whole(model, interrupt.seen)
        assert np.isfinite(model.evaluate(x, verbose=0)).all() and model.predict(x, verbose=0)
    finally:
        keras.distribution.set_distribution(None)


@pytest.mark.parametrize("batch", [0, 3])
def test_a_model_is_whole_after_an_error_in_the_stream(batch):
    model, x = compiled(ZForcing(3, 2, "gaussian", seed=0)), normal(2, 5, 2)
    model.fit(x, verbose=0)
    state, interrupt = values(model), Interrupt(-1, "end")
    with pytest.raises(Exception, match="stopped"):
        # Keras reads a batch to see the shapes, and a batch ahead.
        model.fit(interrupted_stream(x, batch + 1), steps_per_epoch=100, verbose=0, callbacks=[interrupt])
    assert_whole(model, interrupt.seen or state)


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_a_model_is_whole_after_an_error_in_its_evaluation(method):
    model, x = compiled(), normal(2, 5, 2)
    model.fit(x, verbose=0)
    weights = model.get_weights()
    for batch in (1, 3):
        with pytest.raises(Exception, match="stopped"):
            getattr(model, method)(interrupted_stream(x, batch), verbose=0)
        np.testing.assert_equal(model.get_weights(), weights)
    assert np.isfinite(model.evaluate(x, verbose=0)).all()


def test_a_model_is_whole_after_an_error_in_validation():
    model, x = compiled(), normal(4, 5, 2)
    model.fit(x, verbose=0)
    interrupt = Interrupt(-1, "end")
    with pytest.raises(Exception, match="stopped"):
        model.fit(x, verbose=0, validation_data=interrupted_stream(x, 3), validation_steps=5, callbacks=[interrupt])
    floats = [value for value in interrupt.seen if value.dtype == "float32"]  # validation draws too
    for value, other in zip(values(model, draws=False), floats, strict=True):
        np.testing.assert_array_equal(value, other)
    assert np.isfinite(model.evaluate(x, verbose=0)).all()


def test_a_callback_evaluates_the_model_that_is_fitted():
    model, x = compiled(), normal(8, 5, 2)
    evaluate = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: model.evaluate(x, verbose=0))
    model.fit(x, batch_size=2, shuffle=False, verbose=0, callbacks=[evaluate])
    other = compiled()
    other.fit(x, batch_size=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], other.get_weights()[0], rtol=1e-6)


def test_several_threads():
    model, x = compiled(), normal(16, 5, 2)
    model.fit(x, verbose=0)
    weights, errors = model.get_weights(), []

    def run(method):
        try:
            for _ in range(5):
                getattr(model, method)(x, batch_size=2, verbose=0)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(method,)) for method in ("predict", "evaluate") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    np.testing.assert_equal(model.get_weights(), weights)


def test_a_model_remembers_that_its_inputs_were_not_its_targets_a_step_earlier(tmp_path):
    model, x, inputs = compiled(ZForcing(3, 2, "gaussian", seed=0)), normal(4, 5, 2), normal(4, 5, 2, seed=1)
    lagged = np.concatenate([inputs[:, :1], x[:, :-1]], axis=1)  # a first frame of its own
    mask = np.arange(5) < 3 + np.zeros((4, 1))
    model.fit({"inputs": np.where(mask[..., None], lagged, 7.0), "targets": x, "mask": mask}, verbose=0)
    assert model.generate(2, 3).shape == (2, 3, 2)
    model.fit((({"inputs": i, "targets": x},) for i in (lagged, inputs, lagged)), steps_per_epoch=2, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras"), ZForcing.from_preset(tmp_path / "preset")):
        for refused in (
            lambda model: model.generate(2, 3),
            lambda model: model.forecast(x, 2, 1),
            lambda model: model.interpolate(x[:1], x[1:2]),
        ):
            with pytest.raises(ValueError, match="inputs of their own"):
                refused(each)
        for refused in (lambda model: model.log_likelihood(x), lambda model: model.predict(x, verbose=0)):
            with pytest.raises(ValueError, match="give `inputs` beside `targets`"):
                refused(each)
        assert np.isfinite(each.log_likelihood({"inputs": inputs, "targets": x})).all()
    model.fit(x, verbose=0)  # as it was: every input a step earlier
    assert np.isfinite(model.log_likelihood(x)).all()


def test_files_that_do_not_say_how_they_were_fitted():
    model = RNN(3, "gaussian")
    model.build_from_config({"features": {"inputs": 2, "targets": 2}})
    assert model.generate(1, 2, seed=0).shape == (1, 2, 2)


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    model = RNN(3, "gaussian")
    model.build((None, None, 2))
    path = tmp_path / "model.keras"
    model.save(path)
    before = path.read_bytes()

    def killed(self, store):
        raise KeyboardInterrupt

    monkeypatch.setattr(RNN, "save_own_variables", killed)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_data_that_is_refused_changes_nothing_of_what_a_model_remembers():
    model = make("rnn")
    model.compile("sgd")
    model.lagged = False  # as after a fit on inputs of its own
    with pytest.raises(ValueError, match="nan"):
        model.fit(np.full((2, 5, 3), np.nan), verbose=0)
    assert not model.lagged
    model.fit(np.zeros((2, 5, 3), "float32"), verbose=0)
    assert model.lagged
