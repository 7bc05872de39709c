"""SRNN (Fraccaro, Sønderby, Paquet and Winther, NIPS 2016).

d_t    = LSTM(x_t, d_{t-1})                                            deterministic recurrence
a_t    = LSTM_a([d_t, y_t], a_{t+1}), or MLP([d_t, y_t]) (filtering)   inference
p(z_t) = f_p([z_{t-1}, d_t]),  z_0 = 0                                 prior
q(z_t) = f_q([z_{t-1}, a_t]), its mean added to the prior's (res_q)    posterior
p(y_t) = f_o([z_t, d_t])                                               output

loss = sum_t - log p(y_t) + w KL(q(z_t) || p(z_t))
"""

from typing import Any, NamedTuple, Unpack

import keras
from keras import ops

from zf_keras.arguments import check_bool
from zf_keras.layers.network import Network, split_gaussian
from zf_keras.loops.parts import Part, draw
from zf_keras.loops.recurrence import recurrence
from zf_keras.loops.scan import swap_time_and_batch
from zf_keras.models.arguments import OfLatent, documented
from zf_keras.models.latent import LatentModel, LatentSteps, previous


class Context(NamedTuple):
    d: Any  # (batch, time, units)
    a: Any  # (batch, time, units)
    last: Any  # the state of the deterministic LSTM after the last step


class ResidualMean(Part):
    """(mu_p + mu, log sigma^2), from (mu_p, ...) and (mu, log sigma^2), each on the last axis."""

    def forward(self, prior, params):
        mean, log_variance = ops.split(params, 2, axis=-1)
        return (ops.concatenate([ops.split(prior, 2, axis=-1)[0] + mean, log_variance], axis=-1),)

    def gradient(self, arguments, results):
        return (), self.back

    def back(self, slopes, d):
        d_mean = ops.split(d, 2, axis=-1)[0]
        return ops.concatenate([d_mean, ops.zeros_like(d_mean)], axis=-1), d


residual_mean = ResidualMean()


@documented(layers="of the recurrence and, with `smoothing`, of the backward LSTM")
@keras.saving.register_keras_serializable("zf_keras")
class SRNN(LatentModel):
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

    def __init__(self, units, latent_dim, output, smoothing=True, residual_posterior=True, **kwargs: Unpack[OfLatent]):
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

    def context(self, x, y, mask, training, state=None):
        d, last = self.lstm(x, state and state[0][0], training=training)
        seen = ops.concatenate([d, y], axis=-1)
        a = self.encoder(seen, mask=mask, training=training) if self.smoothing else self.encoder(seen)
        return Context(d, a, last)

    def step_context(self, context):
        return context.d, context.a

    def prompt_context(self, x, y, mask):
        context = super().prompt_context(x, y, mask)
        return context if mask is None else context._replace(last=self.lstm(x, mask=mask)[1])

    def prompt_state(self, x, context, sequences, noise):
        _, z = super().prompt_state(x, context, sequences, noise)
        return context.last, z  # where d is known, a step leaves the state of its LSTM as it is

    def infer(self, x, context, sequences, noise, training, state=None):
        d, a, last = context
        # Without the residual the prior is not needed inside the loop.
        known = [self.posterior.precomputed(a)] + [self.prior_network.precomputed(d)] * self.residual_posterior
        first = state[1] if state else ops.zeros_like(noise[:, 0])
        weights = self.step_weights("posterior")
        last_z, out = recurrence(self.transition, weights, first, swap_time_and_batch([noise, *known]))
        z, params = swap_time_and_batch(out)
        q, *p = (split_gaussian(each, None) for each in params)
        p = p[0] if p else self.prior_network(ops.concatenate([previous(first, z), d], axis=-1))
        output = self.head(ops.concatenate([z, d], axis=-1))  # p(y_t) = f_o([z_t, d_t])
        return self.latent_steps(sequences, output, p, q, z), (last, last_z)

    def transition(self, weights, z, inputs, latent=None):
        """From z_{t-1} to z_t, drawn from the first network, to whose mean that of a second, the prior, is added.

        weights: the networks inside the loop. inputs: the noise, and what was precomputed for each network.
        """
        noise, *known = inputs
        drawn_from, *p = (network(z, of_network) for network, of_network in zip(weights, known, strict=True))
        if p:
            drawn_from = residual_mean(p[0], drawn_from)
        z = draw(drawn_from, noise) if latent is None else latent
        return z, (z, [drawn_from, *p])

    def initial_state(self, batch_size):
        z = ops.zeros((batch_size, self.latent_dim), dtype=self.compute_dtype)
        return self.lstm.initial_state(batch_size), z

    def step_weights(self, source="prior"):
        prior = self.prior_network.for_loop(self.latent_dim)
        if source == "prior":
            return [prior]
        return [self.posterior.for_loop(self.latent_dim)] + [prior] * self.residual_posterior

    def step(self, weights, state, x, noise, context=None, latent=None):
        state, z_before = state
        if context is None:
            d, state = self.lstm.step(x, state)
            known = [self.prior_network.precomputed(d)]
        else:  # d_t is known, and the state of its LSTM stays where it is
            d, a = context
            known = [self.posterior.precomputed(a)] + [self.prior_network.precomputed(d)] * self.residual_posterior
        z, (_, params) = self.transition(weights, z_before, [noise, *known], latent)
        q, *p = (split_gaussian(each, None) for each in params)
        if context is None:
            p, q = [q], None
        p = p[0] if p else self.prior_network(ops.concatenate([z_before, d], axis=-1))
        return LatentSteps(self.head(ops.concatenate([z, d], axis=-1)), p, q, z, {}), (state, z)
