"""Files and folders that are whole or not there."""

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path


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


@contextlib.contextmanager
def whole_folder(directory):
    """A folder to write to, put in the place of `directory` once all of it is on the disk.

    Raises:
        OSError: the disk is full, or the folder can't be written; what was there before is as it was.
    """
    directory = Path(directory).absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}.partial-", dir=directory.parent))
    partial, old = work / "new", work / "old"
    try:
        partial.mkdir()  # with the permissions of any folder, which mkdtemp's has not
        yield partial
        for path in partial.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if directory.exists():
            directory.rename(old)
        try:
            partial.rename(directory)
        except OSError:
            if old.exists():
                old.rename(directory)
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"No space left to write {directory}. What was there before is as it was."
            raise OSError(error.errno, message) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
