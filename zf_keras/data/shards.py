"""Prepared data sets: the sequences of memory-mapped shards, as `shard_writer` wrote them.

A directory holds, for each split, shards of whole sequences: `train-00000.npy`, the frames (frames, features) or
tokens (frames,) of all its sequences end to end, and `train-00000.ends.npy`, where each sequence ends. Where sequences
have more than targets, `train-00000.covariates.npy` holds as many frames, and `train-00000.static.npy` and
`train-00000.categories.npy` a row a sequence. `manifest.json` is written last: a directory without it is not complete.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from zf_keras.data.sequences import TIMELESS

MANIFEST, PROGRESS = "manifest.json", "progress.json"


def read_json(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): delete the directory, and prepare again.") from error


def checksum(path):
    """SHA-256 of a file, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(path, **kwargs):
    try:
        return np.load(path, **kwargs)
    except (ValueError, EOFError) as error:
        raise ValueError(_damaged(path)) from error


def _damaged(path):
    return f"{path} is missing or not as it was written: delete the directory, and prepare again."


class Shards:
    """The sequences of one split of a prepared data set, memory-mapped; a random-access source for Grain.

    A sequence is an array, or a dict of `"targets"` and what stands beside them, as `write_shards` got it.

    Args:
        directory: path. As given to `prepare`.
        split: str. Such as `"train"`.
        verify: bool. Whether to compare the checksums, which reads every byte. Defaults to `False`.

    Raises:
        FileNotFoundError: there is no complete data set.
        ValueError: no such split, or a file that is not as it was written.
    """

    def __init__(self, directory, split, verify=False):
        directory = Path(directory)
        if not (directory / MANIFEST).exists():
            state = (
                "its preparation is not complete" if (directory / PROGRESS).exists() else "nothing was prepared there"
            )
            raise FileNotFoundError(f"{directory} has no {MANIFEST}: {state}.")
        self.manifest = read_json(directory / MANIFEST)
        if split not in self.manifest["splits"]:
            raise ValueError(f"`split` must be one of {sorted(self.manifest['splits'])}. Received: split={split!r}.")
        shards = self.manifest["splits"][split]["shards"]
        for file, expected in [pair for shard in shards for pair in shard["sha256"].items()]:
            if not (directory / file).exists() or (verify and checksum(directory / file) != expected):
                raise ValueError(_damaged(directory / file))
        self._frames = [_load(directory / f"{shard['name']}.npy", mmap_mode="r") for shard in shards]
        self._beside = [
            {key: _load(directory / f"{shard['name']}.{key}.npy", mmap_mode="r") for key in self._frames_beside}
            for shard in shards
        ]
        self._ends = [_load(directory / f"{shard['name']}.ends.npy") for shard in shards]
        for shard, frames, beside, ends in zip(shards, self._frames, self._beside, self._ends, strict=True):
            for name, right in (
                (f"{shard['name']}.npy", _holds(shard["frames"], frames, self.manifest["frame"])),
                *(
                    (f"{shard['name']}.{key}.npy", _holds(count_of(key, shard), beside[key], frame))
                    for key, frame in self._frames_beside.items()
                ),
                (f"{shard['name']}.ends.npy", _end(shard, ends)),
            ):
                if not right:
                    raise ValueError(_damaged(directory / name))
        self._paths = [directory / f"{shard['name']}.npy" for shard in shards]
        self._first = np.cumsum([0] + [len(ends) for ends in self._ends])

    @property
    def _frames_beside(self):
        return self.manifest.get("beside", {})

    @property
    def lengths(self):
        """Steps of every sequence, (sequences,)."""
        return np.concatenate([np.diff(ends, prepend=0) for ends in self._ends] or [np.zeros(0, "int64")])

    def __len__(self):
        return int(self._first[-1])

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Sequence {index} of {len(self)}.")
        shard = int(np.searchsorted(self._first, index, side="right")) - 1
        row = index - self._first[shard]
        ends = self._ends[shard]
        steps = slice(ends[row - 1] if row else 0, ends[row])
        sequence = self._frames[shard][steps]
        wrong = np.isinf if self.manifest.get("missing") else _not_finite
        if sequence.dtype.kind == "f" and wrong(sequence).any():
            raise ValueError(f"Sequence {index} is not finite. {_damaged(self._paths[shard])}")
        beside = {key: array[row if key in TIMELESS else steps] for key, array in self._beside[shard].items()}
        return {"targets": sequence, **beside} if beside else sequence


def _not_finite(array):
    return ~np.isfinite(array)


def count_of(key, shard):
    """Rows that a shard has of what stands beside its targets."""
    return shard["sequences" if key in TIMELESS else "frames"]


def _holds(count, array, frame):
    """Whether an array has as many frames and such as the manifest says, and nothing follows them."""
    return (
        list(array.shape) == [count, *frame["shape"]]
        and array.dtype.name == frame["dtype"]
        and Path(array.filename).stat().st_size == array.offset + array.nbytes
    )


def _end(shard, ends):
    """Whether ends are those of so many sequences and frames."""
    return (
        ends.shape == (shard["sequences"],)
        and ends.dtype == "int64"
        and ends[-1] == shard["frames"]
        and (np.diff(ends, prepend=0) > 0).all()
    )
