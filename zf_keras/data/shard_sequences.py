"""What a sequence that goes into shards may be."""

import numpy as np

from zf_keras.data.sequences import COVARIATES, TIMELESS


def sequence_arrays(sequence, missing=False):
    """A sequence, an array or a dict, as a dict of arrays.

    Args:
        sequence: array (time, features) or (time,) of tokens, or a dict of such `"targets"` and what stands beside
            them.
        missing: bool. Whether targets may be NaN. Defaults to `False`.

    Raises:
        ValueError: it is no such sequence.
    """
    given = sequence if isinstance(sequence, dict) else {"targets": sequence}
    arrays = {key: np.asarray(value) for key, value in given.items()}
    targets = arrays["targets"]
    if targets.ndim not in (1, 2) or 0 in targets.shape or not _is_real(targets, tokens=targets.ndim == 1):
        raise ValueError(
            "a sequence must be (time, features) of real numbers, or (time,) of integer tokens. "
            f"Received: shape={targets.shape}, dtype={targets.dtype}."
        )
    _check_finite("a sequence", targets, missing)
    for key, array in arrays.items():
        if key != "targets":
            _check_beside(key, array, len(targets))
    return arrays


def frames_of(arrays):
    """Shape and type of a frame, and of what stands beside the targets a dict of these."""
    frames = {
        key: {"shape": list(array.shape[key not in TIMELESS :]), "dtype": array.dtype.name}
        for key, array in arrays.items()
    }
    return frames.pop("targets"), frames


def _is_real(array, tokens=False):
    return array.dtype.kind in ("iu" if tokens else "iubf")


def _check_finite(name, array, missing=False):
    if array.dtype.kind == "f":
        wrong = np.isinf(array) if missing else ~np.isfinite(array)
        if wrong.any():
            raise ValueError(f"{name} holds {array[wrong][0]}.")


def _check_beside(key, array, time):
    if key not in COVARIATES:
        raise ValueError(f"a sequence may have {', '.join(('targets', *COVARIATES))}. Received: {key!r}.")
    whole = key in TIMELESS
    shaped = array.ndim == 1 if whole else array.ndim == 2 and len(array) == time
    if not shaped or 0 in array.shape or not _is_real(array, tokens=key == "categories"):
        wanted = "(features,)" if whole else f"({time}, features), as many as targets,"
        numbers = "integers" if key == "categories" else "real numbers"
        raise ValueError(
            f"{key} of a sequence must be {wanted} of {numbers}. Received: shape={array.shape}, dtype={array.dtype}."
        )
    _check_finite(key, array)
