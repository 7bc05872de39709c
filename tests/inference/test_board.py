"""What is drawn during `fit`: read back by TensorBoard's own reader, and without a trace in the training."""

import io
import wave

import keras
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support import normal
from zf_keras import RNN, STORN, TensorBoardSamples, VariationalBiLSTM, diagnostics, pictures
from zf_keras.datasets import Batches
from zf_keras.inference import events

X = normal(6, 4, 2)
RATE = 8000


def audio(sequence):
    return (1000 * sequence[:, 0]).astype("int16"), RATE


def text(sequence):
    return f"*{len(sequence)}*\n<unk> {sequence[0, 0]:.3f}"


def plain(groups):
    """A figure that is drawn at once."""
    return Figure((2, 1))


def fitted(model, *callbacks, x=X, epochs=3):
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    model.fit(x, epochs=epochs, batch_size=3, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model


def read(folder):
    """Tag -> its values, a pair of update and list of strings each."""
    found = EventAccumulator(str(folder / "samples")).Reload()
    return {
        tag: [(event.step, list(event.tensor_proto.string_val)) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }


def drawn(figure):
    return list(events.image("", figure).tensor.string_val)


def test_what_is_written(tmp_path):
    """Sequences of different lengths, whose first frame is given: every second epoch and the last."""
    data = [X[0], X[1, :3], X[2, :2]]
    groups = []

    def figure(shown):
        groups.append(shown)
        return plain(shown)

    callback = TensorBoardSamples(
        tmp_path, data, figure, audio, text, every=2, num_samples=4, length=3, key="inputs", seed=5
    )
    model = fitted(STORN(4, 2, "gaussian", seed=0), callback)
    values = read(tmp_path)
    assert {tag: [step for step, _ in of_tag] for tag, of_tag in values.items()} == {
        name: [4, 6]
        for name in (
            "generated/figure",
            "generated/text",
            "generated/audio",
            "latents/paths",
            "latents/kl_by_dimension",
            "interpolation/figure",
            "interpolation/text",
        )
    }
    real = [X[0, :3], X[1, :3], X[2, :2]]
    prompt = np.stack([X[i, :1] for i in (0, 1, 2, 0)])
    generated = model.generate(4, 3, prompt, seed=5)
    shown, points = groups[-2:]
    for name, expected in {"real": real, "generated": generated}.items():
        for sequence, other in zip(shown[name], expected, strict=True):
            np.testing.assert_array_equal(sequence, other)
    interpolated = model.interpolate(X[:1, :3], X[1:2, :3], seed=5)
    assert list(points) == [f"{a / 10:.1f}" for a in range(11)]
    np.testing.assert_array_equal(np.stack(list(points.values())), interpolated)

    last = {tag: of_tag[-1][1] for tag, of_tag in values.items()}
    width, height, png = last["generated/figure"]
    assert matplotlib.image.imread(io.BytesIO(png)).shape[:2] == (int(height), int(width))
    assert len(last["generated/audio"]) == 2 * 4
    with wave.open(io.BytesIO(last["generated/audio"][6])) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE, 1, 2)
        np.testing.assert_array_equal(np.frombuffer(wav.readframes(9), "<i2"), audio(generated[3])[0])
    cells = [cell.decode() for cell in last["generated/text"]]
    assert len(cells) == 2 * 7 and cells[:2] == ["    real", f"    *3*\n    <unk> {X[0, 0, 0]:.3f}"]
    assert cells[-2:] == ["    generated", "    " + text(generated[3]).replace("\n", "\n    ")]
    batch = Batches(real, 3, key="inputs")[0]
    means = model.encode(batch, seed=5, verbose=0).mean
    assert last["latents/paths"] == drawn(pictures.latent_paths(means, [[1, 1], [1, 1], [1, 0]]))
    divergence = diagnostics.kl(model, batch, seed=5, verbose=0).by_dimension
    active = diagnostics.active_units(model, batch, seed=5, verbose=0).variance > 0.01
    assert last["latents/kl_by_dimension"] == drawn(pictures.kl_by_dimension(divergence, active))


def test_training_is_the_same_to_the_bit(tmp_path):
    """Of a model that draws in training wherever one can."""

    def variables(*callbacks):
        keras.utils.set_random_seed(7)
        model = fitted(VariationalBiLSTM(4, 2, "gaussian", dropout=0.3), *callbacks, epochs=2)
        return [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]

    without = variables()
    drawing = variables(TensorBoardSamples(tmp_path, X, plain, every=1))
    assert len(without) > 30 and read(tmp_path)
    for mine, other in zip(without, drawing, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_the_last_epoch_of_a_fit_that_is_stopped(tmp_path):
    """A model without latents, of tokens."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    tokens = np.arange(12).reshape(3, 4) % 5
    callback = TensorBoardSamples(tmp_path, tokens, text=lambda sequence: str(sequence[:2]), prompt_steps=2)
    fitted(RNN(3, "categorical", num_classes=5), callback, Stop(), x=tokens, epochs=9)
    ((step, cells),) = read(tmp_path)["generated/text"]
    assert step == 2 and cells[-2:] == [b"    generated", b"    [4 0]"]  # the eighth goes on as the second


@pytest.mark.parametrize("built", [True, False])
def test_a_model_of_inputs_of_their_own(tmp_path, built):
    model = RNN(3, "gaussian", seed=0)
    if built:
        model.build({"inputs": (None, None, 1), "targets": (None, None, 2)})
    with pytest.raises(ValueError, match="A model can generate only if its inputs are its targets a step earlier"):
        fitted(model, TensorBoardSamples(tmp_path, X, plain), x={"inputs": X[..., :1], "targets": X})
    assert int(model.optimizer.iterations) == 0 and not any(tmp_path.iterdir())


def fails(sequences):
    raise KeyError("nothing")


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({"figure": fails}, "`figure` failed with KeyError: 'nothing'"),
        ({"figure": pictures.images}, "`figure` failed with ValueError: `length` must give square pictures"),
        ({"figure": lambda groups: None}, "`figure` must return a matplotlib figure. It returned: None"),
        ({"audio": lambda sequence: sequence}, "`audio` must return samples"),
        ({"audio": lambda sequence: (sequence, 8000)}, "`audio` must return samples"),
        ({"audio": lambda sequence: (np.zeros(3, "int16"), 0)}, "`audio` must return samples"),
        ({"text": len}, "`text` must return a str. It returned: 4"),
        ({}, "Give `figure`, `audio` or `text`: RNN has no latents to draw"),
    ],
)
def test_what_can_not_be_drawn_is_an_error_before_the_first_update(tmp_path, functions, message):
    model = RNN(3, "gaussian", seed=0)
    with pytest.raises(ValueError, match=message):
        fitted(model, TensorBoardSamples(tmp_path, X, **functions))
    assert int(model.optimizer.iterations) == 0


def test_what_fails_later_is_a_warning(tmp_path):
    """As a sound of numbers that overflow: the training goes on, and the rest is written."""
    calls = []

    def fails_later(sequence):
        calls.append(1)
        return audio(sequence) if len(calls) <= 6 else fails(sequence)

    model = RNN(3, "gaussian", seed=0)
    model.build((None, None, 2))
    callback = TensorBoardSamples(tmp_path, X, plain, fails_later, num_samples=6)
    with pytest.warns(UserWarning, match="can't draw all of 'generated' at update 4: `audio` failed with KeyError"):
        fitted(model, callback, epochs=2)
    assert int(model.optimizer.iterations) == 4 and read(tmp_path).keys() == {"generated/figure"}


def test_other_models(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match=r"for models of zf_keras\. Received: Sequential"):
        model.fit(X, X[..., :1], verbose=0, callbacks=[TensorBoardSamples(tmp_path, X, plain)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": {"targets": X}}, r"`data` must be an array .* Received: dict"),
        ({"data": []}, "`data` must be an array .* or it is empty"),
        ({"data": X[0, 0]}, r"Received: sequences of the shapes \[\(\)"),
        ({"data": [X[0], X[0, :, :1]]}, r"Received: sequences of the shapes \[\(4, 2\), \(4, 1\)\]"),
        ({"data": np.full((2, 3, 1), np.nan)}, r"`data` must be finite. It holds nan at index \(0, 0\)"),
        ({"figure": "images"}, "`figure` must be a function or None. Received: figure='images'"),
        ({"every": 0}, "`every` must be a positive integer"),
        ({"num_samples": 0}, "`num_samples` must be a positive integer"),
        ({"length": 0}, "`length` must be a positive integer"),
        ({"prompt_steps": -1}, "`prompt_steps` must be an integer >= 0"),
        ({"prompt_steps": 4}, "`prompt_steps` must be less than length=4"),
        ({"data": [X[0], X[1, :1]], "prompt_steps": 2}, "at most the 1 steps of the shortest of `data`"),
        ({"key": "mask"}, "`key` must be one of 'targets', 'inputs'"),
        ({"seed": -1}, "`seed` must be an integer in"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        TensorBoardSamples(tmp_path, **{"data": X, **arguments})
