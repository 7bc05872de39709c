"""Piano rolls in .npz files and pickles, of which nothing is executed."""

import io
import numbers
import pickle
from pathlib import Path

import numpy as np

from zf_keras.datasets.midi import MAX_FRAMES, NOTES
from zf_keras.datasets.npz import opened_npz
from zf_keras.datasets.splits import Splits

MAX_PICKLE_BYTES = 2**28


def read_npz(path):
    """Dict from split to a list of rolls, arrays (time, 88) of uint8."""
    splits = {}
    try:
        with opened_npz(path) as arrays:
            for split in Splits._fields:
                if split not in arrays:
                    raise ValueError(f"it has no array {split!r} but {sorted(arrays)}")
                splits[split] = _rolls(split, arrays[split], arrays.get(f"{split}_lengths"))
    except ValueError as error:
        raise ValueError(f"{path} is not an .npz file of piano rolls: {error}.") from error
    return splits


def _rolls(split, array, lengths):
    if array.ndim == 3 and array.shape[2] == len(NOTES) // 8 and array.dtype == "uint8":
        array = np.unpackbits(array, axis=-1)
    if array.ndim != 3 or array.shape[2] != len(NOTES) or not np.isin(array, (0, 1)).all():
        raise ValueError(f"{split!r} must be (sequences, time, 88) of 0 and 1, or packed: shape={array.shape}")
    count, time = array.shape[:2]
    lengths = np.full(count, time) if lengths is None else lengths
    if lengths.shape != (count,) or not np.isin(lengths, range(time + 1)).all():
        raise ValueError(f"'{split}_lengths' must be {count} integers up to {time}: shape={lengths.shape}")
    return [roll[: int(length)] for roll, length in zip(array.astype("uint8"), lengths, strict=True)]


class _PlainUnpickler(pickle.Unpickler):
    """Of lists, tuples, dicts, numbers and strings: whatever would call or import something is refused."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and nothing of a pickle is executed here")

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it refers to objects outside of it")


def read_pickle(path):
    """Dict from split to a list of songs, lists of frames, as they are in the pickle; `notes_to_roll` checks them."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_PICKLE_BYTES + 1)
        if len(data) > MAX_PICKLE_BYTES:
            raise ValueError(f"more than {MAX_PICKLE_BYTES} bytes")
        splits = _PlainUnpickler(io.BytesIO(data)).load()
        if type(splits) is not dict or set(splits) != set(Splits._fields):
            keys = sorted(map(str, splits)) if type(splits) is dict else type(splits).__name__
            raise ValueError(f"it must hold a dict of {', '.join(Splits._fields)}, not {keys}")
        for split, songs in splits.items():
            if not all(type(x) in (list, tuple) for x in (songs, *songs)):
                raise ValueError(f"{split!r} must be a list of lists")
        # One list may stand in many places of another: a small pickle can be of any size once it is written out.
        if sum(len(song) for songs in splits.values() for song in songs) > MAX_FRAMES:
            raise ValueError(f"more than {MAX_FRAMES} frames")
    except Exception as error:  # unpickling what is no pickle may raise anything
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a whole pickle of piano rolls: {reason}.") from error
    return {split: splits[split] for split in Splits._fields}


def notes_to_roll(song):
    """The roll, uint8 (time, 88), of a list of frames, lists or tuples of MIDI notes."""
    roll = np.zeros((len(song), len(NOTES)), "uint8")
    for i, notes in enumerate(song):
        if type(notes) not in (list, tuple) or len(notes) > len(NOTES):
            raise ValueError(f"frame {i} must be a list or tuple of at most {len(NOTES)} notes")
        for note in notes:
            if not isinstance(note, numbers.Integral) or note not in NOTES:
                raise ValueError(f"frame {i} has the note {note!r}, not one of {NOTES[0]} to {NOTES[-1]}")
            roll[i, note - NOTES[0]] = 1
    return roll
