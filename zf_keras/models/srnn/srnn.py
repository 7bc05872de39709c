"""SRNN (Fraccaro, Sønderby, Paquet and Winther, NIPS 2016).

d_t    = LSTM(x_t, d_{t-1})                                            deterministic recurrence
a_t    = LSTM_a([d_t, y_t], a_{t+1}), or MLP([d_t, y_t]) (filtering)   inference
p(z_t) = f_p([z_{t-1}, d_t]),  z_0 = 0                                 prior
q(z_t) = f_q([z_{t-1}, a_t]), its mean added to the prior's (res_q)    posterior
p(y_t) = f_o([z_t, d_t])                                               output

loss = sum_t - log p(y_t) + w KL(q(z_t) || p(z_t))
"""

import keras
from keras import ops

from zf_keras.arguments import check_bool
from zf_keras.layers.network import Network
from zf_keras.models.docs import documented
from zf_keras.models.stochastic_rnn import Steps, StochasticRNN, previous
from zf_keras.probability import Gaussian, reparametrized
from zf_keras.recurrence import recurrence, swap_time_and_batch


@documented(layers="Of the recurrence and, with `smoothing`, of the backward LSTM.")
@keras.saving.register_keras_serializable("zf_keras")
class SRNN(StochasticRNN):
    """SRNN: a state-space model on top of a deterministic RNN; its time loop is over z alone.

    Source: Fraccaro et al. 2016, "Sequential Neural Models with Stochastic Layers".

    Args:
        units: int. Size of d_t and of a_t.
        latent_dim: int. Size of z_t.
        {output}
        smoothing: bool. Whether the posterior sees y_t..y_T, through a backward LSTM (smooth), or y_t alone, through
            an MLP (filt). Defaults to `True`.
        residual_posterior: bool. Whether the posterior's mean is the prior's plus f_q's (res_q). Defaults to `True`.
        {shared}

    Example:

    >>> model = SRNN(units=32, latent_dim=4, output="bernoulli")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(np.random.randint(0, 2, size=(8, 5, 3)), verbose=0)
    >>> model.encode(np.zeros((2, 5, 3))).mean.shape
    (2, 5, 4)
    """

    def __init__(self, units, latent_dim, output, smoothing=True, residual_posterior=True, **kwargs):
        super().__init__(units, latent_dim, output, **kwargs)
        self.smoothing = check_bool("smoothing", smoothing)
        self.residual_posterior = check_bool("residual_posterior", residual_posterior)

    @property
    def head_input_dim(self):
        return self.latent_dim + self.units

    def build_networks(self, input_dim, target_dim):
        self.lstm = self.new_stack("lstm", input_dim)
        if self.smoothing:
            self.encoder = self.new_backward_encoder(self.units + target_dim)
        else:
            self.encoder = Network(self.units, self.hidden_units, name="encoder", dtype=self.dtype_policy)
            self.encoder.build((None, None, self.units + target_dim))
        self.prior_network = self.new_gaussian("prior", self.latent_dim + self.units)
        self.posterior = self.new_gaussian("posterior", self.latent_dim + self.units)

    def infer(self, inputs, targets, mask, noise, training):
        d, state = self.lstm(inputs, training=training)
        a = ops.concatenate([d, targets], axis=-1)
        a = self.encoder(a, mask=mask, training=training) if self.smoothing else self.encoder(a)
        # Without the residual the prior is not needed inside the loop.
        networks = [self.posterior] + [self.prior_network] * self.residual_posterior
        weights = [network.inside(self.latent_dim) for network in networks]
        before = [network.before(seen) for network, seen in zip(networks, (a, d), strict=False)]
        z = ops.zeros_like(noise[:, 0])
        last_z, out = recurrence(self.step, weights, z, swap_time_and_batch([noise, *before]))
        z, (posterior, *prior) = swap_time_and_batch(out)
        prior = prior[0] if prior else self.prior_network(ops.concatenate([previous(z), d], axis=-1))
        output = self.head(ops.concatenate([z, d], axis=-1))
        return Steps(output, prior, posterior, z, {}), (state, last_z)

    def step(self, weights, z, inputs):
        """z_{t-1} to z_t. weights, inputs: of the posterior and, with the residual, of the prior."""
        noise, *before = inputs
        posterior, *prior = (network(z, of_network) for network, of_network in zip(weights, before, strict=True))
        if prior:
            posterior = Gaussian(prior[0].mean + posterior.mean, posterior.log_variance)
        z = reparametrized(*posterior, noise)
        return z, (z, [posterior, *prior])

    def initial_state(self, batch_size):
        z = ops.zeros((batch_size, self.latent_dim), dtype=self.compute_dtype)
        return self.lstm.initial_state(batch_size), z

    def make_generate_step(self, draw=reparametrized):
        prior_inside = self.prior_network.inside(self.latent_dim)

        def generate_step(state, x, noise):
            state, z = state
            d, state = self.lstm.step(x, state)
            z = draw(*prior_inside(z, self.prior_network.before(d)), noise)
            return self.head(ops.concatenate([z, d], axis=-1)), (state, z)

        return generate_step
