"""Callbacks for `fit`: stopping early by the validation ELBO, and a progress bar of one short line."""

import math

import keras
import numpy as np

from zf_keras.arguments import check_bool, check_non_negative, check_positive_int

#: What the progress bar shows of the logs, unless it is told.
SHOWN = ("elbo", "kl", "val_elbo")
COLUMNS, BAR = 80, 10


class Progress(keras.callbacks.ProgbarLogger):
    """The progress bar of `fit` and `evaluate`: a line of 80 columns with a few of the metrics.

    Logs and history have them all.

    Args:
        shown: sequence of str. What of the logs is shown, in this order; what is not in them is left out. Defaults to
            `("elbo", "kl", "val_elbo")`.
    """

    async_safe = True  # as Keras's own, which it stands for

    def __init__(self, shown=SHOWN):
        super().__init__()
        if isinstance(shown, str) or not all(isinstance(name, str) for name in shown):
            raise ValueError(f"`shown` must be names of metrics, such as {SHOWN}. Received: shown={shown!r}.")
        self.shown = tuple(shown)

    def on_train_batch_end(self, batch, logs=None):
        self._show(logs)
        super().on_train_batch_end(batch)

    def on_epoch_end(self, epoch, logs=None):
        self._show(logs)
        super().on_epoch_end(epoch)

    def on_test_batch_end(self, batch, logs=None):
        self._show(logs)
        super().on_test_batch_end(batch)

    def on_test_end(self, logs=None):
        self._show(logs)
        super().on_test_end()

    def _show(self, logs):
        # Keras writes its own values with four decimals, which are too long; so they are part of the word for a step.
        values = "".join(f" - {name}: {short(logs[name])}" for name in self.shown if name in (logs or {}))
        self.progbar.unit_name = "step" + values
        count = f"{self.target or 10**7}"
        rest = len(f"{count}/{count}  9999s 999ms/step{values}")
        self.progbar.width = max(0, min(BAR, COLUMNS - rest))


def short(value):
    """A number with four digits, or with all of those before the point."""
    value = float(value)
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:#.4g}"


class ElboStopping(keras.callbacks.EarlyStopping):
    """Stops `fit` when the validation ELBO no longer rises.

    `val_loss` misleads while the KL weight rises: it rises with the weight, though the model gets better. `val_elbo`
    is the ELBO itself at every epoch, its KL of weight 1. Yet early in annealing it may fall, while a small weight
    lets the KL grow. So epochs in which the weight still changes, or has not come to what it will be at the end of
    this `fit`, don't count for `patience`. Any of them may be the best: their ELBOs compare with those of later epochs.
    Without a schedule (an `RNN`, a constant weight) every epoch counts.

    As with Keras's `EarlyStopping`, each `fit` counts anew. Weights that are restored come with their count of
    updates, so that a further `fit` goes on with the KL weight of that epoch.

    Args:
        patience: int. Epochs without a better validation ELBO after which `fit` stops. Defaults to `10`.
        min_delta: float. Nats a sequence by which it must be better than the best. Defaults to `0.0`.
        restore_best_weights: bool. Whether the weights are at the end those of the best epoch. Defaults to `True`.
        verbose: 0 or 1. Whether to print which epoch was the last, and which the best. Defaults to `0`.

    Example:

    >>> model = ZForcing(units=8, latent_dim=2, output="gaussian", kl_weight=KLAnnealing(0.1, increment=0.1))
    >>> model.compile(optimizer="adam")
    >>> x = np.random.normal(size=(8, 5, 3))
    >>> history = model.fit(x, validation_data=x, epochs=4, verbose=0, callbacks=[ElboStopping(patience=3)])
    """

    #: `fit` says at once that it has no validation data.
    needs_validation = True

    def __init__(self, patience=10, min_delta=0.0, restore_best_weights=True, verbose=0):
        if verbose not in (0, 1):
            raise ValueError(f"`verbose` must be one of 0, 1. Received: verbose={verbose!r}.")
        super().__init__(
            monitor="val_elbo",
            mode="max",
            patience=check_positive_int("patience", patience),
            min_delta=check_non_negative("min_delta", min_delta),
            restore_best_weights=check_bool("restore_best_weights", restore_best_weights),
            verbose=verbose,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = self._updates()

    def on_epoch_end(self, epoch, logs=None):
        if self._annealing(epoch):
            self.wait -= 1  # Keras adds one
        super().on_epoch_end(epoch, logs)

    def get_monitor_value(self, logs):
        """`None` of an epoch without validation (`validation_freq`); NaN is worse than anything."""
        value = (logs or {}).get(self.monitor)
        return -math.inf if value is not None and math.isnan(value) else value

    def _updates(self):
        return int(getattr(self.model, "updates", 0))

    def _annealing(self, epoch):
        """Whether a weight of the loss changed in an epoch, or will have by the end of `fit`."""
        now = self._updates()
        last = now + (self.params["epochs"] - 1 - epoch) * (now - self.begun)
        schedules = [
            weight
            for weight in self.model.loss_weights.values()
            if isinstance(weight, keras.optimizers.schedules.LearningRateSchedule)
        ]
        begun, now, last = ([float(s(updates)) for s in schedules] for updates in (self.begun, now, last))
        return not (np.allclose(begun, now, rtol=1e-3) and np.allclose(last, now, rtol=1e-3))
