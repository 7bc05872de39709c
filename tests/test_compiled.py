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

    @compiled
    def shifted(self, x, by=0):
        return x + self.weight + by


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


@pytest.mark.traced
@pytest.mark.filterwarnings("error")
def test_a_warning_of_many_programs_once_a_model():
    model = Scale()
    for size in range(1, 11):
        model.scaled(ops.ones((2, size)))
    if keras.config.backend() == "tensorflow":  # one program for all sizes
        model.scaled(ops.ones((3, 11)))
        assert len(model.runs) < 4
        return
    model.scaled(ops.zeros((2, 5)))  # as before
    with pytest.warns(UserWarning, match="`scaled` of this Scale 11 times") as warned:
        model.scaled(ops.ones((3, 10)))
    assert "for 2, 3 sequences and 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 steps." in str(warned[0].message)
    for size in range(1, 13):
        model.scaled(ops.ones((2, size)), power=2)
    for size in range(1, 13):
        model.shifted(ops.ones((size,)))
    other = Scale()
    for size in range(1, 11):
        other.shifted(ops.ones((2, size)))
    with pytest.warns(UserWarning, match="for other types|options"):
        other.shifted(ops.ones((2, 1)), by=1)


@pytest.mark.traced
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="about tf.function")
def test_tensorflow_does_not_take_choices_of_constants_for_retracings(caplog, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.get_logger(), "handlers", [caplog.handler])
    model = Scale()
    for power in range(12):
        model.scaled(ops.ones((3,)), power=power)
        Scale().shifted(ops.ones((power + 1,)))
    assert not [record for record in caplog.records if "retracing" in record.getMessage()]
