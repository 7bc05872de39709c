"""Loops that XLA compiles on TensorFlow."""

import keras
import numpy as np
import pytest

from tests.support import normal
from tests.test_recurrence import SHAPES, STEPS, run
from zf_keras.loops import xla
from zf_keras.loops.recurrence import recurrence

tf = pytest.importorskip("tensorflow")


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="JAX compiles everything by XLA")
@pytest.mark.parametrize("name", ["several", "latent", "lstm"])
def test_by_xla_on_tensorflow(name, monkeypatch):
    """The same, of any length and batch: what `fit` traces has neither."""
    shapes = {name: (shape, i) for i, (name, shape) in enumerate(SHAPES.items())}
    variables = {name: tf.constant(0.3 * normal(*shape, seed=i)) for name, (shape, i) in shapes.items()}
    x, noise = tf.constant(normal(6, 3, 4)), tf.constant(normal(6, 3, 2))

    def value_and_gradients(x, noise):
        with tf.GradientTape() as tape:
            tape.watch([variables, x, noise])
            leaves = keras.tree.flatten(run(STEPS[name], variables | {"x": x, "noise": noise}, recurrence))
            loss = sum(tf.reduce_sum(tf.sin(leaf)) for leaf in leaves)
        return loss, tape.gradient(loss, [*variables.values(), x, noise], unconnected_gradients="zero")

    specs = [tf.TensorSpec((None, None, size)) for size in (4, 2)]

    def traced():
        graph = tf.function(value_and_gradients, autograph=False).get_concrete_function(*specs)
        return tf.nest.flatten(graph(x, noise)), str(graph.graph.as_graph_def()).count("_XlaMustCompile")

    expected, count = traced()
    assert count == 0  # so few units are not worth it
    monkeypatch.setattr(xla, "UNITS", range(1, 9))
    with xla.portable():
        assert traced()[1] == 0
    found, count = traced()
    assert count > 0
    for actual, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-4, atol=1e-5)
