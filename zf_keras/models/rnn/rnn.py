"""RNN: the deterministic baseline, with an exact likelihood.

h_t    = LSTM(x_t, h_{t-1})
p(y_t) = f_o(h_t)
loss   = - sum_t log p(y_t | h_t)
"""

from typing import Unpack

import keras

from zf_keras.models.arguments import OfAll, documented
from zf_keras.models.base import SequenceModel, Steps


@documented(has_latents=False)
@keras.saving.register_keras_serializable("zf_keras")
class RNN(SequenceModel):
    """Deterministic LSTM with an output distribution: RNN-Gauss, RNN-GMM, and the same for bits and tokens.

    Source: Chung et al. 2015, the baselines of their table 1.

    Args:
        units: int. Size of h_t.
        {output}
        {shared}

    Example:

    >>> model = RNN(units=32, output="bernoulli")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(np.random.randint(0, 2, size=(8, 5, 3)), verbose=0)
    >>> model.log_likelihood(np.zeros((2, 5, 3))).shape
    (2,)
    """

    def __init__(self, units, output, **kwargs: Unpack[OfAll]):
        super().__init__(units, output, **kwargs)

    def build_networks(self, input_dim, target_dim):
        self.lstm = self.new_stack("lstm", input_dim)

    def context(self, x, y, mask, training, state=None):
        return self.lstm(x, state and state[0], training=training)

    def infer(self, x, context, sequences, noise, training, state=None):
        h, state = context
        output = self.head(h)  # p(y_t) = f_o(h_t)
        nll = -self.score(output, sequences.targets, sequences.scale, sequences.observed)
        return Steps(output, {"nll": nll}), state

    def initial_state(self, batch_size):
        return self.lstm.initial_state(batch_size)

    def step(self, weights, state, x, noise, context=None, latent=None):
        h, state = self.lstm.step(x, state)
        return Steps(self.head(h), {}), state

    def encode(self, *args, **kwargs):
        """Raises: an RNN has no latents."""
        raise ValueError("RNN has no latents, and so no `encode` and no `interpolate`.")

    interpolate = encode
