"""What a model accepts as data; errors name what it does not."""

import warnings

import numpy as np

from zf_keras.data.sequences import COVARIATES, FIRST, KEYS

# Past the one float32 overflows once squared; past the other training is slow or diverges.
TOO_LARGE, LARGE = 1e15, 1e4


def check(data, head, features=None, check_inputs=False, missing=None, scaled=False):
    """Raises a `ValueError` that names what is wrong with `data`, or returns nothing.

    Args:
        data: array or dict, as for every model.
        head: the model's output head.
        features: dict or `None`. {"inputs": int, "targets": int}: the features that a built model was
            built for.
        check_inputs: bool. Whether the inputs too are scored by a head like `head`.
        missing: `"skip"` where targets may be missing, NaN or false in `observed`; else `None`.
        scaled: bool. Whether the model scales what it reads.
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
    frames = {key: value for key, value in arrays.items() if key in ("inputs", "targets")}
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
    check_beside(arrays, batch_and_time, features, mask)
    valid = np.ones(batch_and_time, bool) if mask is None else mask.astype(bool)
    for key, x in frames.items():
        seen = _observed(arrays, valid, missing) if key == "targets" else _like(valid, x)
        _check_finite(key, x, seen, missing)
        values = _whole(x[valid], np.broadcast_to(seen, x.shape)[valid])
        if values is None:  # nothing is there to be checked
            continue
        if key == "targets" or "targets" not in frames or head.tokens or check_inputs:
            head.check_values(key, values)
        if not head.tokens:
            _check_scale(key, values, scaled)


def _whole(values, seen):
    """Frames with a value of its column in the place of each that is missing; `None` if a column has none."""
    if seen.all():
        return values
    if not seen.any(axis=0).all():
        return None
    return np.where(seen, values, values[seen.argmax(axis=0), np.arange(values.shape[1])])


def _check_finite(key, x, seen, missing=None):
    if not np.issubdtype(x.dtype, np.inexact):
        return
    wrong = ~np.isfinite(x) & seen
    if wrong.any():
        where = tuple(map(int, np.argwhere(wrong)[0]))
        hint = ""
        if np.isnan(x[where]) and key == "targets" and not missing:
            hint = " For data with gaps make the model with missing='skip'."
        elif np.isnan(x[where]) and key == "inputs" and missing:
            hint = " Leave `inputs` out: the model reads its own means in the place of targets that are missing."
        raise ValueError(f"`{key}` holds {x[where]} at index {where}.{hint}")


def _observed(arrays, valid, missing):
    """Where the targets are scored, in their shape."""
    targets, observed = arrays["targets"], arrays.get("observed")
    seen = np.broadcast_to(_like(valid, targets), targets.shape)
    if observed is not None:
        if not missing:
            raise ValueError("`observed` is for models with missing='skip'. Received it for one without.")
        if observed.shape != targets.shape or not np.isin(observed, (0, 1)).all():
            raise ValueError(
                f"`observed` must hold 0 and 1 (or booleans), in the shape of `targets`, {targets.shape}. "
                f"Received: shape={observed.shape}."
            )
        seen = seen & observed.astype(bool)
    if missing and np.issubdtype(targets.dtype, np.inexact):
        seen = seen & ~np.isnan(targets)
    return seen


def check_beside(arrays, batch_and_time, features=None, mask=None):
    """Raises a `ValueError` unless covariates, static numbers and categories are those that a model was built for."""
    if "observed" in arrays and "targets" not in arrays:
        raise ValueError("`observed` is of `targets`. Received data without them.")
    for key in COVARIATES:
        x, known = arrays.get(key), None if features is None else features.get(key)
        if x is None:
            if known:
                raise ValueError(f"Data must have `{key}`, of {known} columns, which the model was built for.")
            continue
        if features is not None and not known:
            raise ValueError(f"`{key}` must be left out: the model was built without. Received: shape={x.shape}.")
        leading, axes = batch_and_time, "(batch, time, features)"
        if key != "covariates":
            leading, axes = batch_and_time[:1], "(batch, features)"
        if x.ndim != len(leading) + 1 or x.shape[:-1] != tuple(leading) or not x.shape[-1]:
            raise ValueError(f"`{key}` must be {axes}, with the axes {tuple(leading)}. Received: shape={x.shape}.")
        if known and x.shape[-1] != known:
            raise ValueError(f"`{key}` must have {known} columns, as the model was built for. Received: {x.shape[-1]}.")
        valid = mask if key == "covariates" and mask is not None else np.ones(leading, bool)
        _check_finite(key, x, _like(valid, x))
        if key != "categories":
            _check_scale(key, x[valid.astype(bool)])


def check_categories(data, cardinalities):
    """Raises a `ValueError` unless the ids of each column of `categories` are those that are embedded."""
    ids = data.get("categories") if isinstance(data, dict) else None
    if ids is None:
        return
    ids = np.asarray(ids)
    if len(cardinalities or ()) != ids.shape[-1]:
        raise ValueError(
            f"`categories` must have a column for each of `cardinalities`. Received: {ids.shape[-1]} columns, "
            f"cardinalities={cardinalities}."
        )
    for column, count in enumerate(cardinalities):
        wrong = (ids[:, column] < 0) | (ids[:, column] >= count) | (ids[:, column] % 1 != 0)
        if wrong.any():
            raise ValueError(
                f"`categories` must be integers in [0, {count}) in column {column}. "
                f"Received: {ids[wrong.argmax(), column]} in row {wrong.argmax()}."
            )


def _check_scale(key, values, scaled=False):
    most = max(values.max(), -float(values.min()), key=float) if values.size else 0
    if float(most) >= TOO_LARGE:
        raise ValueError(f"`{key}` holds {most:.3g} in size, too large for float32: scale it to about 1.")
    if float(most) >= LARGE and not scaled:
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
    if np.issubdtype(targets.dtype, np.inexact):
        equal |= np.isnan(targets)
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
