"""Sources that are no files, have no name, or claim what they do not hold."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from zf_keras.datasets import binarized_mnist, mnist, text
from zf_keras.datasets.roll_files import read_npz
from zf_keras.datasets.sources import files, opened
from zf_keras.datasets.tokens import Characters


def test_a_link_to_nothing(tmp_path):
    (tmp_path / "a.txt").symlink_to("gone")
    with pytest.raises(ValueError, match=r"a\.txt is a link to nothing"):
        files(tmp_path, (".txt",))


def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"a\.txt is neither a file nor a folder"):
        files(tmp_path, (".txt",))


def zipped(path, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.txt", "abc" * 50)
    return path


def patched(path, local, central, value):
    """A zip file with a field of its only member changed, in both its headers."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<H", data, local, value)
    struct.pack_into("<H", data, at + central, value)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("local", "central", "value", "message"),
    [(6, 8, 1, "can't be unpacked here: .*encrypted"), (8, 10, 97, "can't be unpacked here: .*not supported")],
)
def test_archives_that_zipfile_does_not_read(tmp_path, local, central, value, message):
    path = zipped(tmp_path / "a.zip")
    patched(path, local, central, value)
    with pytest.raises(ValueError, match=message), opened(path, tmp_path / "out"):
        pass
    assert not list((tmp_path / "out").iterdir())


def test_files_of_a_zip_have_the_time_that_it_says(tmp_path):
    """So that a preparation which goes on knows them again where they were unpacked twice."""
    path = zipped(tmp_path / "a.zip")
    patched(path, 12, 14, (2001 - 1980) << 9 | 2 << 5 | 3)
    with opened(path, tmp_path / "out") as folder:
        assert 980_000_000 < (folder / "a.txt").stat().st_mtime < 982_000_000


def test_a_zip_without_dates(tmp_path):
    path = zipped(tmp_path / "a.zip")
    patched(path, 12, 14, 0)
    with opened(path, tmp_path / "out") as folder:
        assert (folder / "a.txt").read_text() == "abc" * 50


def test_a_vocabulary_is_that_of_the_texts_as_they_are(tmp_path, monkeypatch):
    """Killed after the first file, while another is changed."""
    source = tmp_path / "source"
    for split in ("train", "valid", "test"):
        (source / split).mkdir(parents=True)
        (source / split / "a.txt").write_text("abcde " * 40)
    real = Characters.sequences

    def killed(self, folder, file, *args):
        if file.startswith("valid"):
            raise KeyboardInterrupt
        return real(self, folder, file, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Characters, "sequences", killed)
        text.prepare(source, tmp_path / "out", split="folders", verbose=False)
    (source / "train" / "a.txt").write_text("vwxyz " * 40)
    manifest = text.prepare(source, tmp_path / "out", split="folders", verbose=False)
    assert set("vwxyz") <= set(manifest["survey"]["vocabulary"]) and "a" not in manifest["survey"]["vocabulary"]


def claiming(path, names, shape):
    """An .npz file whose headers say a shape, with 16 bytes behind each."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            file = io.BytesIO()
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            archive.writestr(f"{name}.npy", file.getvalue() + bytes(16))


def test_a_header_that_claims_800_tib(tmp_path):
    claiming(tmp_path / "binarized_mnist.npz", ("train", "valid", "test"), (2**40, 784))
    with pytest.raises(ValueError, match=r"train\.npy claims shape .* more than can be in its \d+ bytes"):
        binarized_mnist.prepare(tmp_path, tmp_path / "out", verbose=False)
    with pytest.raises(ValueError, match=r"not an \.npz file of piano rolls: train\.npy claims shape"):
        read_npz(tmp_path / "binarized_mnist.npz")


def test_an_encrypted_npz(tmp_path):
    np.savez(tmp_path / "binarized_mnist.npz", train=np.zeros((2, 784), "uint8"))
    patched(tmp_path / "binarized_mnist.npz", 6, 8, 1)
    with pytest.raises(ValueError, match=r"not a whole \.npz file: .*encrypted"):
        binarized_mnist.prepare(tmp_path, tmp_path / "out", verbose=False)


def test_zeros_are_deflated_far(tmp_path):
    zeros = {split: np.zeros((3000, 784), "uint8") for split in ("train", "valid", "test")}
    np.savez_compressed(tmp_path / "binarized_mnist.npz", **zeros)
    manifest = binarized_mnist.prepare(tmp_path, tmp_path / "out", verbose=False)
    assert manifest["splits"]["train"]["shards"][0]["sequences"] == 3000


def test_images_of_2_to_the_62_pixels(tmp_path):
    (tmp_path / "a").write_bytes(struct.pack(">4I", 0x803, 1, 2**31, 2**31) + bytes(9))
    with pytest.raises(ValueError, match="images of 2147483648x2147483648 pixels"):
        next(mnist.read_idx(tmp_path / "a"))


def test_a_text_whose_name_is_not_utf8(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for i in range(6):
        (source / f"{i}.txt").write_text("abcde " * 9)
    with open(os.fsencode(source) + b"/\xff.txt", "w") as file:
        file.write("abcde " * 9)
    with pytest.raises(ValueError, match=r"\\udcff\.txt: the name is not UTF-8"):
        text.prepare(source, tmp_path / "out", valid=0.2, test=0.2, verbose=False)
    manifest = text.prepare(source, tmp_path / "out", valid=0.2, test=0.2, on_error="skip", verbose=False)
    (skipped,) = manifest["skipped"]
    assert skipped["source"].startswith("\\udcff.txt")
