"""Passes over data in batches of bounded memory."""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_numbers
from zf_keras.compiled import compiled
from zf_keras.data.padding import drawn, padded_size, padded_time
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


def parts(data, verbose):
    """The array or dict that `data` is, or those of a finite stream; and `verbose` for each.

    Raises:
        ValueError: it is a stream without batches.
    """
    if is_arrays(data) or not hasattr(data, "__iter__") or isinstance(data, list | tuple | str):
        yield data, verbose
        return
    progress = keras.utils.Progbar(len(data) if hasattr(data, "__len__") else None) if verbose else None
    batch = None
    for batch in data:
        yield keras.utils.unpack_x_y_sample_weight(batch)[0], 0
        if progress:
            progress.add(1)
    if batch is None:
        raise ValueError("`data` is a stream without batches.")


def frames_of(model, data):
    """The valid frames of an array, a dict or a finite stream: NumPy arrays (frames, features), NaN where missing."""
    for part, _ in parts(data, 0):
        part = arrays(model, part)
        frames = part.get("targets", part.get("inputs")).astype("float64")
        if "observed" in part:
            frames = np.where(part["observed"], frames, np.nan)
        valid = part["mask"].astype(bool) if "mask" in part else np.ones(frames.shape[:2], bool)
        yield frames[valid]


def generator(model, seed):
    """A seed generator: of `seed`, that itself, or the model's own for `None`."""
    return model.seed_generator if seed is None else SeedGenerator.of(seed)


def batches_of_rows(rows, batch_size, verbose=0):
    """`rows` in batches of one size, filled up, so that one program serves all; with a progress bar.

    Args:
        rows: array (rows,) of indices.
        batch_size: int.
        verbose: `"auto"`, 0 or 1. Whether to show the bar; `"auto"` does for more than one batch.
    """
    starts = range(0, len(rows), batch_size)
    size = min(batch_size, padded_size(len(rows)))
    shown = verbose == 1 or (verbose == "auto" and len(starts) > 1)
    progress = keras.utils.Progbar(len(starts)) if shown else None
    for start in starts:
        yield np.resize(rows[start : start + batch_size], size)
        if progress:
            progress.add(1)


def passes(model, data, rows, seed, batch_size, verbose, contexts=False):
    """Batches of `rows` of `data`, of `rows_of`, and noise for each.

    Args:
        rows: array of ascending indices, each as often as any other.
        contexts: bool. Whether the model's context of each row comes third; it is computed once a sequence.
    """
    random, (count, time) = generator(model, seed), count_and_time(data)
    check_numbers(min(batch_size, len(rows)) * time * max(1, model.noise_dim), batch_size=batch_size)
    block, context = None, None  # `batch_size` sequences, whose rows fill whole batches
    for batch_rows in batches_of_rows(rows, batch_size, verbose):
        noise = noise_of(model, len(batch_rows), time, random)
        batch = rows_of(data, batch_rows)
        if not contexts:
            yield batch, noise
            continue
        first = batch_rows[0] // batch_size * batch_size
        if block != first:
            of_block = np.arange(first, min(first + batch_size, count))
            of_block = np.resize(of_block, min(batch_size, padded_size(count)))
            block, context = first, context_of(model, rows_of(data, of_block))
        yield batch, noise, _taken(context, batch_rows - first)


def _taken(nest, rows):
    return keras.tree.map_structure(lambda x: ops.take(x, rows, axis=0), nest)


def noise_of(model, count, time, random):
    """The model's noise, (count, time, noise_dim), for what `rows_of` gives."""
    return drawn(lambda *shape: model.draw_noise(*shape, random), count, time)


def rows_of(data, rows):
    """Some sequences of a dict of arrays, as tensors, padded."""
    batch = {key: x[rows] for key, x in data.items()}
    return {key: ops.convert_to_tensor(x) for key, x in padded_time(batch, count_and_time(batch)[1]).items()}


@compiled
def context_of(model, data):
    """The model's `context` of an array or dict of tensors: what does not depend on latents."""
    sequences = model.sequences(data)
    return model.context(*model.read(sequences), sequences.mask, False)
