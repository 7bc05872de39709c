"""Pieces of long sequences, side by side and one after another, for training with states that are carried on."""

import functools

import numpy as np

from zf_keras.arguments import check_choice, check_positive_int
from zf_keras.data.batches import Batches, lengths_of


class Pieces(Batches):
    """Batches of pieces of sequences, as models with `num_streams` train on them.

    A pass lays all sequences one after another and cuts them into pieces of `length` steps and so many streams of
    equally many pieces. Row r of a batch is the next piece of stream r. Where it does not go on from the row's piece
    in the batch before, `first` is true: at the beginning of a sequence and of a pass. The last piece of a sequence
    may be shorter, which the mask says. The last stream is filled up with the pass's first pieces.

    As of `Batches`, `pieces[i]` is batch i of a training without end, and depends on nothing but `seed` and i. With
    `shuffle` each pass has its own order of the sequences. A sequence in which a stream ends goes on in the next one,
    from the initial state.

    Args:
        sequences: as for `Batches`.
        num_streams: int. Rows of every batch.
        length: int. Predicted steps in a piece.
        key: `"targets"`, where the input of a sequence's first step is the start frame, or `"inputs"`, where its first
            frame is given and not predicted. Defaults to `"targets"`.
        start_token: int. The model's, for tokens. Defaults to `0`.
        shuffle, seed: as for `Batches`.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> songs = [np.random.normal(size=(time, 3)) for time in (50, 41, 13)]
    >>> pieces = Pieces(songs, num_streams=2, length=10)
    >>> len(pieces), pieces[1]["targets"].shape, pieces[1]["first"].tolist()
    (6, (2, 10, 3), [False, False])
    >>> model = RNN(units=4, output="gaussian", num_streams=2)
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(pieces, epochs=2, verbose=0)
    """

    def __init__(self, sequences, num_streams, length, key="targets", start_token=0, shuffle=False, seed=0):
        check_positive_int("num_streams", num_streams)
        check_positive_int("length", length)
        check_choice("key", key, ("inputs", "targets"))
        least = 1 + (key == "inputs")
        lengths = lengths_of(sequences)
        if len(lengths) and lengths.min() < least:
            raise ValueError(f"Sequence {int(lengths.argmin())} of `sequences` has fewer than {least} steps.")
        self.length = length
        self.start_token = start_token
        self.steps = lengths - (key == "inputs")
        self.counts = -(-self.steps // length)
        super().__init__(sequences, num_streams, key, shuffle, seed=seed)
        self.one_length = not (self.steps % length).any()
        if self.counts.sum() < num_streams:
            raise ValueError(
                f"`sequences` have {self.counts.sum()} pieces of {length} steps, fewer than num_streams={num_streams}."
            )
        self._places = functools.lru_cache(2)(self._places)
        # A sequence is read once, and not for each of its pieces.
        self._read = functools.lru_cache(2 * num_streams)(self._read)

    def __len__(self):
        return -(-int(self.counts.sum()) // self.batch_size)

    def order(self, number):
        return list(self._places(number)[0])

    def _places(self, number):
        """The sequence of each row's piece in each batch of a pass, and the piece's number in it: (batches, rows)."""
        order = np.arange(len(self.sequences))
        if self.shuffle:
            order = np.random.default_rng([self.seed, 0, number]).permutation(order)
        ends = np.cumsum(self.counts[order])
        pieces = np.arange(self.batch_size * len(self)).reshape(self.batch_size, len(self)).T % ends[-1]
        places = np.searchsorted(ends, pieces, side="right")
        return order[places], pieces - (ends - self.counts[order])[places]

    def _read(self, number, index):
        rng = np.random.default_rng([self.seed, 1, number, index])
        draws = self.shuffle and hasattr(self.sequences, "draw")
        sequence = self.sequences.draw(index, rng) if draws else self.sequences[index]
        if isinstance(sequence, dict):
            raise ValueError("Pieces are of targets alone. Received sequences with more: train on whole ones.")
        sequence = np.asarray(sequence)
        if self.key == "inputs":
            return sequence
        start = np.full_like(sequence[:1], self.start_token if sequence.ndim == 1 else 0)
        return np.concatenate([start, sequence])

    def __getitem__(self, i):
        if i < 0:
            raise IndexError(f"Batches are numbered from 0. Received: {i}.")
        number, position = divmod(i, len(self))
        indices, pieces = (each[position] for each in self._places(number))
        frames = [
            self._read(number, int(index))[piece * self.length : (piece + 1) * self.length + 1]
            for index, piece in zip(indices, pieces, strict=True)
        ]
        whole = np.zeros((len(frames), self.length + 1, *frames[0].shape[1:]), np.result_type(*frames))
        for row, each in zip(whole, frames, strict=True):
            row[: len(each)] = each
        batch = {"inputs": whole[:, :-1], "targets": whole[:, 1:]}
        if not self.one_length:
            batch["mask"] = np.arange(self.length) < np.array([len(each) - 1 for each in frames])[:, None]
        return batch | {"first": (pieces == 0) | (position == 0)}

    def shape(self, name, x):
        return x.shape
