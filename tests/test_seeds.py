"""A model's seed: its weights and its noise, whatever else is drawn, and from however many threads."""

import random
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from tests.models.table import sequences
from zf_keras import RNN, SRNN, STORN, BackwardEncoder, GaussianHead, VariationalBiLSTM, ZForcing
from zf_keras.seeds import SeedGenerator

MODELS = {
    "rnn": lambda seed: RNN(3, "gaussian", num_layers=2, seed=seed),
    "z_forcing": lambda seed: ZForcing(3, 2, "gaussian", embedding_dim=4, seed=seed),
    "bag_of_words": lambda seed: STORN(3, 2, "categorical", num_classes=5, bag_of_words=1.0, seed=seed),
    "variational_bilstm": lambda seed: VariationalBiLSTM(3, 2, "gaussian", seed=seed),
}


def weights(name, seed):
    model = MODELS[name](seed)
    model.build((None, None) if model.tokens else (None, None, 3))
    return {w.path.split("/", 1)[1]: np.array(w.value) for w in model.trainable_weights}


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_gives_the_weights(name):
    first, again, other = weights(name, 0), weights(name, np.int64(0)), weights(name, 1)
    drawn = [path for path in first if not path.endswith("bias")]
    assert drawn
    for path, value in first.items():
        np.testing.assert_array_equal(again[path], value, err_msg=path)
    for path in drawn:
        assert not np.array_equal(other[path], first[path]), path
    # No two weights of one shape are the same draw.
    values = [first[path] for path in drawn]
    for i, value in enumerate(values):
        assert not any(np.array_equal(value, before) for before in values[:i])


def test_global_random_numbers_go_on_as_without_a_model():
    keras.utils.set_random_seed(5)
    expected = random.random(), keras.random.normal((2,)), np.random.random()
    keras.utils.set_random_seed(5)
    weights("rnn", 0)
    got = random.random(), keras.random.normal((2,)), np.random.random()
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_a_seed_weights_are_of_the_global_one():
    keras.utils.set_random_seed(5)
    first, second = weights("rnn", None), weights("rnn", None)
    keras.utils.set_random_seed(5)
    again = weights("rnn", None)
    path = "lstm/layer_0/lstm_cell/kernel"
    np.testing.assert_array_equal(again[path], first[path])
    assert not np.array_equal(second[path], first[path])


@pytest.mark.parametrize(("draw", "count"), [("generate", 5), ("log_likelihood", 5), ("numbers", 25)])
def test_threads_draw_apart(draw, count):
    """Unseeded draws of eight threads are all different."""
    model = STORN(2, 1, "gaussian", seed=0)
    model.build((None, None, 1))
    x = np.zeros((1, 2, 1), "float32")
    calls = {
        "generate": lambda: model.generate(1, 2).tobytes(),
        "log_likelihood": lambda: model.log_likelihood(x, verbose=0).tobytes(),
        "numbers": lambda: np.array(keras.random.normal((2,), seed=model.seed_generator)).tobytes(),
    }
    calls[draw]()  # traced by one
    with ThreadPoolExecutor(8) as threads:
        drawn = threads.map(lambda _: [calls[draw]() for _ in range(count)], range(8))
    assert len({value for values in drawn for value in values}) == 8 * count


@pytest.mark.parametrize("seed", [-1, True, 2**31, 1.5, "0"])
def test_wrong_seeds(seed):
    model, x = SRNN(2, 1, "gaussian"), sequences(count=2, time=2)
    model.build(x.shape)
    calls = (
        lambda: RNN(2, "gaussian", seed=seed),
        lambda: model.generate(1, 2, seed=seed),
        lambda: model.forecast(x, 1, 1, seed=seed),
        lambda: model.log_likelihood(x, seed=seed),
        lambda: model.encode(x, seed=seed),
        lambda: model.interpolate(x, x, seed=seed),
        lambda: GaussianHead(1).sample(np.zeros((1, 2), "float32"), seed),
        lambda: BackwardEncoder(2, seed=seed),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"`seed` must be an integer in \[0, 2\*\*31\)"):
            call()


def test_numpy_seeds():
    model = RNN(2, "gaussian", seed=np.int64(3))
    assert type(model.seed) is int and model.seed == 3
    model.build((None, None, 1))
    np.testing.assert_array_equal(model.generate(1, 2, seed=np.uint8(3)), model.generate(1, 2, seed=3))
    assert SeedGenerator.of(model.seed_generator) is model.seed_generator
