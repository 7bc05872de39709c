"""VRNN (Chung, Kastner, Dinh, Goel, Courville and Bengio, NIPS 2015), eq. 5-11.

h_t    = LSTM([phi(x_t), phi_z(z_{t-1})], h_{t-1}),  z_0 = 0      recurrence
q(z_t) = f_q([h_t, phi(y_t)])                                     posterior
p(z_t) = f_p(h_t), or N(0, I) (VRNN-I)                            prior
p(y_t) = f_o([phi_z(z_t), h_t])                                   output

loss = sum_t - log p(y_t) + w KL(q(z_t) || p(z_t))

In the paper the frame y_t is read with z_t at the end of step t: it is x_{t+1}, read with z_t at the start of step t+1.
"""

from typing import Unpack

import keras
from keras import ops

from zf_keras.activations import clipped_leaky_relu
from zf_keras.arguments import check_choice
from zf_keras.cells.split_lstm import SplitLSTMCell
from zf_keras.layers.network import split_gaussian
from zf_keras.loops.parts import Affine, draw, gated, leaky
from zf_keras.loops.recurrence import recurrence
from zf_keras.loops.scan import swap_time_and_batch
from zf_keras.models.arguments import OfLatent, documented
from zf_keras.models.latent import LatentModel, LatentSteps


@documented(
    layers="of the recurrence; the first has the latents, those above are deterministic, and the output reads the last"
)
@keras.saving.register_keras_serializable("zf_keras")
class VRNN(LatentModel):
    """VRNN: the recurrence carries the latent, and the output sees it directly.

    Source: Chung et al. 2015. VRNN-Gauss and VRNN-GMM by `output`, VRNN-I by `prior="standard_normal"`.
    Each feature extractor phi is one hidden layer; x and y share one if they have the same features.

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

    def __init__(self, units, latent_dim, output, prior="learned", **kwargs: Unpack[OfLatent]):
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

    def context(self, x, y, mask, training, state=None):
        return self.features_y(y)

    def infer(self, x, context, sequences, noise, training, state=None):
        state, upper_state = state or self.initial_state(ops.shape(x)[0])
        x, context, noise = swap_time_and_batch((x, context, noise))
        known = (self.cell.precomputed_gates(self.features_x(x)), self.posterior.precomputed(context), noise)
        state, out = recurrence(self.transition, self.step_weights("posterior"), state, known)
        h, z, features_z, q = swap_time_and_batch(out)
        q = split_gaussian(q, None)
        p = self.prior_network(h)  # p(z_t) = f_p(h_t)
        top, upper_state = self.run_upper(h, training, upper_state)
        output = self.head(ops.concatenate([features_z, top], axis=-1))  # p(y_t) = f_o([phi_z(z_t), h_t])
        return self.latent_steps(sequences, output, p, q, z), (state, upper_state)

    def transition(self, weights, state, inputs, latent=None):
        """From (h_{t-1}, c_{t-1}, phi_z(z_{t-1})) to the same at t; z_t is drawn from the network of `weights`."""
        loop_gates, network, features_of = weights
        h, c, features_z = state
        gates, known, noise = inputs
        h, c, _ = gated(gates + loop_gates(features_z, h), c)
        drawn_from = network(h, known)
        z = draw(drawn_from, noise) if latent is None else latent
        features_z = leaky(features_of(z))
        return (h, c, features_z), (h, z, features_z, drawn_from)

    def initial_state(self, batch_size):
        state, upper_state = super().initial_state(batch_size)
        z = ops.zeros((batch_size, self.latent_dim), dtype=self.compute_dtype)
        return (*state, self.features_z(z)), upper_state

    def step_weights(self, source="prior"):
        network = self.prior_network if source == "prior" else self.posterior
        features_z = (ops.cast(w, self.compute_dtype) for w in (self.features_z.kernel, self.features_z.bias))
        return self.cell.loop_gates(self.hidden_units), network.for_loop(self.units), Affine(*features_z)

    def step(self, weights, state, x, noise, context=None, latent=None):
        state, upper_state = state
        known = None if context is None else self.posterior.precomputed(context)
        inputs = (self.cell.precomputed_gates(self.features_x(x)), known, noise)
        state, (h, z, features_z, drawn_from) = self.transition(weights, state, inputs, latent)
        drawn_from = split_gaussian(drawn_from, None)
        p, q = (drawn_from, None) if context is None else (self.prior_network(h), drawn_from)
        top, upper_state = self.upper.step(h, upper_state)
        output = self.head(ops.concatenate([features_z, top], axis=-1))
        return LatentSteps(output, p, q, z, {}), (state, upper_state)
