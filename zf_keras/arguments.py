"""Checks of arguments, with errors that name the argument and what came. They return the value, of Python's types."""

import math
import numbers

import numpy as np

#: What sizes of layers and vocabularies may be at most: beyond, memory is asked for that no machine has.
MOST = 2**20
#: What one call may ask for at most: 8 GiB of float32.
MOST_NUMBERS = 2**31


def is_int(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value):
    """Whether a value is a finite number, and no bool."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # a long integer
        return False


def _wrong(name, value, accepted):
    return ValueError(f"`{name}` must be {accepted}. Received: {name}={value!r}.")


def check_positive_int(name, value):
    if not is_int(value) or value < 1:
        raise _wrong(name, value, "a positive integer")
    return int(value)


def check_non_negative_int(name, value):
    if not is_int(value) or value < 0:
        raise _wrong(name, value, "an integer >= 0")
    return int(value)


def check_size(name, value):
    """A size of a layer, of weights that are made."""
    if check_positive_int(name, value) > MOST:
        raise _wrong(name, value, f"at most {MOST:,}")
    return int(value)


def check_units(name, value):
    """A size of an LSTM, whose weights grow with its square."""
    value = check_size(name, value)
    check_numbers(4 * value**2, **{name: value})
    return value


def check_numbers(count, **arguments):
    """Raises a `ValueError` if these arguments ask for more than `MOST_NUMBERS` numbers at a time."""
    if count > MOST_NUMBERS:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise ValueError(
            f"{' and '.join(f'`{name}`' for name in arguments)} must be smaller: {count:,} numbers at a time would be "
            f"asked for, and {MOST_NUMBERS:,} are the most. Received: {given}."
        )


def check_seed(name, value):
    if not is_int(value) or not 0 <= value < 2**31:
        raise _wrong(name, value, "an integer in [0, 2**31)")
    return int(value)


def check_non_negative(name, value):
    if not is_number(value) or value < 0:
        raise _wrong(name, value, "a finite number >= 0")
    return _plain(value)


def check_positive(name, value):
    if not is_number(value) or value <= 0:
        raise _wrong(name, value, "a finite number > 0")
    return _plain(value)


def check_rate(name, value):
    if not is_number(value) or not 0 <= value < 1:
        raise _wrong(name, value, "in [0, 1)")
    return _plain(value)


def check_probability(name, value):
    if not is_number(value) or not 0 <= value <= 1:
        raise _wrong(name, value, "in [0, 1]")
    return _plain(value)


def check_bool(name, value):
    if not isinstance(value, bool | np.bool_):
        raise _wrong(name, value, "True or False")
    return bool(value)


def check_choice(name, value, choices):
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise _wrong(name, value, "one of " + ", ".join(map(repr, choices)))
    return value


def check_token(name, value, num_classes=None):
    """A token id, in [0, num_classes)."""
    if not is_int(value) or value < 0:
        raise _wrong(name, value, "a token, an integer >= 0")
    if num_classes is not None and value >= num_classes:
        raise ValueError(
            f"`{name}` must be a token, in [0, num_classes). Received: {name}={value}, num_classes={num_classes}."
        )
    return int(value)


def check_finite(name, array):
    """Raises a `ValueError` if an array holds NaN or infinity."""
    array = np.asarray(array)
    if not np.isfinite(array).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise ValueError(f"`{name}` must be finite. It holds {array[where]} at index {where}.")


def optional(check, name, value):
    """`None`, or what a check returns."""
    return None if value is None else check(name, value)


def _plain(value):
    return int(value) if isinstance(value, numbers.Integral) else float(value)
