"""Arrays of .npz files of which nothing is known."""

import contextlib
import math
import zipfile
import zlib

import numpy as np

_DEFLATION = 1032  # zlib makes no more of a byte
_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextlib.contextmanager
def opened_npz(path):
    """The arrays of an .npz file, a mapping.

    Raises:
        ValueError: it is not whole, encrypted, or claims to hold more than can be in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    _check_size(member, file)
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"not a whole .npz file: {error}") from error


def _check_size(member, file):
    version = np.lib.format.read_magic(file)
    read_header = _READ_HEADER.get(version)
    if read_header is None:
        raise ValueError(f"{member.filename} is of version {version} of the format")
    shape, _, dtype = read_header(file)
    size = math.prod(shape) * dtype.itemsize
    if size > _DEFLATION * (member.compress_size + 1):
        raise ValueError(
            f"{member.filename} claims shape {shape} of {dtype}, {size} bytes, more than can be in its "
            f"{member.compress_size} bytes"
        )
