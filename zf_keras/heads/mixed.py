"""Frames whose columns are of different kinds."""

import itertools

import keras
from keras import ops

from zf_keras import probability
from zf_keras.arguments import check_size
from zf_keras.heads.head import DistributionHead
from zf_keras.heads.registry import get_head
from zf_keras.probability import float32


@keras.saving.register_keras_serializable("zf_keras")
class MixedHead(DistributionHead):
    """Blocks of columns, each by its own head, independent of each other; parameters are those of the blocks, in order.

    Draws at other temperatures than 1, and `at_scale`, as far as every block has them.

    Args:
        blocks: list of (head, columns): a str or `DistributionHead`, of no tokens, and an int.
        hidden_units: int or `None`. As for every head; the blocks' own are void.

    Example:

    >>> head = MixedHead([("gaussian", 2), ("bernoulli", 1), (TruncatedGaussianHead(high=1), 1)])
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.zeros((2, 5, 4))).shape
    (2, 5)
    """

    def __init__(self, blocks, hidden_units=None, **kwargs):
        if not blocks or any(len(block) != 2 for block in blocks):
            raise ValueError(f"`blocks` must be a list of (head, columns). Received: blocks={blocks!r}.")
        heads = [get_head(head) for head, _ in blocks]
        for head in heads:
            if head.tokens:
                raise ValueError(f"A block must be a head of vectors, not of tokens. Received: {type(head).__name__}.")
        columns = [check_size("columns", count) for _, count in blocks]
        super().__init__(sum(columns), hidden_units, **kwargs)
        self.blocks = [head.with_features(count) for head, count in zip(heads, columns, strict=True)]

    @property
    def params_dim(self):
        return sum(self._sizes("params_dim"))

    @property
    def normal_dim(self):
        return sum(self._sizes("normal_dim"))

    @property
    def uniform_dim(self):
        return sum(self._sizes("uniform_dim"))

    @property
    def tempers(self):
        return all(head.tempers for head in self.blocks)

    @property
    def discrete(self):
        return all(head.discrete for head in self.blocks)

    @property
    def scales(self):
        """The weakest of the blocks."""
        return min((head.scales for head in self.blocks), key=(None, "positive", "affine").index)

    def _sizes(self, of):
        return [getattr(head, of) for head in self.blocks]

    def _split(self, x, of="features"):
        """Each block's part of the last axis, whose size there is its attribute `of`."""
        ends = list(itertools.accumulate(self._sizes(of), initial=0))
        return [x[..., first:end] for first, end in itertools.pairwise(ends)]

    def _joined(self, method, params, *others):
        """What a method of each block gives, of its parameters and further arguments."""
        params = self._split(float32(params), "params_dim")
        parts = zip(self.blocks, params, *others, strict=True)
        return ops.concatenate([getattr(head, method)(*given) for head, *given in parts], axis=-1)

    def distribution(self, params):
        params = self._split(float32(params), "params_dim")
        distributions = [head.distribution(given) for head, given in zip(self.blocks, params, strict=True)]
        return probability.tfd.Blockwise(distributions)

    def check_observed(self):
        for head in self.blocks:
            head.check_observed()

    def log_prob(self, params, values, observed=None):
        given = [self._split(float32(params), "params_dim"), self._split(float32(values))]
        if observed is not None:
            given.append(self._split(observed))
        return sum(head.log_prob(*of_block) for head, *of_block in zip(self.blocks, *given, strict=True))

    def log_prob_by_feature(self, params, values):
        return self._joined("log_prob_by_feature", params, self._split(float32(values)))

    def at_temperature(self, params, temperature):
        if not self.tempers:
            return super().at_temperature(params, temperature)
        return self._joined("at_temperature", params, [temperature] * len(self.blocks))

    def at_scale(self, params, shift, scale):
        return self._joined("at_scale", params, self._by_block(shift), self._by_block(scale))

    def _by_block(self, x):
        shape = getattr(x, "shape", ())
        return self._split(x) if shape and shape[-1] == self.features else [x] * len(self.blocks)

    def draw(self, params, normal, uniform, temperature=1.0):
        noise = self._split(normal, "normal_dim"), self._split(uniform, "uniform_dim")
        return self._joined("draw", self.at_temperature(params, temperature), *noise)

    def mode(self, params):
        return self._joined("mode", params)

    def mean(self, params):
        return self._joined("mean", params)

    def check_values(self, name, values):
        first = 0
        for head, of_block in zip(self.blocks, self._split(values), strict=True):
            end = first + head.features - 1
            try:
                head.check_values(name, of_block)
            except ValueError as error:
                raise ValueError(f"Columns {first} to {end} of a mixed frame: {error}") from None
            first = end + 1

    def with_features(self, features, **kwargs):
        if features != self.features:
            raise ValueError(f"The blocks of a MixedHead have {self.features} columns. Received: features={features}.")
        return type(self).from_config({**self.get_config(), **kwargs})

    def get_config(self):
        config = super().get_config()
        del config["features"]  # those of the blocks
        blocks = [[keras.saving.serialize_keras_object(head), head.features] for head in self.blocks]
        return {**config, "blocks": blocks}

    @classmethod
    def from_config(cls, config):
        blocks = [(keras.saving.deserialize_keras_object(head), columns) for head, columns in config["blocks"]]
        return super().from_config({**config, "blocks": blocks})
