"""Files that are whole or not there, in a directory that one process at a time writes."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np

from zf_keras.data.shards import checksum
from zf_keras.extras import optional_import
from zf_keras.files import whole_file, write_whole


@contextlib.contextmanager
def locked(directory):
    """What no other process does for the same directory at the same time; in one process it may be nested.

    Raises:
        ValueError: another process is at it.
    """
    filelock = optional_import("filelock", "datasets", "Preparing data")
    directory = Path(directory).absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = directory.with_name(f".{directory.name}.lock")
    lock = filelock.FileLock(path, timeout=0, is_singleton=True)
    try:
        with lock:
            try:
                yield
            finally:
                if lock.lock_counter == 1:  # the outermost
                    path.unlink(missing_ok=True)
    except filelock.Timeout as error:
        raise ValueError(f"{directory} is being prepared by another process.") from error


def write_json(path, value):
    write_whole(path, json.dumps(value, indent=1) + "\n")


def write_array(path, array):
    """Writes an array; returns the checksum of the file."""
    array = np.ascontiguousarray(array)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)  # NumPy's own writing does not say that a disk is full
    return checksum(path)


def file_state(path):
    """Size and time of change of a file; `None` where there is none."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return f"{stat.st_size} {stat.st_mtime_ns}"


def check_name(name):
    """Raises a `ValueError` for the name of a file that is not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the name is not UTF-8: rename the file") from error


def printable(name):
    """The name of a file, with bytes that are not UTF-8 as escapes."""
    return name.encode(errors="backslashreplace").decode()
