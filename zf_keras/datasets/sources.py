"""Files to prepare: of a folder, or of an archive that is unpacked first."""

import contextlib
import gzip
import hashlib
import lzma
import os
import shutil
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np

from zf_keras.arguments import check_rate
from zf_keras.data.files import locked, printable

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class UnsafeArchiveError(ValueError):
    """A member of an archive would be written outside of the folder that it is unpacked to."""


@contextlib.contextmanager
def opened(source, directory):
    """The folder of a source: itself, or that to which an archive is unpacked, inside `directory`, while in use.

    An archive that was unpacked whole before an interruption is not unpacked again.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: it is neither a folder nor an archive of a known kind.
        UnsafeArchiveError: a member climbs out of the archive; nothing is left of it.
    """
    source = Path(source)
    if source.is_dir():
        yield source
        return
    if not source.exists():
        raise FileNotFoundError(f"`source` {source} does not exist.")
    if not source.name.lower().endswith(ARCHIVES):
        raise ValueError(f"`source` must be a folder or an archive ({', '.join(ARCHIVES)}). Received: {source}.")
    stat = source.stat()
    state = hashlib.sha256(f"{source.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16]
    unpacked = Path(directory) / f"partial-source-{state}"
    with locked(directory):
        if not unpacked.exists():
            for stale in Path(directory).glob("partial-source-*"):
                shutil.rmtree(stale, ignore_errors=True)
            unfinished = Path(directory) / "partial-unpacking"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            try:
                _unpack(source, unfinished)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            os.replace(unfinished, unpacked)
        yield unpacked
        shutil.rmtree(unpacked)


def _unpack(source, directory):
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for name in archive.namelist():
                    _check_member(source, name)
                archive.extractall(directory)
                for member in archive.infolist():  # as of a tar: by its time a file is known again
                    changed = time.mktime((*member.date_time, 0, 0, -1))  # takes a month 0, which some archives have
                    os.utime(directory / member.filename, (changed, changed))
        else:
            with tarfile.open(source) as archive:
                archive.extractall(directory, filter="data")
                while archive.fileobj.read(2**20):  # to the checksum at the end of a compressed one
                    pass
    except tarfile.FilterError as error:
        raise UnsafeArchiveError(f"{source}: {error}. Nothing was unpacked.") from error
    except RuntimeError as error:  # zipfile's for what is encrypted or of a compression that it does not know
        raise ValueError(f"{source} can't be unpacked here: {error}.") from error
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{source} is not a whole archive: {error}.") from error


def _check_member(source, name):
    path = Path(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0]:
        raise UnsafeArchiveError(f"{source}: member {name!r} is outside of the archive. Nothing was unpacked.")


def files(folder, suffixes):
    """Paths of the files below a folder with one of some suffixes (lower case), relative to it, sorted.

    Raises:
        FileNotFoundError: there is none.
        ValueError: one is a link to nothing, or no file but a pipe, say.
    """
    folder, seen, found = Path(folder), set(), []
    for parent, folders, names in os.walk(folder, followlinks=True):
        # A link may lead to a folder above it.
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(parent, name)) not in seen]
        seen.update(os.path.realpath(os.path.join(parent, name)) for name in folders)
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        for path in paths:
            if path.suffix.lower() in suffixes:
                _check_file(path)
                found.append(path.relative_to(folder).as_posix())
    if not found:
        raise FileNotFoundError(f"No file with one of the suffixes {', '.join(suffixes)} below {folder}.")
    return sorted(found)


def _check_file(path):
    if not path.is_file():
        what = "a link to nothing" if path.is_symlink() and not path.exists() else "neither a file nor a folder"
        raise ValueError(f"{printable(str(path))} is {what}.")


def find(folder, *names):
    """The file of one of some names in a folder or, where it is the only one, below it.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are several.
    """
    folder = Path(folder)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for name in names for path in folder.rglob(name) if path.is_file())
    if not found:
        raise FileNotFoundError(f"{folder} has no {' or '.join(names)}.")
    if len(found) > 1:
        raise ValueError(f"There are several in {folder}: {', '.join(str(path) for path in found)}.")
    return found[0]


def split_names(names, valid, test, seed):
    """Names dealt to train, valid and test at random: the first shares of a permutation by `seed`.

    Args:
        names: list.
        valid: float. Share in [0, 1); where it is > 0 at least one name.
        test: float. Likewise.
        seed: int.

    Returns:
        Dict of lists, each in the order of `names`.

    Raises:
        ValueError: a share is not in [0, 1), or nothing is left to train on.
    """
    check_rate("valid", valid)
    check_rate("test", test)
    order = np.random.default_rng(seed).permutation(len(names))
    counts = {
        name: max(1, round(share * len(names))) if share else 0 for name, share in (("valid", valid), ("test", test))
    }
    ends = np.cumsum([counts["valid"], counts["test"]])
    if ends[-1] >= len(names):
        raise ValueError(
            f"{len(names)} sources are too few to deal out with valid={valid}, test={test}: "
            "give more files, cut into smaller ones, or other shares."
        )
    parts = {"train": order[ends[1] :], "valid": order[: ends[0]], "test": order[ends[0] : ends[1]]}
    return {split: [names[i] for i in sorted(part)] for split, part in parts.items()}
