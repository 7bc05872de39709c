"""Sources that are changed between two calls of a preparation, and names and shards that are not as they should be."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.data.test_shards import contents
from zf_keras.data.shard_writer import write_shards
from zf_keras.data.shards import MANIFEST, Shards

NAMES = ("a", "b", "c")


def write(path, values):
    """Each file is of a size of its own."""
    path.write_text(" ".join(map(str, values)))


@pytest.fixture
def sources(tmp_path):
    for i, name in enumerate(NAMES):
        write(tmp_path / name, range(10 * i, 10 * i + 5 + i))
    return [tmp_path / name for name in NAMES]


def read(path, survey):
    values = np.array(Path(path).read_text().split(), "float32")
    yield (values + (survey or 0))[:, None]


def prepared(directory, sources, read=read, **kwargs):
    return write_shards(directory, "toy", {"train": sources}, read, **{"verbose": False, "shard_bytes": 1, **kwargs})


def killed_at(name):
    def killed(path, survey):
        if path.endswith(name):
            raise KeyboardInterrupt
        return read(path, survey)

    return killed


def interrupted(directory, sources, name="c", **kwargs):
    with pytest.raises(KeyboardInterrupt):
        prepared(directory, sources, killed_at(name), **kwargs)


def test_a_source_that_was_read_and_changed_is_read_anew(tmp_path, sources, capsys):
    interrupted(tmp_path / "out", sources)
    write(sources[0], range(50, 57))
    prepared(tmp_path / "out", sources, verbose=True)
    assert f"{sources[0]} was changed since it was read" in capsys.readouterr().out
    prepared(tmp_path / "new", sources)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")
    assert Shards(tmp_path / "out", "train")[0][0] == 50


def test_a_change_of_the_same_size_is_seen_by_its_time(tmp_path, sources):
    interrupted(tmp_path / "out", sources)
    sources[0].write_text(sources[0].read_text().replace("4", "9"))
    os.utime(sources[0], (1, 1))
    prepared(tmp_path / "out", sources)
    assert Shards(tmp_path / "out", "train")[0][-1] == 9


def test_a_change_while_all_is_read_is_seen_at_the_end(tmp_path, sources):
    def changing(path, survey):
        yield from read(path, survey)
        if path.endswith("c"):
            write(sources[0], range(50, 57))

    with pytest.raises(ValueError, match=f"{sources[0]} was changed while it was read. Prepare again"):
        prepared(tmp_path / "out", sources, changing)
    assert not (tmp_path / "out" / MANIFEST).exists()
    prepared(tmp_path / "out", sources)
    assert Shards(tmp_path / "out", "train")[0][0] == 50


def test_what_was_not_read_yet_may_be_mended(tmp_path, sources):
    interrupted(tmp_path / "out", sources)
    write(sources[2], range(3))
    consumed = []
    prepared(tmp_path / "out", sources, lambda path, survey: consumed.append(path) or read(path, survey))
    assert consumed == list(map(str, sources[1:]))  # it was killed between the shard of one and the next
    assert Shards(tmp_path / "out", "train").lengths.tolist() == [5, 6, 3]


def test_a_survey_that_would_be_another_is_made_anew(tmp_path, sources):
    """A vocabulary is drawn from all sources, those that were not read yet too."""

    def survey():
        return max(len(path.read_text()) for path in sources)

    interrupted(tmp_path / "out", sources, survey=survey)
    write(sources[2], range(100))
    assert prepared(tmp_path / "out", sources, survey=survey)["survey"] == survey()
    assert Shards(tmp_path / "out", "train")[0][0] == survey()


def test_a_first_source_is_mended_after_it_misled_the_survey(tmp_path, sources):
    def survey():
        return len(sources[0].read_text())

    def choosy(path, survey):
        if survey > 9:
            raise ValueError("other rate")
        return read(path, survey)

    write(sources[0], range(30))
    with pytest.raises(ValueError, match="other rate"):
        prepared(tmp_path / "out", sources, choosy, survey=survey)
    write(sources[0], range(5))
    assert prepared(tmp_path / "out", sources, choosy, survey=survey)["survey"] == 9


def test_a_preparation_of_an_older_version_goes_on(tmp_path, sources):
    interrupted(tmp_path / "out", sources)
    progress = json.loads((tmp_path / "out" / "progress.json").read_text())
    del progress["states"]
    (tmp_path / "out" / "progress.json").write_text(json.dumps(progress))
    prepared(tmp_path / "out", sources, lambda path, survey: 1 / 0 if path.endswith("a") else read(path, survey))
    assert len(Shards(tmp_path / "out", "train")) == 3


def test_states_are_not_in_the_manifest(tmp_path, sources):
    """The same data is the same on every machine."""
    prepared(tmp_path / "one", sources)
    os.utime(sources[0], (1, 1))
    prepared(tmp_path / "two", sources)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_name_that_is_not_utf8(tmp_path, sources):
    strange = f"{tmp_path}/\udcff"
    with pytest.raises(ValueError, match=r"\\udcff: the name is not UTF-8"):
        prepared(tmp_path / "stop", [strange, *sources])
    manifest = prepared(tmp_path / "skip", [strange, *sources], on_error="skip")
    assert manifest["skipped"][0]["source"].endswith("\\udcff") and len(Shards(tmp_path / "skip", "train")) == 3


def test_names_of_sources_may_stand_for_anything(tmp_path):
    splits = {"train": {"x, first": (0, 2), "x, last": (2, 5)}}
    write_shards(tmp_path, "toy", splits, lambda part, _: [np.arange(*part)[:, None] * 1.0], verbose=False)
    assert Shards(tmp_path, "train")[1].ravel().tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("train-00000.npy", lambda x: x[:-1]),
        ("train-00000.npy", lambda x: x.astype("float64")),
        ("train-00000.npy", lambda x: np.concatenate([x, x], axis=1)),
        ("train-00000.ends.npy", lambda x: x[:1]),
        ("train-00000.ends.npy", lambda x: x[::-1].copy()),
        ("train-00000.ends.npy", lambda x: x + 1),
        ("train-00000.ends.npy", lambda x: x - [9, 0, 0]),
        ("train-00000.ends.npy", lambda x: x.astype("float64")),
    ],
)
def test_damaged_shards_are_found_without_verify(tmp_path, sources, file, array):
    prepared(tmp_path / "out", sources, shard_bytes=10_000)
    np.save(tmp_path / "out" / file, array(np.load(tmp_path / "out" / file)))
    with pytest.raises(ValueError, match=rf"{file} is missing or not as it was written"):
        Shards(tmp_path / "out", "train")


def test_a_shard_with_more_behind_it(tmp_path, sources):
    prepared(tmp_path / "out", sources)
    with (tmp_path / "out" / "train-00001.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"train-00001\.npy is missing or not as it was written"):
        Shards(tmp_path / "out", "train")


def test_a_sequence_that_is_not_finite_is_found_when_it_is_read(tmp_path, sources):
    prepared(tmp_path / "out", sources)
    frames = np.load(tmp_path / "out" / "train-00001.npy")
    frames[2] = np.nan
    np.save(tmp_path / "out" / "train-00001.npy", frames)
    found = Shards(tmp_path / "out", "train")
    assert np.isfinite(found[0]).all() and (tmp_path / "out" / MANIFEST).exists()
    with pytest.raises(ValueError, match=r"Sequence 1 is not finite.*train-00001\.npy"):
        found[1]
