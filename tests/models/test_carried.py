"""Training on pieces, with states carried on, beside one long sequence."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import NO_CHANCE, make
from tests.support import normal
from zf_keras import RNN, replicas
from zf_keras.datasets import Pieces

CASES = (
    "rnn_options",
    "storn_options",
    "vrnn",
    "srnn_options",
    "srnn_filtering",
    "z_forcing_options",
    "variational_bilstm",
)
if keras.config.backend() == "jax":
    CASES = ("rnn", "srnn", "z_forcing")
STEPS = 3


def pieces_of(x, count):
    """Pieces of one batch of sequences (batch, time, features), as `Pieces` gives them."""
    inputs = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    for k in range(count):
        part = slice(k * STEPS, (k + 1) * STEPS)
        yield {"inputs": inputs[:, part], "targets": x[:, part], "first": np.full(len(x), k == 0)}, part


@pytest.mark.parametrize("name", CASES)
def test_terms_are_those_of_one_long_sequence(name, monkeypatch):
    """What reads backwards begins anew in each piece: the long sequence is given the contexts of the pieces."""
    options = NO_CHANCE.get(name, {})
    whole, carried = make(name, **options), make(name, **options, num_streams=2)
    carried.set_weights([*whole.get_weights(), *carried.get_weights()[len(whole.weights) :]])
    x, noise = normal(2, 9, 3), normal(2, 9, whole.noise_dim, seed=1)
    contexts, context = [], type(carried).context

    def recorded(*args, **kwargs):
        contexts.append(context(*args, **kwargs))
        return contexts[-1]

    monkeypatch.setattr(type(carried), "context", recorded)
    found = [
        carried(piece, training=True, noise=ops.convert_to_tensor(noise[:, part])).terms
        for piece, part in pieces_of(x, 3)
    ]
    joined = keras.tree.map_structure(
        lambda *x: ops.concatenate(x, axis=1) if len(x[0].shape) == 3 else x[-1], *contexts
    )
    expected = whole.steps(whole.sequences(x), ops.convert_to_tensor(noise), joined, True).terms
    for term, values in expected.items():
        np.testing.assert_allclose(
            np.concatenate([np.asarray(each[term]) for each in found], axis=1), values, rtol=1e-5, atol=1e-5
        )
    # From the second piece on the state matters, and a row that is `first` does without.
    again, _ = next(pieces_of(x, 1))
    noise = ops.convert_to_tensor(noise[:, :STEPS])
    first = carried(again | {"first": np.array([True, False])}, training=True, noise=noise).terms["nll"]
    np.testing.assert_allclose(first[0], found[0]["nll"][0], rtol=1e-6)
    assert np.abs(first[1] - found[0]["nll"][1]).max() > 1e-3


def test_segments_carry_the_same_state():
    models = [make("z_forcing", num_streams=2, num_layers=2, segment_length=length) for length in (None, 2)]
    models[1].set_weights(models[0].get_weights())
    x, noise = normal(2, 6, 3), ops.convert_to_tensor(normal(2, 3, 2, seed=1))
    for piece, _ in pieces_of(x, 2):
        terms = [model(piece, training=True, noise=noise).terms for model in models]
        np.testing.assert_allclose(terms[1]["nll"], terms[0]["nll"], rtol=1e-5, atol=1e-6)
    for a, b in zip(*(model.kept.state for model in models), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert np.abs(a).max() > 0


def test_fit_goes_on_from_a_saved_file(tmp_path):
    """The state is in it. Validation and scores are of whole sequences, and leave the state as it is."""
    songs = [normal(time, 3, seed=time) for time in (7, 4, 6)]
    pieces, held_out = Pieces(songs, 2, 3, shuffle=True), normal(5, 4, 3)

    def new():
        model = make("storn", num_streams=2, num_samples=2)
        model.compile(optimizer="sgd")
        return model

    def fit(model, start, stop):
        model.fit(pieces.dataset(start), steps_per_epoch=stop - start, validation_data=held_out, verbose=0)

    whole, stopped = new(), new()
    fit(whole, 0, 2)
    assert whole.kept.state[0].shape == (4, 5)
    fit(stopped, 0, 2)
    state = [np.asarray(each) for each in stopped.kept.state]
    stopped.log_likelihood(held_out, 2, seed=0)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for before, after in zip(state, loaded.kept.state, strict=True):
        np.testing.assert_array_equal(before, after)
    fit(whole, 2, 4)
    fit(loaded, 2, 4)
    for a, b in zip(whole.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.lagged and loaded.generate(1, 3).shape == (1, 3, 3)


def test_pieces_without_streams():
    """A model without `num_streams` begins every piece anew."""
    model = make("rnn")
    x = normal(2, 6, 3)
    for piece, _ in pieces_of(x, 2):
        np.testing.assert_allclose(
            model(piece, training=True).terms["nll"], model(piece, training=False).terms["nll"], rtol=1e-6
        )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (normal(2, 3, 3), "trains on `zf_keras.datasets.Pieces`: dicts with `first`"),
        ({"targets": normal(3, 3, 3), "first": np.ones(3)}, "num_streams=2. Received: 3 rows"),
        ({"targets": normal(2, 3, 3), "first": np.ones(3)}, "`first` must hold 2 times 0 or 1"),
        ({"targets": normal(2, 3, 3), "first": np.array([2, 0])}, "`first` must hold 2 times 0 or 1"),
    ],
)
def test_wrong_data(data, message):
    model = make("rnn", num_streams=2)
    model.compile(optimizer="sgd")
    with pytest.raises(ValueError, match=message):
        model.fit(data, verbose=0)


def test_refused():
    with pytest.raises(ValueError, match="`num_streams` is not for models with `bound='fivo'`"):
        make("vrnn", num_streams=2, bound="fivo", num_samples=2)


def test_one_device_alone(monkeypatch):
    monkeypatch.setattr(replicas, "count", lambda: 2)
    with pytest.raises(ValueError, match=r"`num_streams` is for one device\. Received: num_streams=4 for 2"):
        RNN(3, "gaussian", num_streams=4)


def test_scores_of_pieces_begin_each_anew():
    model = make("rnn")
    pieces = Pieces([normal(7, 3), normal(5, 3, seed=1)], 2, 3)
    expected = [model.log_likelihood({key: x for key, x in piece.items() if key != "first"}) for piece in pieces]
    np.testing.assert_allclose(model.log_likelihood(pieces), np.concatenate(expected), rtol=1e-5)
