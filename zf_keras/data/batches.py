"""Padded batches of sequences of any length, each a function of the seed and of its number in the training."""

import threading

import keras
import numpy as np

from zf_keras.arguments import check_choice, check_positive_int, optional
from zf_keras.data.padding import padded_size
from zf_keras.data.sequences import TIMELESS


class Batches:
    """Batches `{"targets", "mask"}` of sequences, padded to a length of each, as every model's `fit` takes them.

    `batches[i]` is batch i of the training, i = 0, 1, ... without end: pass i // len(batches) over the data, and its
    batch i % len(batches). It depends on nothing but `seed` and i, so that a training that goes on from an update
    sees what it would have seen. With `shuffle` each pass has an order of its own in which sequences of like length
    go together: it is cut into windows of several batches, each window sorted by length, and the batches shuffled.
    Without `shuffle` all passes are the same.

    Where all sequences are of one length there is no mask.

    Args:
        sequences: random access, `len` and `[i]` to an array (time, features) or (time,) of tokens: a split of a
            data set's `load_data`, a list, or an array (batch, time, ...). Or `[i]` is a dict of `"targets"` and what
            stands beside them, `"covariates"` (time, features), `"static"` (features,) and `"categories"` (count,):
            the batches hold them too.
        batch_size: int. Sequences in a batch; the last of a pass may have fewer.
        key: `"targets"`, or `"inputs"` where the first frame is given and not predicted. Defaults to `"targets"`.
        shuffle: bool. Whether each pass has an order of its own, rather than that of `sequences`. Defaults to
            `False`.
        window: int. Batches in a window that is sorted by length, with `shuffle`; 1 for none. Defaults to `50`.
        seed: int >= 0. Of order and of random transformations. Defaults to `0`.
        multiple: int or `None`. Batches are padded to a multiple of so many steps. Defaults to `None`: on JAX, which
            compiles a program for each length, to one of a few lengths, at most an eighth more above 64 steps; on
            TensorFlow not at all.
        process: pair of ints. (index, count): which share of the batches of every pass this process takes. The
            batches left over by a division by count are dropped, so that all processes take equally many.
            Defaults to `(0, 1)`, all.
        replicas: int. Batches are filled up, with rows that are masked in every step, to a multiple of so many, which
            each take a share. Defaults to `1`.
        rows: pair of ints. (index, count): which share of the rows of every batch this process takes. Defaults to
            `(0, 1)`, all.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> batches = Batches([np.zeros((6, 3)), np.ones((2, 3))], batch_size=2)
    >>> batches[0]["targets"].shape, int(batches[0]["mask"].sum())
    ((2, 6, 3), 8)
    >>> model = RNN(units=4, output="gaussian")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(batches.dataset(), steps_per_epoch=len(batches), epochs=2, verbose=0)
    """

    def __init__(
        self,
        sequences,
        batch_size,
        key="targets",
        shuffle=False,
        window=50,
        seed=0,
        multiple=None,
        process=(0, 1),
        replicas=1,
        rows=(0, 1),
    ):
        sizes = {"batch_size": batch_size, "window": window, "replicas": replicas}
        for name, value in sizes.items():
            check_positive_int(name, value)
        optional(check_positive_int, "multiple", multiple)
        check_choice("key", key, ("inputs", "targets"))
        for name, (index, count) in (("process", process), ("rows", rows)):
            if not 0 <= index < count:
                raise ValueError(
                    f"`{name}` must be (index, count) with 0 <= index < count. Received: {name}={(index, count)}."
                )
        if replicas % rows[1]:
            raise ValueError(
                f"`replicas` must be a multiple of the processes in `rows`. Received: replicas={replicas}, rows={rows}."
            )
        if not len(sequences):
            raise ValueError("`sequences` holds none.")
        self.sequences = sequences
        self.batch_size = batch_size
        self.key = key
        self.shuffle = shuffle
        self.window = window
        self.seed = seed
        self.multiple = multiple
        self.process = process
        self.replicas = replicas
        self.rows = rows
        self.lengths = lengths_of(sequences)
        if self.lengths.min() < 1:
            raise ValueError(f"Sequence {int(self.lengths.argmin())} of `sequences` has no steps.")
        if len(self) == 0:
            raise ValueError(f"There are fewer batches than processes. Received: process={process}.")
        self.one_length = self.lengths.min() == self.lengths.max() and self.lengths[0] % (multiple or 1) == 0
        #: Whether all batches divide evenly among the replicas.
        self.even = not (batch_size % replicas or len(sequences) % batch_size % replicas)
        self._lock = threading.Lock()
        self._orders = {}

    def __len__(self):
        """Batches a pass."""
        return -(-len(self.sequences) // self.batch_size) // self.process[1]

    def order(self, number):
        """Indices of the sequences of each batch of a pass: a list of arrays."""
        with self._lock:
            if number not in self._orders:
                # Batches of the pass before may still be read, by another thread.
                self._orders = {n: order for n, order in self._orders.items() if n == number - 1}
                self._orders[number] = self._new_order(number)
            return self._orders[number]

    def _new_order(self, number):
        order, size = np.arange(len(self.sequences)), self.batch_size
        if self.shuffle:
            rng = np.random.default_rng([self.seed, 0, number])
            order = rng.permutation(order)
            if self.window > 1:
                windows = np.split(order, range(self.window * size, len(order), self.window * size))
                order = np.concatenate([w[np.argsort(self.lengths[w], kind="stable")] for w in windows])
        batches = np.split(order, range(size, len(order), size))
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        index, count = self.process
        return batches[index::count][: len(self)]

    def __getitem__(self, i):
        if i < 0:
            raise IndexError(f"Batches are numbered from 0. Received: {i}.")
        number, position = divmod(i, len(self))
        rng = np.random.default_rng([self.seed, 1, i, self.process[0]])
        indices = self.order(number)[position]
        # Time is that of the whole batch, rows are those of this process.
        index, count = self.rows
        size = -(-len(indices) // self.replicas) * self.replicas // count
        own = slice(index * size, (index + 1) * size)
        lengths = self.lengths[indices]
        if self.shuffle and hasattr(self.sequences, "draw"):
            # All of the batch, for one draw follows another.
            sequences = [self._as_dict(self.sequences.draw(int(i), rng)) for i in indices][own]
        else:
            sequences = [self._as_dict(self.sequences[int(i)]) for i in indices[own]]
        example = sequences[0] if sequences else self._as_dict(self.sequences[int(indices[0])])
        if self.one_length and self.even:
            return {key: np.stack([sequence[key] for sequence in sequences]) for key in example}
        time = self._padded(int(lengths.max()))
        mask = np.zeros((size, time), bool)
        mask[: len(sequences)] = np.arange(time) < lengths[own][:, None]
        batch = {}
        for key, first in example.items():
            arrays = [sequence[key] for sequence in sequences]
            shape = (size, *first.shape) if key in TIMELESS else (*mask.shape, *first.shape[1:])
            batch[key] = np.zeros(shape, np.result_type(*(arrays or [first])))
            if arrays and key in TIMELESS:
                batch[key][: len(arrays)] = arrays
            elif arrays:
                batch[key][mask] = np.concatenate(arrays)
        return batch | {"mask": mask}

    def _as_dict(self, sequence):
        """A sequence as a dict of arrays."""
        if isinstance(sequence, dict):
            return {key: np.asarray(value) for key, value in sequence.items()}
        return {self.key: np.asarray(sequence)}

    def _padded(self, time):
        if self.multiple is None:
            given = int(self.key == "inputs")  # the first step, which is not predicted
            return padded_size(time - given) + given
        return -(-time // self.multiple) * self.multiple

    def __iter__(self):
        """The batches of the first pass."""
        return (self[i] for i in range(len(self)))

    def dataset(self, start=0, stop=None, num_threads=2, prefetch=8):
        """Batches start, start + 1, ..., stop - 1, read ahead by Grain, as `fit` and `evaluate` take them.

        Args:
            start: int. Number of the first batch. Defaults to `0`.
            stop: int or `None`. One past the last. Defaults to `None`, no end: `fit` needs `steps_per_epoch` then.
            num_threads: int. That read. Defaults to `2`.
            prefetch: int. Batches that are read ahead. Defaults to `8`.

        Returns:
            `grain.IterDataset`; on TensorFlow a `tf.data.Dataset` of it, which knows that lengths differ.
        """
        import grain

        numbers = grain.MapDataset.range(start, 2**62 if stop is None else stop)
        read_ahead = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch)
        dataset = numbers.map(self.__getitem__).to_iter_dataset(read_ahead)
        if keras.config.backend() != "tensorflow":
            return dataset
        import tensorflow as tf

        signature = {name: tf.TensorSpec(self.shape(name, x), tf.as_dtype(x.dtype)) for name, x in self[start].items()}
        return tf.data.Dataset.from_generator(lambda: dataset, output_signature=signature).prefetch(2)

    def shape(self, name, x):
        """What is the same in the shapes of all batches like `x`, one of `name`; `None` where they differ."""
        return (None, x.shape[1] if self.one_length or name in TIMELESS else None, *x.shape[2:])


def lengths_of(sequences):
    """Steps of each of `sequences`, (len(sequences),)."""
    if hasattr(sequences, "lengths"):
        return np.asarray(sequences.lengths)
    if hasattr(sequences, "shape"):
        return np.full(sequences.shape[0], sequences.shape[1])
    return np.fromiter((len(targets_of(sequence)) for sequence in sequences), "int64", len(sequences))


def targets_of(sequence):
    """The targets of a sequence: itself, or of a dict."""
    return sequence["targets"] if isinstance(sequence, dict) else sequence


class Mapped:
    """Random access to a function of each of some sequences, which keeps their lengths.

    Args:
        sequences: random access.
        function: from an array (time, ...) to another; with `random`, from (array, generator).
        random: `None`; `"once"`, each sequence has one draw for ever; or `"anew"`, `mapped.draw(i, rng)`, which
            `Batches` calls where it shuffles, is another each time. Defaults to `None`, nothing is drawn.
        length: int or `None`. Steps of what `function` returns. Defaults to `None`, as many as it is given.
    """

    def __init__(self, sequences, function, random=None, length=None):
        check_choice("random", random, (None, "once", "anew"))
        self.sequences = sequences
        self.function = function
        self.random = random
        self.lengths = lengths_of(sequences) if length is None else np.full(len(sequences), length)

    @property
    def manifest(self):
        return self.sequences.manifest

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        sequence = self.sequences[index]
        return self.function(sequence, np.random.default_rng(index)) if self.random else self.function(sequence)

    def draw(self, index, rng):
        return self.function(self.sequences[index], rng) if self.random == "anew" else self[index]


class Subset:
    """Some of the sequences of a data set.

    Args:
        sequences: sequence of arrays, such as `Shards`.
        indices: array of int. Which, in this order.
    """

    def __init__(self, sequences, indices):
        self.sequences = sequences
        self.indices = np.asarray(indices)
        self.lengths = lengths_of(sequences)[self.indices]

    @property
    def manifest(self):
        return self.sequences.manifest

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.sequences[int(self.indices[index])]
