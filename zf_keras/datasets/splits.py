"""The parts of a data set."""

from typing import Any, NamedTuple

from zf_keras.data.shards import Shards


class Splits(NamedTuple):
    """Random access to the sequences of each part: `len(splits.train)`, `splits.train[0]`, `splits.train.lengths`."""

    train: Any
    valid: Any
    test: Any

    def map(self, function):
        """The splits with `function` of each."""
        return Splits(*map(function, self))


def load_splits(directory, dataset, verify=False):
    """`Splits` of `Shards` that were prepared as `dataset`, as they were written.

    Args:
        directory: path. As given to the data set's `prepare`.
        dataset: str. Its name.
        verify: bool. Whether to compare the checksums, which reads every byte. Defaults to `False`.

    Raises:
        FileNotFoundError: there is no complete data set.
        ValueError: it is another data set, or a file is not as it was written.
    """
    splits = Splits(*(Shards(directory, split, verify) for split in Splits._fields))
    found = splits.train.manifest["identity"]["dataset"]
    if found != dataset:
        raise ValueError(f"{directory} holds the data set {found!r}, not {dataset!r}.")
    return splits
