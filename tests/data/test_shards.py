"""Preparing a data set: whole or not at all, and on from where it was."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from zf_keras.data import shards
from zf_keras.data.shard_writer import write_shards
from zf_keras.data.shards import MANIFEST, Shards

SPLITS = {"train": [f"t{i}" for i in range(9)], "test": ["e0", "e1"]}


def read(source, survey=None):
    """Two sequences of each source."""
    rng = np.random.default_rng([ord(source[0]), int(source[1])])
    return [rng.normal(3.0, 2.0, size=(length, 2)).astype("float32") for length in rng.integers(1, 9, size=2)]


def prepared(directory, read=read, splits=SPLITS, **kwargs):
    return write_shards(directory, "toy", splits, read, **{"verbose": False, "shard_bytes": 600, **kwargs})


def contents(directory):
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def test_what_is_read_back_is_what_was_written(tmp_path):
    manifest = prepared(tmp_path / "new" / "folder", settings={"rate": 8000})
    for split, sources in SPLITS.items():
        expected = [sequence for source in sources for sequence in read(source)]
        found = Shards(tmp_path / "new" / "folder", split, verify=True)
        assert len(found) == len(expected) == found.lengths.size
        np.testing.assert_array_equal(found.lengths, [len(sequence) for sequence in expected])
        for i, sequence in enumerate(expected):
            np.testing.assert_array_equal(found[i], sequence)
        assert isinstance(found[0], np.memmap) and not found[0].flags.writeable
        for index in (-1, len(found)):
            with pytest.raises(IndexError):
                found[index]
        shards_ = manifest["splits"][split]["shards"]
        assert sum(shard["frames"] for shard in shards_) == found.lengths.sum()
    assert len(manifest["splits"]["train"]["shards"]) > 2
    frames = np.concatenate([sequence for source in SPLITS["train"] for sequence in read(source)]).astype("float64")
    assert manifest["statistics"] == pytest.approx({"mean": frames.mean(), "std": frames.std()}, rel=1e-12)
    assert manifest["identity"]["settings"] == {"rate": 8000} and manifest["skipped"] == []
    before = contents(tmp_path / "new" / "folder")
    assert (
        prepared(tmp_path / "new" / "folder", read=None, settings={"rate": 8000}) == manifest
    )  # nothing is done twice
    assert contents(tmp_path / "new" / "folder") == before


def test_tokens(tmp_path):
    prepared(tmp_path, lambda source, _: [np.arange(4), np.arange(2)], statistics_of=None)
    found = Shards(tmp_path, "train")
    assert found[1].tolist() == [0, 1] and found.manifest["statistics"] is None


@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_interrupted_at_any_moment_it_goes_on(tmp_path, monkeypatch, moment):
    """Before, while and after each file is put in place; the end is byte by byte that of one go."""
    prepared(tmp_path / "whole")
    calls, real = [], {"replace": os.replace, "fsync": os.fsync}

    def interrupt(name):
        def call(*args):
            calls.append(name)
            if len(calls) == moment:
                raise KeyboardInterrupt
            return real[name](*args)

        return call

    for name in real:
        monkeypatch.setattr(os, name, interrupt(name))
    try:
        prepared(tmp_path / "parts")
        assert not 0 < moment <= len(calls)
    except KeyboardInterrupt:
        assert not (tmp_path / "parts" / MANIFEST).exists()
        with pytest.raises(FileNotFoundError, match="no manifest"):
            Shards(tmp_path / "parts", "train")
        (tmp_path / "parts" / "partial-train-00000.npy").write_bytes(b"what a kill leaves")
        consumed = []
        prepared(tmp_path / "parts", lambda source, _: consumed.append(source) or read(source))
        done = len(SPLITS["train"] + SPLITS["test"]) - len(consumed)
        assert done >= 0 and (moment < 12 or done > 0)  # the first shard was not written again
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_errors_of_a_source_stop_or_are_counted(tmp_path):
    def broken(source, _):
        if source in ("t3", "t4"):
            raise EOFError("truncated")
        if source == "t6":
            return [np.full((3, 2), np.nan, "float32")]
        if source == "e1":
            return [np.zeros((3, 5), "float32")]
        return read(source)

    with pytest.raises(ValueError, match="t3: truncated"):
        prepared(tmp_path / "stop", broken)
    assert not (tmp_path / "stop" / MANIFEST).exists()
    prepared(tmp_path / "stop")  # mended, it goes on
    manifest = prepared(tmp_path / "skip", broken, on_error="skip")
    assert [skip["source"] for skip in manifest["skipped"]] == ["t3", "t4", "t6", "e1"]
    assert "nan" in manifest["skipped"][2]["error"] and "[5]" in manifest["skipped"][3]["error"]
    assert len(Shards(tmp_path / "skip", "train")) == 2 * 6 and len(Shards(tmp_path / "skip", "test")) == 2


def test_a_full_disk(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left for the shards.*goes on"):
            prepared(tmp_path / "full")
    assert not contents(tmp_path / "full")
    prepared(tmp_path / "full")
    prepared(tmp_path / "whole")
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


def test_what_lies_there_is_not_mistaken_or_harmed(tmp_path):
    prepared(tmp_path / "a", settings={"rate": 8000})
    with pytest.raises(ValueError, match=r"prepared with rate=8000, not rate=16000\. Choose"):
        prepared(tmp_path / "a", settings={"rate": 16000})
    with pytest.raises(
        ValueError,
        match=r"prepared from other sources: \{'train': 9, 'test': 2\}, now \{'train': 9, 'test': 2, 'valid': 1\}",
    ):
        prepared(tmp_path / "a", settings={"rate": 8000}, splits={**SPLITS, "valid": ["v0"]})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.npy").write_text("all my work")
    with pytest.raises(ValueError, match=r"thesis\.npy"):
        prepared(tmp_path / "b")
    assert contents(tmp_path / "b") == {"thesis.npy": b"all my work"}
    with pytest.raises(ValueError, match=r"`split` must be one of .*'test', 'train'.*split='valid'"):
        Shards(tmp_path / "a", "valid")
    with pytest.raises(FileNotFoundError, match="nothing was prepared there"):
        Shards(tmp_path / "c", "train")


def test_arguments_can_be_mended_before_the_first_shard(tmp_path):
    def choosy(source, survey):
        raise ValueError("2 channels")

    with pytest.raises(ValueError, match="2 channels"):
        prepared(tmp_path / "a", choosy, settings={"channels": "error"})
    assert prepared(tmp_path / "a", settings={"channels": "mean"})["identity"]["settings"] == {"channels": "mean"}


def test_one_process_at_a_time(tmp_path):
    import filelock

    with filelock.FileLock(tmp_path / ".a.lock"), pytest.raises(ValueError, match="prepared by another process"):
        prepared(tmp_path / "a")
    prepared(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"read": lambda source, _: np.ones((4, 3))}, "dtype=float64"),
        ({"read": lambda source, _: [np.array(["a"])]}, "dtype=<U1"),
        ({"read": lambda source, _: [np.ones((4, 3), complex)]}, "complex"),
        ({"splits": {"train": "abc"}}, "list of sources for 'train'. Received: 'abc'"),
        ({"statistics_of": "trian"}, "statistics_of='trian'"),
    ],
)
def test_mistakes(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, **kwargs)


def test_damage_is_found(tmp_path):
    prepared(tmp_path)
    path = tmp_path / "train-00001.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"train-00001\.npy is missing or not as it was written"):
        Shards(tmp_path, "train", verify=True)
    path.write_bytes(data[:-8])
    with pytest.raises(ValueError, match=r"train-00001\.npy is missing or not as it was written"):
        Shards(tmp_path, "train")
    path.unlink()
    with pytest.raises(ValueError, match=r"train-00001\.npy"):
        Shards(tmp_path, "train")
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        Shards(tmp_path, "train")


def test_the_manifest_is_plain_json(tmp_path):
    manifest = prepared(tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text()) == manifest
    assert manifest["splits"]["train"]["shards"][0]["sha256"].keys() == {"train-00000.npy", "train-00000.ends.npy"}
    assert manifest["splits"]["train"]["shards"][0]["sha256"]["train-00000.npy"] == shards.checksum(
        tmp_path / "train-00000.npy"
    )
