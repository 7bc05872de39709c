"""Trains a run: from where it is to its end, with every update checked and every epoch kept."""

import contextlib
import logging
import math
import shutil
import time

import filelock
import keras
import numpy as np

from zf_keras import TensorBoardSamples
from zf_keras.data import shards
from zf_keras.data.batches import lengths_of
from zf_keras.files import disk_full, no_space, whole_file
from zoo.copies import OfCopy
from zoo.devices import Devices
from zoo.generation import prompt_steps_of
from zoo.runs import BEST, LAST, LOG, NonFiniteError, RunError

EVENTS = "tensorboard"


def train(run, verbose="auto", until=None, samples=True, devices=None):
    """Trains a run to its end, from where it is.

    Args:
        run: `Run`.
        verbose: as for `fit`.
        until: int or `None`. Epochs after which it stops, to be gone on with. Defaults to `None`, those of the recipe.
        samples: bool. Whether to draw samples for TensorBoard, as often as the recipe says. Defaults to `True`.
        devices: `Devices`. What trains it; only the first process writes. Defaults to `None`, one device.

    Raises:
        RunError: it is being trained by another process, its data is not there, or an update was not finite.
        OSError: the disk is full.
    """
    devices = devices or Devices()
    try:
        with filelock.FileLock(run.path("lock"), timeout=0) if devices.first else contextlib.nullcontext():
            log = _logger(run.path(LOG), devices)
            try:
                _train(run, log, verbose, until or run.training["epochs"], samples, devices)
            except BaseException as error:
                log.error("Stopped: %s", str(error) or type(error).__name__)
                if disk_full(error) and not isinstance(error, OSError):  # of TensorFlow
                    raise no_space(run.directory) from error
                raise
            finally:
                for handler in log.handlers:
                    handler.close()
    except filelock.Timeout as error:
        raise RunError(f"{run.directory} is being trained by another process.") from error


def _train(run, log, verbose, epochs, samples, devices):
    events = run.path(EVENTS)
    if events.exists() and not events.is_dir():
        raise RunError(f"{events} must be a folder, for TensorBoard's events: move the file away.")
    data = run.load_data()
    batches, valid = run.batches(data.train, training=True, devices=devices), run.batches(data.valid, devices=devices)
    steps = run.steps_per_epoch(batches)
    last = run.path(LAST)
    devices.agree({"run": run.environment.get("id"), LAST: shards.checksum(last) if last.exists() else None})
    with devices.scope():
        model, epoch = run.last_model(data, steps)
    rows = run.rows()[:epoch]
    state = Epochs(run, steps, rows, log, _last_kl_weight(model, epochs * steps), devices)
    devices.agree()  # all have read before one writes
    if devices.first and epoch:
        _mend(run, state, epoch)
    if epoch >= epochs or state.waited_enough():
        log.info("Trained for %d epochs: complete.", epoch)
        return
    begun = "Goes on" if epoch else "Begins"
    on = keras.config.backend() + (f", {devices}" if devices.replicas > 1 else "")
    log.info("%s after %d epochs of %d updates, on %s", begun, epoch, steps, on)
    try:
        with devices.fitting():
            model.fit(
                devices.stream(model, batches, training=True, start=epoch * steps),
                steps_per_epoch=steps,
                initial_epoch=epoch,
                epochs=epochs,
                validation_data=devices.stream(model, valid),
                validation_steps=len(valid),
                callbacks=[state, *(_samples(run, data, model, devices) if samples and devices.first else ())],
                shuffle=False,  # the batches are
                verbose=verbose if devices.first else 0,
            )
    except NonFiniteError as error:
        raise _diagnosed(run, data, run.batches(data.train, training=True), steps, error) from error
    log.info("Trained for %d epochs: complete. Best was epoch %d.", len(state.rows), state.best_epoch)


def _mend(run, state, epoch):
    """What a run needs that was stopped between two of its files. epoch: that of its last model."""
    run.write_rows(state.rows)  # without those of epochs whose model was not written
    if state.best_epoch == epoch:
        _copy(run.path(LAST), run.path(BEST))
    elif not run.path(BEST).exists():
        raise RunError(
            f"{run.path(BEST)}, of epoch {state.best_epoch}, is gone and can't be made again. To go on, copy {LAST} "
            "in its place."
        )
    else:
        run.epochs_of(BEST)  # checks that it is this run's


