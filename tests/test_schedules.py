import json

import keras
import numpy as np
import pytest
from keras import ops

from zf_keras import DividedAfter, KLAnnealing


def divided(n, initial, divisor, start, every):
    return initial if n < start else initial * float(divisor) ** -(1 + (n - start) // every)


@pytest.mark.parametrize(
    "arguments",
    [
        {"initial": 1e-3, "divisor": 1.2, "start": 20 * 17, "every": 17},
        {"initial": 0.5, "divisor": 10, "start": 0, "every": 1},
        {"initial": 2.0, "divisor": 1, "start": 3, "every": 2},
        {"initial": 1.0, "divisor": 1.01, "start": 123, "every": 49},
    ],
)
def test_divided_after(arguments):
    schedule = DividedAfter(**arguments)
    start, every = arguments["start"], arguments["every"]
    updates = {0, 1, start, start + 1, 10**3, *(start + k * every + d for k in range(-1, 9) for d in (-1, 0, 1))}
    updates = sorted(n for n in updates if n >= 0)
    expected = [divided(n, **arguments) for n in updates]
    np.testing.assert_allclose([float(schedule(n)) for n in updates], expected, rtol=2e-5, atol=1e-37)
    tensors = ops.convert_to_numpy(schedule(ops.convert_to_tensor(np.array(updates, "int32"))))
    np.testing.assert_allclose(tensors, expected, rtol=2e-5, atol=1e-37)


def test_divided_after_moves_an_optimizer():
    """The rate of an update is that of the number of updates before it."""
    variable = keras.Variable(np.zeros(1, "float32"))
    optimizer = keras.optimizers.SGD(DividedAfter(1.0, 2.0, start=2, every=2))
    optimizer.build([variable])
    moves = []
    for _ in range(7):
        before = float(variable.value[0])
        optimizer.apply([ops.ones(1)])
        moves.append(before - float(variable.value[0]))
    np.testing.assert_allclose(moves, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125], rtol=1e-6)


@pytest.mark.parametrize("schedule", [DividedAfter(1e-3, 1.2, 340, 17), KLAnnealing(0.1, 0.013, 0.7)])
def test_serialized(schedule):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule) and vars(again) == vars(schedule)
    for n in (0, 20, 339, 340, 1000):
        assert float(again(n)) == float(schedule(n))
    optimizer = keras.optimizers.Adam(schedule)
    optimizer = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert float(optimizer.learning_rate) == float(schedule(0))


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        *((DividedAfter, w) for w in ({"initial": 0}, {"initial": float("nan")}, {"divisor": 0.9})),
        *((DividedAfter, w) for w in ({"divisor": float("nan")}, {"start": -1}, {"every": 0})),
        *((KLAnnealing, w) for w in ({"initial": -0.1}, {"initial": 1.1}, {"initial": float("nan")})),
        *((KLAnnealing, w) for w in ({"increment": -1e-3}, {"maximum": 0.1})),
    ],
)
def test_errors(cls, wrong):
    right = {"initial": 0.5, "divisor": 2, "start": 3, "every": 2} if cls is DividedAfter else {}
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=rf"^{cls.__name__} needs .*{name}={value}"):
        cls(**{**right, **wrong})


@pytest.mark.parametrize("arguments", [(), (0.2, 5e-5), (0.0, 0.25, 0.9), (1.0, 0.0)])
def test_kl_annealing(arguments):
    initial, increment, maximum = (*arguments, *(0.2, 5e-5, 1.0)[len(arguments) :])
    updates = [0, 1, 2, 3, 4, 5, 100, 8000, 15_999, 16_000, 16_001, 10**6]
    expected = [min(maximum, initial + increment * n) for n in updates]
    schedule = KLAnnealing(*arguments)
    np.testing.assert_allclose([float(schedule(n)) for n in updates], expected, rtol=1e-6)
