"""Files that are whole or not there."""

import contextlib
import errno
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
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"No space left to write {path}. What was there before is whole: free some space and go on."
            raise OSError(error.errno, message) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path, text):
    """Writes a text file that is whole or not there."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
