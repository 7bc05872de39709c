"""Schedules of the KL weight over training updates."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("zf_keras")
class KLAnnealing(keras.optimizers.schedules.LearningRateSchedule):
    """Linear KL annealing: w_n = min(maximum, initial + increment * n) at update n = 0, 1, ...

    The defaults are those of the released Z-Forcing code on speech. A model's `kl_weight` takes
    any `keras.optimizers.schedules.LearningRateSchedule`.

    Args:
        initial: float. Weight of the first update. Defaults to `0.2`.
        increment: float. Added at each update. Defaults to `5e-5`.
        maximum: float. Where the weight stays. Defaults to `1.0`.

    Example:

    >>> model = ZForcing(units=64, latent_dim=8, output="gaussian", kl_weight=KLAnnealing())
    """

    def __init__(self, initial=0.2, increment=5e-5, maximum=1.0):
        if not 0 <= initial <= maximum or increment < 0:
            raise ValueError(
                "KLAnnealing needs 0 <= initial <= maximum and increment >= 0. "
                f"Received: initial={initial}, increment={increment}, maximum={maximum}."
            )
        self.initial = initial
        self.increment = increment
        self.maximum = maximum

    def __call__(self, step):
        return ops.minimum(self.maximum, self.initial + self.increment * ops.cast(step, "float32"))

    def get_config(self):
        return {"initial": self.initial, "increment": self.increment, "maximum": self.maximum}
