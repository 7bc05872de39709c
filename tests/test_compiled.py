"""Methods that are traced and compiled: once a shape and constant, with the weights of the moment."""

import keras
import numpy as np
import pytest
from keras import ops

from zf_keras.compiled import compiled


class Scale(keras.Model):
    """Multiplies by its one weight; notes each time that Python runs it."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="ones")
        self.built, self.runs = True, []

    @compiled
    def scaled(self, x, power=1, shift=0):
        self.runs.append(power)
        return x * self.weight**power + shift


@pytest.mark.traced
def test_a_trace_for_each_constant_and_the_weights_of_the_moment():
    model, x = Scale(), ops.ones((3,))
    for value in (1.0, 2.0, 5.0):
        model.weight.assign(value)
        np.testing.assert_array_equal(model.scaled(x), 3 * [value])
        np.testing.assert_array_equal(model.scaled(x, power=2), 3 * [value**2])
    assert sorted(model.runs) == [1, 2]
    np.testing.assert_array_equal(model.scaled(x, shift=2), 3 * [5.0 + 2])  # another constant of the same value
    other = Scale()
    np.testing.assert_array_equal(other.scaled(x), 3 * [1.0])


@pytest.mark.traced
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="about tf.function")
def test_inside_a_function_of_the_users_it_is_part_of_that_graph():
    import tensorflow as tf

    model = Scale()
    function = tf.function(lambda x: model.scaled(x), autograph=False).get_concrete_function(tf.ones((2,)))
    assert not [op for op in function.graph.get_operations() if op.type.endswith("PartitionedCall")]
    np.testing.assert_array_equal(function(tf.ones((2,))), [1.0, 1.0])
