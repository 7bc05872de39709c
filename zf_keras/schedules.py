"""Schedules of the KL weight over training updates."""

import keras
from keras import ops

from zf_keras.arguments import is_number


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
        if not all(map(is_number, (initial, increment, maximum))) or not 0 <= initial <= maximum or increment < 0:
            raise ValueError(
                "KLAnnealing needs finite numbers, 0 <= initial <= maximum and increment >= 0. "
                f"Received: initial={initial}, increment={increment}, maximum={maximum}."
            )
        self.initial = float(initial)
        self.increment = float(increment)
        self.maximum = float(maximum)

    def __call__(self, step):
        return ops.minimum(self.maximum, self.initial + self.increment * ops.cast(step, "float32"))

    def get_config(self):
        return {"initial": self.initial, "increment": self.increment, "maximum": self.maximum}


@keras.saving.register_keras_serializable("zf_keras")
class DividedAfter(keras.optimizers.schedules.LearningRateSchedule):
    """A constant rate that is divided again and again from some update on, as for SRNN on music.

    initial / divisor^k at update n, k = 0 for n < start, else 1 + floor((n - start) / every).

    Args:
        initial: float. The rate at first.
        divisor: float >= 1.
        start: int. The first update with a smaller rate.
        every: int. Updates from one division to the next.

    Example:

    >>> schedule = DividedAfter(1e-3, divisor=1.2, start=20 * 17, every=17)  # 17 updates an epoch, after 20 epochs
    >>> round(float(schedule(20 * 17)), 7)
    0.0008333
    """

    def __init__(self, initial, divisor, start, every):
        numbers = (initial, divisor, start, every)
        if not all(map(is_number, numbers)) or initial <= 0 or divisor < 1 or start < 0 or every < 1:
            raise ValueError(
                "DividedAfter needs finite numbers, initial > 0, divisor >= 1, start >= 0 and every >= 1. "
                f"Received: initial={initial}, divisor={divisor}, start={start}, every={every}."
            )
        self.initial = float(initial)
        self.divisor = float(divisor)
        self.start = float(start)
        self.every = float(every)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        divisions = ops.maximum(0.0, 1.0 + ops.floor((step - self.start) / self.every))
        return self.initial * ops.power(ops.cast(1.0 / self.divisor, "float32"), divisions)

    def get_config(self):
        return {"initial": self.initial, "divisor": self.divisor, "start": self.start, "every": self.every}
