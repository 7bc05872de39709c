"""Files that are whole or not there, and what is said of those that are damaged."""

import contextlib
import errno
import json
import os


@contextlib.contextmanager
def whole_file(path):
    """A path to write to, put in the place of `path` once all of it is on the disk.

    Raises:
        OSError: the disk is full, or the folder can't be written; `path` is as it was.
    """
    partial = path.with_name(f"partial-{path.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except Exception as error:
        if disk_full(error):
            raise no_space(path) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path, text):
    """Writes a text file that is whole or not there."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def disk_full(error):
    """Whether an error is of a full disk. HDF5 and TensorFlow say so in their message alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error)


def no_space(path):
    """The error of a full disk."""
    message = f"No space left to write {path}. What was there before is whole: free some space and go on."
    return OSError(errno.ENOSPC, message)


def read_json(path, types):
    """An object from a JSON file.

    Args:
        path: path.
        types: dict. Type, or types, of each key that must be there.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if not isinstance(values, dict):
        raise ValueError("it must hold an object")
    for key, type_ in types.items():
        if key not in values:
            raise ValueError(f"it has no {key!r}")
        if not isinstance(values[key], type_) or (isinstance(values[key], bool) and type_ is not bool):
            raise ValueError(f"{key!r} is of the wrong type. Received: {values[key]!r}")
    return values
