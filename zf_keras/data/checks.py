"""What a model accepts as data; errors name what it does not."""

import warnings

import numpy as np

from zf_keras.data.sequences import FIRST, KEYS

# Past the one float32 overflows once squared; past the other training is slow or diverges.
TOO_LARGE, LARGE = 1e15, 1e4


def check(data, head, features=None, check_inputs=False):
    """Raises a `ValueError` that names what is wrong with `data`, or returns nothing.

    Args:
        data: array or dict, as for every model.
        head: the model's output head.
        features: dict or `None`. {"inputs": int, "targets": int}: the features that a built model was
            built for.
        check_inputs: bool. Whether the inputs too are scored by a head like `head`.
    """
    if not isinstance(data, dict):
        data = {"targets": data}
    data = {key: value for key, value in data.items() if key != FIRST}
    unknown = sorted(set(data) - set(KEYS))
    if unknown:
        raise ValueError(f"Data may have the keys {', '.join(KEYS)}. Received the key {unknown[0]!r}.")
    if data.get("targets") is None and data.get("inputs") is None:
        raise ValueError("Data needs `targets` or `inputs`. Received neither.")
    arrays = {key: _as_array(key, value) for key, value in data.items() if value is not None}
    frames = {key: value for key, value in arrays.items() if key != "mask"}
    mask = arrays.get("mask")
    rank, axes = (2, "(batch, time)") if head.tokens else (3, "(batch, time, features)")
    for key, x in frames.items():
        if x.ndim != rank:
            raise ValueError(f"`{key}` must have {rank} axes, {axes}. Received: shape={x.shape}.")
        if 0 in x.shape:
            raise ValueError(f"`{key}` is empty. Received: shape={x.shape}.")
        if features is not None and not head.tokens and x.shape[2] != features[key]:
            raise ValueError(
                f"`{key}` must have {features[key]} features, which the model was built for. Received: shape={x.shape}."
            )
    leading = {key: x.shape[:2] for key, x in frames.items()}
    if len(set(leading.values())) > 1:
        raise ValueError(f"`inputs` and `targets` must have the same batch and time. Received: {leading}.")
    batch_and_time = next(iter(leading.values()))
    # Of inputs without targets the first frame is given, so that at least two must be there.
    least = 1 if "targets" in frames else 2
    if batch_and_time[1] < least:
        raise ValueError(f"`inputs` without `targets` need at least 2 steps. Received: shape={batch_and_time}.")
    if mask is not None:
        _check_mask(mask, batch_and_time, least)
    valid = slice(None) if mask is None else mask.astype(bool)
    for key, x in frames.items():
        values = x[valid]
        if np.issubdtype(values.dtype, np.inexact) and not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(x) & (True if mask is None else _like(mask, x)))[0]
            raise ValueError(f"`{key}` holds {x[tuple(where)]} at index {tuple(map(int, where))}.")
        if key == "targets" or "targets" not in frames or head.tokens or check_inputs:
            head.check_values(key, values)
        if not head.tokens:
            _check_scale(key, values)


def _check_scale(key, values):
    most = max(values.max(), -float(values.min()), key=float) if values.size else 0
    if float(most) >= TOO_LARGE:
        raise ValueError(f"`{key}` holds {most:.3g} in size, too large for float32: scale it to about 1.")
    if float(most) >= LARGE:
        # Without the value, so that Python shows it once, and not at every batch.
        warnings.warn(
            f"`{key}` holds numbers of more than 1e4: scale it to about 1, or training may diverge.", stacklevel=2
        )


def check_streams(data, num_streams):
    """Raises a `ValueError` if `data` is no batch of pieces of so many streams."""
    first = data.get(FIRST) if isinstance(data, dict) else None
    if first is None:
        raise ValueError(
            "A model with `num_streams` trains on `zf_keras.datasets.Pieces`: dicts with `first`, (batch,). "
            "Received data without it."
        )
    rows = len(next(value for key, value in data.items() if key in KEYS and value is not None))
    if rows != num_streams:
        raise ValueError(f"A batch must have a row for each stream: num_streams={num_streams}. Received: {rows} rows.")
    first = np.asarray(first)
    if first.shape != (rows,) or not np.isin(first, (0, 1)).all():
        raise ValueError(f"`first` must hold {rows} times 0 or 1 (or booleans). Received: shape={first.shape}.")


def is_lagged(data):
    """Whether the inputs are the targets a step earlier, wherever both are given and valid; a first frame is free."""
    if not isinstance(data, dict) or data.get("inputs") is None or data.get("targets") is None:
        return True
    inputs, targets = np.asarray(data["inputs"])[:, 1:], np.asarray(data["targets"])[:, :-1]
    if inputs.shape != targets.shape:
        return False
    equal = inputs.astype("float32") == targets.astype("float32")
    if data.get("mask") is not None:
        equal |= ~_like(np.asarray(data["mask"])[:, 1:], equal)
    return bool(equal.all())


def check_inputs_given(data, lagged):
    """Raises a `ValueError` if a model fitted on inputs of their own gets none."""
    if lagged or (isinstance(data, dict) and data.get("inputs") is not None and data.get("targets") is not None):
        return
    raise ValueError(
        "The model was fitted on inputs that are not its targets a step earlier: give `inputs` beside `targets`. "
        "Received data without one of them."
    )


def _like(mask, x):
    return mask.astype(bool).reshape(mask.shape + (1,) * (x.ndim - mask.ndim))


def _as_array(key, value):
    if np.ma.is_masked(value):
        raise ValueError(f"`{key}` is a masked array: give its values, and `mask` (batch, time) for the valid steps.")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"`{key}` must be one array; pad sequences of different lengths. {error}") from error
    if array.dtype.name == "bfloat16":
        array = array.astype("float32")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise ValueError(f"`{key}` must be real numbers. Received: dtype={array.dtype}.")
    return array


def _check_mask(mask, shape, least):
    if mask.shape != shape:
        raise ValueError(
            f"`mask` must have the batch and time of the sequences, {shape}. Received: shape={mask.shape}."
        )
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"`mask` must hold 0 and 1 (or booleans). Received: {mask[~np.isin(mask, (0, 1))][0]}.")
    mask = mask.astype(bool)
    holes = (mask[:, 1:] & ~mask[:, :-1]).any(axis=1)
    if holes.any():
        row = int(np.argmax(holes))
        raise ValueError(
            f"`mask` must be padded on the right: true, then false. Row {row} has a valid step after a masked one."
        )
    short = ~mask[:, least - 1]
    if short.any():
        raise ValueError(
            f"Row {int(np.argmax(short))} of `mask` has fewer valid steps than the {least} that a sequence needs."
        )
