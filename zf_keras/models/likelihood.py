"""Likelihoods, the same for all models: the importance-weighted bound, exact without latents."""

import keras
import numpy as np
from keras import ops

from zf_keras import data as data_lib
from zf_keras.arguments import check_numbers, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.seeds import SeedGenerator


class Likelihood:
    """The part of `SequenceModel` that scores data, in passes of bounded memory."""

    def log_likelihood(self, data, num_samples=1, seed=None, batch_size=128, verbose="auto"):
        """Importance-weighted bound on log p(y), exact where the model has no latent.

        log 1/K sum_k exp(sum_t log p(y_t | ...) + log p(z_t | ...) - log q(z_t | ...)), z ~ q
        (Burda et al. 2016, eq. 8). With one sample its mean is the ELBO.

        Args:
            data: array or dict.
            num_samples: int. K. Defaults to `1`.
            seed: int or `None`. The same seed gives the same draws; `None` goes on with the model's own.
            batch_size: int. How many (sequence, sample) pairs are computed at a time, which bounds the
                memory. Defaults to `128`.
            verbose: `"auto"`, 0 or 1. Whether to show a progress bar; `"auto"` does for more than one pass.

        Returns:
            NumPy array (batch,), nats.

        Raises:
            ValueError: names what is wrong with an argument.
        """
        check_size("num_samples", num_samples)
        check_positive_int("batch_size", batch_size)
        data = self._concrete(data)
        num_samples = num_samples if self.noise_dim else 1
        count, time = self._count_and_time(data)
        check_numbers(count * num_samples, num_samples=num_samples)
        rows = np.repeat(np.arange(count), num_samples)
        log_weights = [
            self._log_weights(batch, noise)
            for batch, noise in self._passes(data, rows, time, seed, batch_size, verbose)
        ]
        log_weights = np.concatenate([ops.convert_to_numpy(w) for w in log_weights])[: len(rows)]
        log_weights = log_weights.astype("float64").reshape(count, num_samples)
        top = log_weights.max(axis=1, keepdims=True)
        return (top[:, 0] + np.log(np.mean(np.exp(log_weights - top), axis=1))).astype("float32")

    @compiled
    def _log_weights(self, data, noise):
        sequences = self.sequences(data)
        log_weights = self.step_log_weights(self(data, training=False, noise=noise), sequences)
        return self._sum_steps({"log_weight": log_weights}, sequences.mask)["log_weight"]

    def _concrete(self, data):
        if not data_lib.is_arrays(data):
            raise ValueError(f"Data must be an array or a dict of arrays. Received: {type(data)}.")
        self.check_data(data)
        data = data if isinstance(data, dict) else {"targets": data}
        data = {key: ops.convert_to_numpy(value) for key, value in data.items() if value is not None}
        if not self.built:
            self.build({key: value.shape for key, value in data.items()})
        return data

    def _count_and_time(self, data):
        """Batch size and number of predicted steps."""
        if not isinstance(data, dict):
            data = {"targets": data}
        if data.get("targets") is not None:
            return tuple(data["targets"].shape[:2])
        count, time = data["inputs"].shape[:2]
        return count, time - 1

    def _passes(self, data, rows, time, seed, batch_size, verbose=0):
        """Batches of `rows` of `data`, and noise for each; the last is filled up, to be traced only once."""
        generator = self._generator(seed)
        starts = range(0, len(rows), batch_size)
        size = min(batch_size, len(rows))
        check_numbers(size * time * max(1, self.noise_dim), batch_size=batch_size)
        shown = verbose == 1 or (verbose == "auto" and len(starts) > 1)
        progress = keras.utils.Progbar(len(starts)) if shown else None
        for start in starts:
            batch_rows = np.resize(rows[start : start + size], size)
            noise = self.draw_noise(size, time, generator)
            yield {key: ops.convert_to_tensor(x[batch_rows]) for key, x in data.items()}, noise
            if progress:
                progress.add(1)

    def _generator(self, seed):
        return self.seed_generator if seed is None else SeedGenerator(seed)
