"""What stands beside the targets of a sequence, from its files to a batch."""

import json

import keras
import numpy as np
import pytest

from zf_keras.data.batches import Batches, lengths_of
from zf_keras.data.pieces import Pieces
from zf_keras.data.shard_writer import write_shards
from zf_keras.data.shards import MANIFEST, Shards
from zf_keras.data.windows import Windows

LENGTHS = (5, 3, 8, 1)


def sequence(i):
    rng = np.random.default_rng(i)
    return {
        "targets": rng.normal(size=(LENGTHS[i], 2)).astype("float32"),
        "covariates": rng.normal(size=(LENGTHS[i], 3)).astype("float32"),
        "static": rng.normal(size=2).astype("float32"),
        "categories": np.array([i], "int32"),
    }


SEQUENCES = [sequence(i) for i in range(4)]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])
        assert found[key].dtype == expected[key].dtype


def written(directory, read=lambda source, _: [sequence(int(source))], sources="0123", **options):
    options = {"verbose": False, "shard_bytes": 1200, **options}
    return write_shards(directory, "toy", {"train": list(sources)}, read, **options)


def test_what_is_read_back_is_what_was_written(tmp_path):
    manifest = written(tmp_path)
    found = Shards(tmp_path, "train", verify=True)
    assert len(manifest["splits"]["train"]["shards"]) > 1 and lengths_of(found).tolist() == list(LENGTHS)
    for i, expected in enumerate(SEQUENCES):
        assert_same(found[i], expected)
    assert manifest["frame"] == {"shape": [2], "dtype": "float32"}
    assert manifest["beside"]["categories"] == {"shape": [1], "dtype": "int32"}
    (tmp_path / "train-00001.static.npy").write_bytes((tmp_path / "train-00000.static.npy").read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"train-00001\.static\.npy is missing or not as it was written"):
        Shards(tmp_path, "train")


def test_an_interrupted_preparation_ends_with_the_same_bytes(tmp_path):
    def interrupted(source, _):
        if source == "3":
            raise KeyboardInterrupt
        return [sequence(int(source))]

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "new", interrupted)
    assert not (tmp_path / "new" / MANIFEST).exists()
    written(tmp_path / "new")
    written(tmp_path / "whole")
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} and len(files) > 10


def test_missing_values(tmp_path):
    def read(source, _):
        targets = np.array([[1.0], [np.nan], [3.0]])
        return [targets if source == "0" else targets + np.inf]

    manifest = written(tmp_path / "a", read, "0", missing=True)
    assert manifest["statistics"] == {"mean": 2.0, "std": 1.0}
    np.testing.assert_array_equal(Shards(tmp_path / "a", "train")[0], [[1], [np.nan], [3]])
    with pytest.raises(ValueError, match="0: a sequence holds nan"):
        written(tmp_path / "b", read, "0")
    with pytest.raises(ValueError, match="1: a sequence holds inf"):
        written(tmp_path / "c", read, "1", missing=True)
    text = (tmp_path / "a" / MANIFEST).read_text()
    (tmp_path / "a" / MANIFEST).write_text(json.dumps(json.loads(text) | {"missing": False}))
    with pytest.raises(ValueError, match="Sequence 0 is not finite"):
        Shards(tmp_path / "a", "train")[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"covariates": np.zeros((4, 3), "float32")}, r"covariates of a sequence must be \(5, features\)"),
        ({"covariates": np.full((5, 3), np.nan, "float32")}, "covariates holds nan"),
        ({"static": np.zeros((5, 2), "float32")}, r"static of a sequence must be \(features,\)"),
        ({"categories": np.zeros(1)}, "categories of a sequence must be .* of integers"),
        ({"static": np.zeros(3, "float32")}, "what stands beside the targets are .*, where those before"),
        (
            {"weather": np.zeros((5, 2))},
            "a sequence may have targets, covariates, static, categories. Received: 'weather'",
        ),
    ],
)
def test_what_is_refused(tmp_path, changed, message):
    with pytest.raises(ValueError, match=f"1: {message}"):
        written(tmp_path, lambda source, _: [SEQUENCES[0] | (changed if source == "1" else {})], "01")


def test_batches():
    batches = Batches(SEQUENCES, 3, multiple=1)
    first, last = batches
    assert first["mask"].sum(axis=1).tolist() == [5, 3, 8] and last["targets"].shape == (1, 1, 2)
    for i, expected in enumerate(SEQUENCES[:3]):
        there = first["mask"][i]
        assert_same(
            {
                key: x[i] if key in ("static", "categories") else x[i][there]
                for key, x in first.items()
                if key != "mask"
            },
            expected,
        )
        assert not first["targets"][i][~there].any() and not first["covariates"][i][~there].any()
    for batch, expected in zip(batches.dataset(stop=2), batches, strict=True):
        assert_same({key: keras.ops.convert_to_numpy(x) for key, x in batch.items()}, expected)
    if keras.config.backend() == "tensorflow":
        shapes = {key: spec.shape.as_list() for key, spec in batches.dataset().element_spec.items()}
        assert shapes["static"] == [None, 2] and shapes["covariates"] == [None, None, 3]
    # Rows that fill a batch up are masked; of two processes the second has one of its own.
    filled = Batches(SEQUENCES, 3, replicas=4, rows=(1, 2), multiple=1)[0]
    assert filled["mask"].sum(axis=1).tolist() == [8, 0]
    assert_same({"static": filled["static"][0]}, {"static": SEQUENCES[2]["static"]})
    assert not filled["static"][1].any() and not filled["categories"][1].any()
    whole = Batches([SEQUENCES[0], SEQUENCES[0]], 2)[0]
    assert "mask" not in whole and whole["static"].shape == (2, 2) and whole["covariates"].shape == (2, 5, 3)
    with pytest.raises(ValueError, match="Pieces are of targets alone"):
        _ = Pieces(SEQUENCES, 2, 3)[0]


def test_windows():
    windows = Windows(SEQUENCES, 4, stride=2)
    assert windows.lengths.tolist() == [4, 3, 4, 4, 4, 1] and len(windows) == 6
    steps = [(0, slice(1, 5)), (1, slice(3)), (2, slice(4)), (2, slice(2, 6)), (2, slice(4, 8)), (3, slice(1))]
    for found, (i, part) in zip(map(windows.__getitem__, range(6)), steps, strict=True):
        of_steps = {key: SEQUENCES[i][key][part] for key in ("targets", "covariates")}
        assert_same(found, SEQUENCES[i] | of_steps)
    np.testing.assert_array_equal(Windows([np.arange(6)], 4, 2)[1], [2, 3, 4, 5])
    assert lengths_of(Windows(SEQUENCES, 9)).tolist() == list(LENGTHS)
    for index in (-1, 6):
        with pytest.raises(IndexError):
            windows[index]
    with pytest.raises(ValueError, match="`stride` must be a positive integer"):
        Windows(SEQUENCES, 4, 0)
