"""Arrays and dicts to inputs, targets and mask."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.support import normal
from zf_keras.data.sequences import is_arrays, is_concrete, native, sequences_of


def values(sequences):
    return tuple(None if x is None else ops.convert_to_numpy(x) for x in sequences[:3])


def test_inputs_are_the_targets_a_step_earlier():
    x = normal(2, 4, 3)
    inputs, targets, mask = values(sequences_of(x))
    np.testing.assert_array_equal(targets, x)
    np.testing.assert_array_equal(inputs[:, 1:], x[:, :-1])
    assert not inputs[:, 0].any() and mask is None
    for a, b in zip(values(sequences_of({"targets": x, "mask": None})), (inputs, targets, None), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tokens_begin_with_the_start_token():
    x = np.array([[4, 2, 6], [1, 1, 3]])
    inputs, targets, _ = values(sequences_of(x, start=5))
    np.testing.assert_array_equal(targets, x)
    np.testing.assert_array_equal(inputs, [[5, 4, 2], [5, 1, 1]])


def test_inputs_alone_give_their_first_frame():
    x, mask = normal(2, 4, 3), np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    inputs, targets, valid = values(sequences_of({"inputs": x, "mask": mask}))
    np.testing.assert_array_equal(valid, [[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(targets[0], x[0, 1:])
    np.testing.assert_array_equal(inputs[0], x[0, :-1])
    np.testing.assert_array_equal(targets[1], [x[1, 1], x[1, 2], [0, 0, 0]])


def test_what_is_given_is_kept():
    x, y = normal(2, 4, 3), normal(2, 4, 5, seed=1)
    for a, b in zip(values(sequences_of({"inputs": x, "targets": y})), (x, y, None), strict=True):
        np.testing.assert_array_equal(a, b)


def test_whatever_stands_in_the_padding_becomes_zero():
    x, mask = normal(2, 4, 3), np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)
    x[1, 2:] = np.nan
    inputs, targets, _ = values(sequences_of({"targets": x, "mask": mask}))
    assert not targets[1, 2:].any() and not inputs[1, 2:].any()
    np.testing.assert_array_equal(inputs[1, 1], x[1, 0])
    tokens, _, _ = values(sequences_of({"targets": np.array([[3, 9, 99]]), "mask": [[True, True, False]]}))
    np.testing.assert_array_equal(tokens, [[0, 3, 0]])


def test_kinds_of_data():
    x = normal(2, 4, 3)
    assert is_arrays(x) and is_arrays({"targets": x}) and is_arrays(ops.convert_to_tensor(x))
    assert not is_arrays([x]) and not is_arrays(iter([x]))
    assert is_concrete({"targets": x, "mask": ops.ones((2, 4))}) and not is_concrete(keras.KerasTensor((2, 4, 3)))


def test_a_symbolic_tensor_is_not_concrete():
    if keras.config.backend() == "jax":
        import jax

        seen = []
        jax.jit(lambda x: seen.append(is_concrete(x)))(normal(2))
        assert seen == [False]
    else:
        import tensorflow as tf

        with tf.Graph().as_default():
            assert not is_concrete({"targets": tf.raw_ops.Placeholder(dtype=tf.float32)})


@pytest.mark.parametrize("order", ["<f4", ">f4"])
def test_the_machines_byte_order(order):
    x = normal(2, 4, 3).astype(order)
    for y in (native(x), native({"targets": x, "mask": None})["targets"], native(x.tolist())):
        assert y.dtype.isnative
        np.testing.assert_array_equal(y, x)
