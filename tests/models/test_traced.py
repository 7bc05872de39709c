"""Traced and compiled, as users run them, the models give what they give eagerly, as most tests run them."""

import keras
import numpy as np
import pytest

from tests.models.table import make
from tests.support import padded_batch

TENSORFLOW = keras.config.backend() == "tensorflow"


def results(name, output):
    """What a model answers, and its weights after two updates."""
    model, data = make(name, output), padded_batch(output)
    prompt = data["targets"][:, :2]
    found = {
        "log_likelihood": model.log_likelihood(data, num_samples=2, seed=1, verbose=0),
        "generate": model.generate(2, 4, seed=1),
        "forecast": np.asarray(model.generate(3, 4, prompt=prompt, temperature=0.7, seed=1)),
    }
    if model.noise_dim:
        found |= model.encode(data, seed=1, verbose=0)._asdict()
    model.seed_generator.state.assign(np.zeros(2))
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    logs = model.fit(data, epochs=2, shuffle=False, validation_data=data, verbose=0).history
    return {**found, **logs, **{w.path: np.asarray(w) for w in model.trainable_weights}}


@pytest.mark.skipif(not TENSORFLOW, reason="on JAX every test is of compiled functions")
@pytest.mark.traced
# The others are trained traced in test_training.py and zoo/test_resume.py.
@pytest.mark.parametrize(
    ("name", "output"), [("srnn", "gaussian"), ("z_forcing", "bernoulli"), ("variational_bilstm", "gaussian")]
)
def test_traced_equals_eager(name, output):
    import tensorflow as tf

    traced = results(name, output)
    tf.config.run_functions_eagerly(True)
    try:
        eager = results(name, output)
    finally:
        tf.config.run_functions_eagerly(False)
    assert [key.partition("/")[2] for key in traced] == [key.partition("/")[2] for key in eager]
    for (key, a), b in zip(traced.items(), eager.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=key)