class Epochs(keras.callbacks.Callback):
    """Rows, checkpoints, early stopping, and the check that every update is finite.

    kl_weight: what the weight of the KL comes to by the end. Epochs in which it still rises are not counted for the
    patience: early in annealing the ELBO may fall (see `zf_keras.ElboStopping`). devices: `Devices`, of
    which the first process writes.
    """

    def __init__(self, run, steps, rows, log, kl_weight, devices):
        super().__init__()
        self.run = run
        self.steps = steps
        self.rows = rows
        self.log = log
        self.kl_weight = kl_weight
        self.devices = devices
        self.patience = run.training["patience"]
        self.summaries = None

    @property
    def best_epoch(self):
        """Number, from 1, of the epoch with the best validation ELBO: the first such."""
        return 1 + int(np.argmax([row["val_elbo"] for row in self.rows]))

    def waited_enough(self):
        if not self.patience or not self.rows:
            return False
        return sum(map(self._settled, self.rows[self.best_epoch :])) >= self.patience

    def _settled(self, row):
        """Whether the weight of the KL was in an epoch what it is at the end."""
        weights = [row.get(name, self.kl_weight) for name in ("kl_weight", "val_kl_weight")]
        return bool(np.allclose(weights, self.kl_weight, rtol=1e-3))

    def on_train_begin(self, logs=None):
        if not self.devices.first:
            return
        from tensorboard.summary import Writer

        self.summaries = Writer(str(self.run.path(EVENTS)))

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        # The metrics are means over the epoch so far: of one that is not finite they stay so.
        if not math.isfinite(logs["loss"]):
            raise NonFiniteError(self.epoch * self.steps + batch)

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.start
        if not _finite(self.model):
            raise NonFiniteError((epoch + 1) * self.steps - 1)
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        for name, value in row.items():
            if not math.isfinite(value):
                raise RunError(f"Validation after epoch {epoch + 1}: {name} is {value}. {_advice(self.run)}")
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["updates"] = (epoch + 1) * self.steps
        self.rows.append(row)
        if self.devices.first:
            with self.devices.one():
                self._write(row, epoch, seconds)
        if self.waited_enough():
            self.log.info("No better validation ELBO for %d epochs.", self.patience)
            self.model.stop_training = True

    def _write(self, row, epoch, seconds):
        self.run.write_rows(self.rows)
        self.run.save_model(self.model, epoch + 1)
        if self.best_epoch == epoch + 1:
            _copy(self.run.path(LAST), self.run.path(BEST))
        for name, value in row.items():
            if name not in ("epoch", "updates"):
                self.summaries.add_scalar(name, value, (epoch + 1) * self.steps)
        self.summaries.add_scalar("seconds", seconds, (epoch + 1) * self.steps)
        self.summaries.flush()
        self.log.info("Epoch %d: val_elbo %.6g, %.1f s", epoch + 1, row["val_elbo"], seconds)

    def on_train_end(self, logs=None):
        if self.devices.first:
            self.summaries.close()


def _samples(run, data, model, devices):
    """The callback that draws samples, in a list; none where nothing is to be drawn."""
    manifest, every, given = getattr(data.train, "manifest", None), run.training["samples_every"], run.key == "inputs"
    functions = {
        name: lambda shown, function=function: function(shown, manifest)
        for name in ("figure", "audio", "text")
        if (function := getattr(run.dataset, name))
    }
    if not every or not (functions or model.noise_dim):
        return []
    if isinstance(data.valid[0], dict) or (manifest or {}).get("missing"):
        return []  # it draws sequences of which nothing beside is known, and nothing is missing
    length = max(given + 1, int(np.median(lengths_of(data.train))))
    prompt_steps = prompt_steps_of(run, model, min(length, int(lengths_of(data.valid).min())))
    options = {"every": every, "length": length, "prompt_steps": prompt_steps, "seed": run.training["seed"]}
    callback = TensorBoardSamples(run.path(EVENTS), data.valid, **functions, key=run.key, **options)
    return [callback if devices.replicas == 1 else OfCopy(callback, devices)]


def _last_kl_weight(model, updates):
    """The weight of the KL after so many updates; 1 without latents."""
    weights = model.loss_weights
    weight = weights.get("kl_cost", weights.get("kl", 1.0))
    return float(weight(updates)) if callable(weight) else float(weight)


def _copy(source, target):
    with whole_file(target) as partial:
        shutil.copyfile(source, partial)


def _finite(model):
    """Whether all weights are."""
    return all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in model.trainable_weights)


def _advice(run):
    saved = f"{LAST} and {BEST} in {run.directory} are whole. " if run.path(LAST).exists() else ""
    return f"{saved}Try a lower optimizer.learning_rate or optimizer.global_clipnorm, or a lower model.clip."


def _diagnosed(run, data, batches, steps, error):
    """The error of a run whose metrics were not finite at an update, with the update and the term that failed.

    An update can leave weights that are not finite and show itself in the next one's terms only. So the updates of the
    epoch are made again, with a look at terms and weights after each.
    """
    stopped_at = error.args[0]
    model, epoch = run.last_model(data, steps)
    for step in range(epoch * steps, stopped_at + 1):
        terms = model.train_on_batch(batches[step], return_dict=True)
        failed = [name for name, value in terms.items() if not math.isfinite(value)]
        model.reset_metrics()
        if failed:
            what = ", ".join(name for name in failed if name not in ("loss", "elbo")) or "loss"
            what = f"{what} not finite"
        elif not _finite(model):
            what = "the weights after it not finite, all terms of the loss finite: the gradient or its step is not"
        else:
            continue
        number, position = divmod(step, len(batches))
        indices = ", ".join(map(str, batches.order(number)[position].tolist()))
        return NonFiniteError(
            f"Update {step} (epoch {step // steps + 1}, batch {step % steps}; training sequences {indices}): {what}. "
            + _advice(run)
        )
    return NonFiniteError(f"Update {stopped_at}: not finite, but not so when it was made again. {_advice(run)}")


def _logger(path, devices):
    log = logging.getLogger(f"zoo.{path}")
    log.handlers = [logging.FileHandler(path) if devices.first else logging.NullHandler()]
    log.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.setLevel(logging.INFO)
    log.propagate = False
    return log
