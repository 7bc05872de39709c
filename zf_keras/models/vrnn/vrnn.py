"""VRNN (Chung, Kastner, Dinh, Goel, Courville and Bengio, NIPS 2015), eq. 5-11.

h_t    = LSTM([phi(x_t), phi_z(z_{t-1})], h_{t-1}),  z_0 = 0      recurrence
q(z_t) = f_q([h_t, phi(y_t)])                                     posterior
p(z_t) = f_p(h_t), or N(0, I) (VRNN-I)                            prior
p(y_t) = f_o([phi_z(z_t), h_t])                                   output

loss = sum_t - log p(y_t) + w KL(q(z_t) || p(z_t))

In the paper the frame y_t is read with z_t at the end of step t: it is x_{t+1}, read with z_t at the start of step t+1.
"""

import keras
from keras import ops

from zf_keras.arguments import check_choice
from zf_keras.cells.split_lstm import SplitLSTMCell, lstm_step
from zf_keras.layers.network import clipped_leaky_relu
from zf_keras.models.docs import documented
from zf_keras.models.stochastic_rnn import Steps, StochasticRNN
from zf_keras.probability import reparametrized
from zf_keras.recurrence import Affine, recurrence, swap_time_and_batch


@documented(layers="The latents live in the first; those above it are deterministic, and the output sees the last.")
@keras.saving.register_keras_serializable("zf_keras")
class VRNN(StochasticRNN):
    """VRNN: the recurrence carries the latent, and the output sees it directly.

    Source: Chung et al. 2015. VRNN-Gauss and VRNN-GMM by `output`, VRNN-I by `prior="standard_normal"`.
    Each feature extractor phi is one hidden layer; phi is one for x and y where they have the same features.

    Args:
        units: int. Size of h_t.
        latent_dim: int. Size of z_t.
        {output}
        prior: `"learned"`, or `"standard_normal"` for N(0, I) (VRNN-I). Defaults to `"learned"`.
        {shared}

    Example:

    >>> model = VRNN(units=32, latent_dim=4, output="gaussian_mixture")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(np.random.normal(size=(8, 5, 3)), verbose=0)
    >>> model.generate(batch_size=2, length=5).shape
    (2, 5, 3)
    """

    def __init__(self, units, latent_dim, output, prior="learned", **kwargs):
        super().__init__(units, latent_dim, output, **kwargs)
        self.prior = check_choice("prior", prior, ("learned", "standard_normal"))

    @property
    def head_input_dim(self):
        return self.hidden_units + self.units

    def build_networks(self, input_dim, target_dim):
        def features(name, dim):
            layer = keras.layers.Dense(self.hidden_units, clipped_leaky_relu, dtype=self.dtype_policy, name=name)
            layer.build((None, None, dim))
            return layer

        self.features_x = features("features_x", input_dim)
        self.features_y = self.features_x if input_dim == target_dim else features("features_y", target_dim)
        self.features_z = features("features_z", self.latent_dim)
        self.cell = SplitLSTMCell(self.units, dtype=self.dtype_policy, name="cell")
        self.cell.build((None, 2 * self.hidden_units))
        self.posterior = self.new_gaussian("posterior", self.units + self.hidden_units)
        self.prior_network = self.new_prior(self.prior, self.units)
        self.build_upper()

    def step_weights(self, latent_network):
        """What the loop multiplies by; `latent_network` is that of posterior or prior."""
        features_z = (ops.cast(w, self.compute_dtype) for w in (self.features_z.kernel, self.features_z.bias))
        return self.cell.inside(self.hidden_units), latent_network.inside(self.units), Affine(*features_z)

    def step(self, weights, state, inputs, draw=reparametrized):
        """(h_{t-1}, c_{t-1}, phi_z(z_{t-1})) to the same of t."""
        gates_inside, latent_network, features_z = weights
        h, c, z_features = state
        gates, before, noise = inputs
        h, c = lstm_step(gates + gates_inside(ops.concatenate([z_features, h], axis=-1)), c)
        latent = latent_network(h, before)
        z = draw(*latent, noise)
        z_features = clipped_leaky_relu(features_z(z))
        return (h, c, z_features), (h, z, z_features, latent)

    def initial_state(self, batch_size):
        state, upper_state = super().initial_state(batch_size)
        z = ops.zeros((batch_size, self.latent_dim), dtype=self.compute_dtype)
        return (*state, self.features_z(z)), upper_state

    def infer(self, inputs, targets, mask, noise, training):
        before_loop = (
            self.cell.before(self.features_x(inputs)),
            self.posterior.before(self.features_y(targets)),
            noise,
        )
        state, _ = self.initial_state(ops.shape(inputs)[0])
        weights = self.step_weights(self.posterior)
        state, out = recurrence(self.step, weights, state, swap_time_and_batch(before_loop))
        h, z, z_features, posterior = swap_time_and_batch(out)
        top, upper_state = self.run_upper(h, training)
        output = self.head(ops.concatenate([z_features, top], axis=-1))
        return Steps(output, self.prior_network(h), posterior, z, {}), (state, upper_state)

    def make_generate_step(self, draw=reparametrized):
        weights = self.step_weights(self.prior_network)

        def generate_step(state, x, noise):
            state, upper_state = state
            inputs = (self.cell.before(self.features_x(x)), None, noise)
            state, (h, _, z_features, _) = self.step(weights, state, inputs, draw)
            top, upper_state = self.upper.step(h, upper_state)
            return self.head(ops.concatenate([z_features, top], axis=-1)), (state, upper_state)

        return generate_step
