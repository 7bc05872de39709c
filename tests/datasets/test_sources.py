"""Archives are unpacked whole, inside their folder, or not at all; files are found and dealt out."""

import io
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from zf_keras.datasets import sources
from zf_keras.datasets.sources import UnsafeArchiveError, files, find, opened, split_names

MEMBERS = {"set/a.txt": b"first", "set/deep/b.txt": b"second" * 5000, "c.txt": os.urandom(20_000)}


def write_archive(path, members=MEMBERS):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(
            path, f"w:{'' if path.suffix == '.tar' else path.suffix[1:].replace('tgz', 'gz')}"
        ) as archive:
            for name, data in members.items():
                if isinstance(data, tarfile.TarInfo):
                    archive.addfile(data)
                else:
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return path


def contents(folder):
    """Every file below a folder, links too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", ["a.zip", "A.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_archives(tmp_path, name):
    write_archive(tmp_path / name.lower()).rename(tmp_path / name)
    with opened(tmp_path / name, tmp_path / "out") as folder:
        assert contents(folder) == MEMBERS
        assert tmp_path / "out" in folder.parents and folder.name.startswith("partial-")
    assert list((tmp_path / "out").iterdir()) == []
    with opened(str(tmp_path / name), tmp_path / "out") as folder:
        assert contents(folder) == MEMBERS


def test_a_folder_is_itself(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with opened(tmp_path, tmp_path / "out") as folder:
        assert folder == tmp_path
    assert contents(tmp_path) == {"a.txt": b"mine"}


def test_other_sources(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    for source, kind, message in (
        ("b", FileNotFoundError, "b does not exist"),
        ("a.txt", ValueError, r"a folder or an archive \(\.zip, .*a\.txt"),
    ):
        with pytest.raises(kind, match=message), opened(tmp_path / source, tmp_path / "out"):
            raise AssertionError
    assert contents(tmp_path) == {"a.txt": b"mine"}


def symlink(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    "evil", ["../evil", "set/../../evil", "set/../../../out-evil", "/absolute/evil", "..\\evil", "C:\\evil"]
)
def test_members_that_climb_out_are_refused(tmp_path, kind, evil):
    if kind == "tar.gz" and ("\\" in evil or evil.startswith("/")):
        pytest.skip("a backslash is a letter in a tar name on Linux, and a leading slash is taken off: see below")
    evil = evil.replace("/absolute", str(tmp_path / "absolute"))
    source = write_archive(tmp_path / "in" / f"a.{kind}", {**MEMBERS, evil: b"evil", "z.txt": b"after it"})
    before = contents(tmp_path)
    with pytest.raises(UnsafeArchiveError, match=rf"a\.{kind}: .*Nothing was unpacked"):  # noqa: SIM117
        with opened(source, tmp_path / "out" / "deep"):
            raise AssertionError
    assert contents(tmp_path) == before
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith("partial")]


@pytest.mark.parametrize("evil", ["/{}/evil", "{}/evil"])
def test_absolute_members_of_tar_stay_inside(tmp_path, evil):
    evil = evil.format(tmp_path / "absolute")
    source = write_archive(tmp_path / "a.tar", {evil: b"evil", **MEMBERS})
    with opened(source, tmp_path / "out") as folder:
        assert contents(folder) == {**MEMBERS, evil.lstrip("/"): b"evil"}
    assert contents(tmp_path).keys() == {"a.tar"}


@pytest.mark.parametrize("link", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../../secret", "{}/secret"])
def test_links_that_point_out_are_refused(tmp_path, link, target):
    (tmp_path / "secret").write_text("mine")
    target = target.format(tmp_path)
    source = write_archive(tmp_path / "a.tar", {**MEMBERS, "link": symlink("link", target, link), "z": b"after it"})
    with pytest.raises(UnsafeArchiveError), opened(source, tmp_path / "out"):
        raise AssertionError
    assert contents(tmp_path).keys() == {"secret", "a.tar"} and (tmp_path / "secret").read_text() == "mine"


def test_a_file_through_a_link_is_refused(tmp_path):
    (tmp_path / "home").mkdir()
    link = symlink("link", str(tmp_path / "home"))
    source = write_archive(tmp_path / "a.tar", {"link": link, "link/evil": b"evil"})
    with pytest.raises(UnsafeArchiveError), opened(source, tmp_path / "out"):
        raise AssertionError
    assert contents(tmp_path).keys() == {"a.tar"}


def test_devices_are_refused(tmp_path):
    source = write_archive(tmp_path / "a.tar", {"pipe": symlink("pipe", "", tarfile.FIFOTYPE)})
    with pytest.raises(UnsafeArchiveError), opened(source, tmp_path / "out"):
        raise AssertionError


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2"])
def test_archives_that_are_cut(tmp_path, name):
    data = write_archive(tmp_path / name).read_bytes()
    for length in (0, 100, len(data) // 2):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"{name} is not a whole archive"), opened(tmp_path / name, tmp_path / "o"):
            raise AssertionError
        assert contents(tmp_path).keys() == {name}
    (tmp_path / name).write_bytes(data)
    with opened(tmp_path / name, tmp_path / "o") as folder:
        assert contents(folder) == MEMBERS


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_interrupted_unpacking_begins_again(tmp_path, monkeypatch, name, kill):
    source = write_archive(tmp_path / name)
    copied = []

    def interrupting(copy):
        def interrupt(*args):
            copied.append(args)
            if len(copied) == 2:
                raise KeyboardInterrupt
            return copy(*args)

        return interrupt

    with monkeypatch.context() as patch:
        for module in (shutil, tarfile):
            patch.setattr(module, "copyfileobj", interrupting(module.copyfileobj))
        if kill:
            patch.setattr(sources.shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(KeyboardInterrupt), opened(source, tmp_path / "out"):
            raise AssertionError
    assert len(copied) == 2
    left = contents(tmp_path / "out")
    assert len(left) == (2 if kill else 0)
    with opened(source, tmp_path / "out") as folder:
        assert contents(folder) == MEMBERS
    assert list((tmp_path / "out").iterdir()) == []


def test_what_was_unpacked_whole_is_not_unpacked_again(tmp_path, monkeypatch):
    source = write_archive(tmp_path / "a.zip")
    with pytest.raises(KeyboardInterrupt), opened(source, tmp_path / "out"):
        raise KeyboardInterrupt
    monkeypatch.setattr(sources, "_unpack", None)
    with opened(source, tmp_path / "out") as folder:
        assert contents(folder) == MEMBERS
    assert list((tmp_path / "out").iterdir()) == []


def test_a_mended_archive_is_unpacked_again(tmp_path):
    source = write_archive(tmp_path / "a.zip", {"a.txt": b"damaged, and longer"})
    with pytest.raises(ValueError, match="damaged"), opened(source, tmp_path / "out"):
        raise ValueError("a.txt is damaged")
    write_archive(source, {"a.txt": b"mended"})
    with opened(source, tmp_path / "out") as folder:
        assert contents(folder) == {"a.txt": b"mended"}


def test_the_folder_itself_as_a_member(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("./", b"")
        archive.writestr("./a.txt", b"first")
    with opened(tmp_path / "a.zip", tmp_path / "out") as folder:
        assert contents(folder) == {"a.txt": b"first"}


# Files


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files(tmp_path):
    touch(tmp_path, "b.wav", "a/z.WAV", "a/b/c.flac", "a/.hidden.wav", "a/._b.wav", "d.txt", "wav")
    (tmp_path / "folder.wav").mkdir()
    assert files(tmp_path, (".wav", ".flac")) == ["a/b/c.flac", "a/z.WAV", "b.wav"]
    assert files(str(tmp_path), (".flac",)) == ["a/b/c.flac"]
    with pytest.raises(FileNotFoundError, match=r"suffixes \.mp3, \.ogg below"):
        files(tmp_path, (".mp3", ".ogg"))


def test_find(tmp_path):
    touch(tmp_path, "deep/deeper/a", "deep/b", "other/b")
    (tmp_path / "folder" / "c").mkdir(parents=True)
    assert find(tmp_path, "a") == tmp_path / "deep" / "deeper" / "a"
    assert find(tmp_path, "a.gz", "a") == tmp_path / "deep" / "deeper" / "a"
    with pytest.raises(ValueError, match=r"several in .*deep/b, .*other/b"):
        find(tmp_path, "b")
    for names in (("c",), ("d", "c")):
        with pytest.raises(FileNotFoundError, match=f"has no {' or '.join(names)}"):
            find(tmp_path, *names)
    touch(tmp_path, "b")  # that of the folder itself goes before those below
    assert find(tmp_path, "x", "b") == tmp_path / "b"
    touch(tmp_path, "x")
    assert find(tmp_path, "x", "b") == tmp_path / "x"


def test_split_names():
    names = [f"n{i:02d}" for i in range(40)]
    parts = split_names(names, valid=0.1, test=0.25, seed=3)
    assert {split: len(part) for split, part in parts.items()} == {"train": 26, "valid": 4, "test": 10}
    assert sorted(name for part in parts.values() for name in part) == names
    assert all(part == sorted(part) for part in parts.values())  # in the order that was given
    assert parts == split_names(names, valid=0.1, test=0.25, seed=3) != split_names(names, 0.1, 0.25, seed=4)
    assert split_names(names, 0, 0, 0) == {"train": names, "valid": [], "test": []}
    few = split_names(names[:5], 0.01, 0.01, 0)
    assert [len(part) for part in few.values()] == [3, 1, 1]
    for arguments in ((names[:2], 0.1, 0.1), (names, 0.5, 0.5), ([], 0, 0)):
        with pytest.raises(ValueError, match=f"{len(arguments[0])} sources are too few"):
            split_names(*arguments, seed=0)


def test_each_name_is_as_likely_in_each_part():
    names = list(range(10))
    tested = np.bincount([i for seed in range(400) for i in split_names(names, 0.2, 0.3, seed)["test"]], minlength=10)
    assert abs(tested - 120).max() < 5 * np.sqrt(400 * 0.3 * 0.7)
