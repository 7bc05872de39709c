"""STORN (Bayer and Osendorp 2014), with LSTMs.

r_t    = LSTM_r(y_t, r_{t-1})                 recognition, forward
q(z_t) = f_q(r_t)                             posterior
p(z_t) = N(0, I)                              prior
h_t    = LSTM([x_t, z_t], h_{t-1})            recurrence
p(y_t) = f_o(h_t)                             output

loss = sum_t - log p(y_t) + w KL(q(z_t) || p(z_t))
"""

from typing import Any, NamedTuple, Unpack

import keras
from keras import ops

from zf_keras.models.arguments import OfLatent, documented
from zf_keras.models.latent import LatentModel, LatentSteps
from zf_keras.probability import reparametrized, standard_normal


class Context(NamedTuple):
    r: Any  # (batch, time, units)
    last: Any  # the state of the recognition LSTM after the last step


@documented(layers="of the recognition network and of the recurrence")
@keras.saving.register_keras_serializable("zf_keras")
class STORN(LatentModel):
    """STORN: an RNN that reads white noise beside its inputs, and a second RNN that infers the noise.

    z_t does not depend on earlier latents, so the only time loops are those of the LSTMs.
    Source: Bayer and Osendorp 2014, "Learning Stochastic Recurrent Networks", with LSTMs instead of plain
    recurrent layers.

    Args:
        units: int. Size of h_t and of r_t.
        latent_dim: int. Size of z_t.
        {output}
        {shared}

    Example:

    >>> model = STORN(units=32, latent_dim=4, output="bernoulli")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(np.random.randint(0, 2, size=(8, 5, 3)), verbose=0)
    >>> model.generate(batch_size=2, length=5).shape
    (2, 5, 3)
    """

    def __init__(self, units, latent_dim, output, **kwargs: Unpack[OfLatent]):
        super().__init__(units, latent_dim, output, **kwargs)

    def build_networks(self, input_dim, target_dim):
        self.recognition = self.new_stack("recognition", target_dim)
        self.posterior = self.new_gaussian("posterior", self.units)
        self.lstm = self.new_stack("lstm", input_dim + self.latent_dim)

    def context(self, x, y, mask, training, state=None):
        return Context(*self.recognition(y, state and state[1], training=training))

    def step_context(self, context):
        return context.r

    def infer(self, x, context, sequences, noise, training, state=None):
        q, p, z = self.latent_of(noise, context.r)
        h, state = self.lstm(ops.concatenate([x, z], axis=-1), state, training=training)
        output = self.head(h)  # p(y_t) = f_o(h_t)
        return self.latent_steps(sequences, output, p, q, z), state

    def latent_of(self, noise, context=None, latent=None):
        """q(z_t) = f_q(r_t), where r_t is known, p(z_t) = N(0, I), and z_t: of one or all steps."""
        p = standard_normal(noise)
        q = None if context is None else self.posterior(context)
        return q, p, reparametrized(*(q or p), noise) if latent is None else latent

    def initial_state(self, batch_size):
        return self.lstm.initial_state(batch_size)

    def initial_context_state(self, batch_size):
        return self.recognition.initial_state(batch_size)

    def context_state(self, context):
        return context.last

    def step(self, weights, state, x, noise, context=None, latent=None):
        q, p, z = self.latent_of(noise, context, latent)
        h, state = self.lstm.step(ops.concatenate([x, z], axis=-1), state)
        return LatentSteps(self.head(h), p, q, z, {}), state
