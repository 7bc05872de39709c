"""What frames are divided by as a model reads them, so that it can be fitted and asked in the user's units."""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_choice, check_size, optional
from zf_keras.probability import float32

KINDS = ("standard", "mean_abs")


@keras.saving.register_keras_serializable("zf_keras")
class Scaling(keras.layers.Layer):
    """Shift and scale of each feature: networks read (y - shift) / scale, and the output is put back by both.

    What a model scores, draws and forecasts is in the user's units: the output's parameters are those of shift +
    scale * y, so that its log-density has the Jacobian, -log(scale).

    Args:
        kind: `"standard"`, mean and standard deviation over the data of `model.adapt`, one for all sequences; for outputs
            of counts and of positive numbers the mean absolute value, and no shift. Or `"mean_abs"`, the mean absolute
            value of each sequence's own targets, 1 where all are zero (DeepAR, Salinas et al. 2020, section 3.3);
            its logarithm is read as a covariate. Likelihoods are then given that scale. Defaults to `"standard"`.
        steps: int or `None`. With `"mean_abs"`, so many first steps give the scale, such as the known part of training
            windows. Defaults to `None`, all.

    Example:

    >>> model = RNN(units=8, output="gaussian", scaling=Scaling("mean_abs", steps=24))
    >>> model.build((None, None, 1))
    >>> model.forecast(np.full((1, 30, 1), 5000.0), horizon=6, num_samples=10, seed=0).shape
    (10, 1, 6, 1)
    """

    def __init__(self, kind="standard", steps=None, **kwargs):
        super().__init__(**kwargs)
        self.kind = check_choice("kind", kind, KINDS)
        self.steps = optional(check_size, "steps", steps)
        if steps is not None and kind == "standard":
            raise ValueError(f"`steps` is for kind='mean_abs'. Received: steps={steps}, kind='standard'.")

    @property
    def by_sequence(self):
        """Whether each sequence has a scale of its own."""
        return self.kind == "mean_abs"

    def build(self, input_shape):
        features = input_shape[-1]

        def weight(name, initializer, shape=(features,)):
            return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name, dtype="float32")

        if not self.by_sequence:
            self.shift, self.scale = weight("shift", "zeros"), weight("scale", "ones")
            self.count = weight("count", "zeros", ())

    @property
    def adapted(self):
        """Whether the scale is known: that of each sequence, or of `model.adapt`."""
        return self.by_sequence or bool(self.count > 0)

    def take(self, shift, scale, count):
        """Takes over shift and scale of each feature, of so many values; a scale of zero becomes 1."""
        self.shift.assign(shift)
        self.scale.assign(np.where(np.asarray(scale) > 0, scale, 1.0))
        self.count.assign(count)

    def of_sequences(self, targets, valid):
        """The scale of each sequence, (batch, 1, features); `None` where all have one.

        Args:
            targets: tensor (batch, time, features), finite.
            valid: tensor (batch, time, 1 or features), true where a value counts, or `None` for all.
        """
        if not self.by_sequence:
            return None
        values = ops.abs(float32(targets))
        weights = ops.ones_like(values) if valid is None else float32(valid) * ops.ones_like(values)
        values, weights = values[:, : self.steps], weights[:, : self.steps]
        total, count = ops.sum(weights * values, axis=1, keepdims=True), ops.sum(weights, axis=1, keepdims=True)
        return ops.where(total > 0, total / ops.maximum(count, 1.0), 1.0)

    def shift_and_scale(self, scale=None):
        """Both as tensors that broadcast against frames. scale: of `of_sequences`."""
        if self.by_sequence:
            return ops.zeros_like(scale), scale
        return ops.convert_to_tensor(self.shift), ops.convert_to_tensor(self.scale)

    def call(self, inputs, scale=None):
        """(y - shift) / scale of frames (..., features)."""
        shift, scale = self.shift_and_scale(scale)
        return (float32(inputs) - shift) / scale

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "steps": self.steps}
