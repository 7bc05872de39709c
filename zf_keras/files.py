"""Files and folders that are whole or not there."""

import contextlib
import errno
import os
import platform
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
        _flush(partial)
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


@contextlib.contextmanager
def whole_folder(directory):
    """A folder to write to, put in the place of `directory` once all of it is on the disk.

    What a process that was killed left of the same folder is removed.

    Raises:
        OSError: the disk is full, or the folder can't be written; what was there before is as it was.
    """
    directory = Path(directory).absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{directory.name}.partial-{platform.node()}-"
    _remove_left_behind(directory, prefix)
    work = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=directory.parent))
    partial, old = work / "new", work / "old"
    try:
        partial.mkdir()  # with the permissions of any folder, which mkdtemp's has not
        yield partial
        for path in partial.rglob("*"):
            if path.is_file():
                _flush(path)
        if directory.exists():
            directory.rename(old)
        try:
            partial.rename(directory)
        except OSError:
            if old.exists():
                old.rename(directory)
            raise
    except Exception as error:
        if disk_full(error):
            raise no_space(directory) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _flush(path):
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove_left_behind(directory, prefix):
    for work in directory.parent.glob(f"{prefix.replace('[', '[[]')}*"):
        pid = work.name.removeprefix(prefix).partition("-")[0]
        if not pid.isdecimal() or _is_running(int(pid)):
            continue
        if (work / "old").exists() and not directory.exists():  # killed between the two renames
            (work / "old").rename(directory)
        shutil.rmtree(work, ignore_errors=True)


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def disk_full(error):
    """Whether an error is of a full disk. HDF5 and TensorFlow say so in their message alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error)


def no_space(path):
    """The error of a full disk."""
    return OSError(errno.ENOSPC, f"No space left to write {path}. What was there before is as it was.")
