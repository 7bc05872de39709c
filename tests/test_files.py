"""Files and folders that are whole or not there."""

import errno
import os
import platform
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.models.table import make
from zf_keras import files


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt, OSError])
def test_whole_file(tmp_path, exception):
    path = tmp_path / "file.txt"
    files.write_whole(path, "old ü")
    assert path.read_text(encoding="utf-8") == "old ü"
    with pytest.raises(exception), files.whole_file(path) as partial:
        partial.write_text("half of the n")
        raise exception
    assert path.read_text(encoding="utf-8") == "old ü"
    with files.whole_file(path) as partial:
        partial.write_text("new")
        assert path.read_text(encoding="utf-8") == "old ü"
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


def test_whole_file_on_a_full_disk(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OSError, match=r"No space left to write .*file\.txt") as error, files.whole_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.errno == errno.ENOSPC and path.read_text() == "old"
    with pytest.raises(OSError, match=r"^\[Errno 13\] denied$"), files.whole_file(path):
        raise OSError(errno.EACCES, "denied")


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_a_full_disk_that_only_the_message_tells(tmp_path, error):
    """HDF5 raises without an errno, and in another type."""
    with pytest.raises(OSError, match=r"No space left to write .*file\.txt"), files.whole_file(tmp_path / "file.txt"):
        raise error("Can't write data (errno = 28, error message = 'No space left on device')")
    with pytest.raises(error, match=r"^other$"), files.whole_file(tmp_path / "file.txt"):
        raise error("other")


@pytest.fixture
def ended():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_behind(directory, pid):
    """What a process leaves that is killed while it writes."""
    work = directory.parent / f".{directory.name}.partial-{platform.node()}-{pid}-abc"
    (work / "new").mkdir(parents=True)
    (work / "new" / "half").write_text("half")
    return work


def test_what_a_killed_process_left_of_a_folder_is_removed(tmp_path, ended):
    folder = tmp_path / "[a]"
    dead, alive, other = (
        left_behind(folder, ended),
        left_behind(folder, os.getpid()),
        left_behind(tmp_path / "b", ended),
    )
    with files.whole_folder(folder) as partial:
        (partial / "file").write_text("new")
    assert (folder / "file").read_text() == "new"
    assert not dead.exists() and alive.exists() and other.exists()


def test_a_folder_that_was_being_replaced_comes_back(tmp_path, ended):
    folder = tmp_path / "a"
    work = left_behind(folder, ended)
    (work / "old").mkdir()
    (work / "old" / "file").write_text("old")
    with pytest.raises(RuntimeError), files.whole_folder(folder):
        raise RuntimeError
    assert (folder / "file").read_text() == "old" and not work.exists()


def test_a_model_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path, model = tmp_path / "model.keras", make("rnn")
    model.save(path)
    before = path.read_bytes()
    model.head.weights[0].assign(np.zeros(model.head.weights[0].shape))

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        model.save(path)
    assert path.read_bytes() == before
    model.save(str(path))
    assert [each.name for each in tmp_path.iterdir()] == ["model.keras"]
    again = keras.saving.load_model(path)
    np.testing.assert_array_equal(again.head.weights[0], 0)
    model.save(tmp_path / "folder", zipped=False)
    assert (tmp_path / "folder").is_dir()
