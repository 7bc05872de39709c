"""Passes over data in batches of bounded memory."""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_numbers
from zf_keras.data.sequences import is_arrays, native
from zf_keras.seeds import SeedGenerator


def arrays(model, data):
    """`data`, an array or dict, as a dict of NumPy arrays that the model accepts; the model is built if it was not.

    Raises:
        ValueError: names what is wrong with `data`.
    """
    if not is_arrays(data):
        raise ValueError(f"Data must be an array or a dict of arrays. Received: {type(data)}.")
    model.check_data(data)
    data = data if isinstance(data, dict) else {"targets": data}
    data = {key: native(ops.convert_to_numpy(value)) for key, value in data.items() if value is not None}
    if not model.built:
        model.build({key: value.shape for key, value in data.items()})
    return data


def count_and_time(data):
    """Number of sequences of an array or dict, and of their predicted steps."""
    if not isinstance(data, dict):
        data = {"targets": data}
    if data.get("targets") is not None:
        return tuple(data["targets"].shape[:2])
    count, time = data["inputs"].shape[:2]
    return count, time - 1


def generator(model, seed):
    """A seed generator: of `seed`, that itself, or the model's own for `None`."""
    return model.seed_generator if seed is None else SeedGenerator.of(seed)


def batches_of_rows(rows, batch_size, verbose=0):
    """`rows` in batches of one size, the last filled up, so that one program serves all; with a progress bar.

    Args:
        rows: array (rows,) of indices.
        batch_size: int.
        verbose: `"auto"`, 0 or 1. Whether to show the bar; `"auto"` does for more than one batch.
    """
    starts = range(0, len(rows), batch_size)
    size = min(batch_size, len(rows))
    shown = verbose == 1 or (verbose == "auto" and len(starts) > 1)
    progress = keras.utils.Progbar(len(starts)) if shown else None
    for start in starts:
        yield np.resize(rows[start : start + size], size)
        if progress:
            progress.add(1)


def passes(model, data, rows, seed, batch_size, verbose):
    """Batches of `rows` of `data`, and noise for each."""
    random, (_, time) = generator(model, seed), count_and_time(data)
    check_numbers(min(batch_size, len(rows)) * time * max(1, model.noise_dim), batch_size=batch_size)
    for batch_rows in batches_of_rows(rows, batch_size, verbose):
        noise = model.draw_noise(len(batch_rows), time, random)
        yield {key: ops.convert_to_tensor(x[batch_rows]) for key, x in data.items()}, noise
