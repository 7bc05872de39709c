"""A model of twenty lines gets everything that models share, with nothing changed but what it defines."""

import keras
import numpy as np
from keras import ops

from tests.models.table import sequences
from tests.support import set_random_weights
from zf_keras.models.latent import LatentModel, LatentSteps
from zf_keras.probability import reparametrized, standard_normal


@keras.saving.register_keras_serializable("tests")
class Toy(LatentModel):
    """z_t ~ N(0, I) and y_t ~ f_o([x_t, z_t]), no state at all; the posterior sees y_t."""

    head_input_dim = property(lambda self: self.latent_dim + self.features["targets"])

    def build_networks(self, input_dim, target_dim):
        self.posterior = self.new_gaussian("posterior", target_dim)

    def context(self, x, y, mask, training):
        return self.posterior(y)

    def infer(self, x, context, sequences, noise, training):
        z = reparametrized(*context, noise)
        output = self.head(ops.concatenate([x, z], -1))
        return self.latent_steps(sequences, output, standard_normal(z), context, z), ()

    def initial_state(self, batch_size):
        return ()

    def step(self, weights, state, x, noise, context=None, latent=None):
        z = noise if latent is None else latent
        return LatentSteps(self.head(ops.concatenate([x, z], -1)), standard_normal(z), None, z, {}), state


def test_a_toy_model(tmp_path):
    x = sequences(count=40, time=4)
    model = Toy(8, 2, "gaussian", num_samples=2, seed=0)
    model.build(x.shape)
    set_random_weights(model)
    bounds = [model.log_likelihood(x, num_samples=k, seed=0, batch_size=1000, verbose=0).mean() for k in (1, 100)]
    assert bounds[1] > bounds[0] + 0.1
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    losses = model.fit(x, validation_data=x, epochs=20, verbose=0).history["val_elbo"]
    assert losses[-1] > losses[0] + 0.5
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss", "elbo", "nll", "kl", "kl_weight"}
    assert model.generate(3, 6, prompt=x[:3]).shape == (3, 6, 3)
    assert model.forecast(x, horizon=2, num_samples=5).shape == (5, 40, 2, 3)
    assert model.encode(x).mean.shape == (40, 4, 2)
    assert model.interpolate(x[:1], x[1:2]).shape == (11, 1, 4, 3)
    model.save(tmp_path / "toy.keras")
    restored = keras.saving.load_model(tmp_path / "toy.keras")
    np.testing.assert_allclose(restored.log_likelihood(x, 3, seed=0), model.log_likelihood(x, 3, seed=0), rtol=1e-6)
