"""Polyphonic music as piano rolls: which of the 88 notes of a piano sound in each frame, as zeros and ones.

Source: N. Boulanger-Lewandowski, http://www-etud.iro.umontreal.ca/~boulanni/icml2012: JSB Chorales, Nottingham,
MuseData and Piano-midi.de, as MIDI files and as pickles. Licence: none is stated for the benchmark; the music comes
from four collections with terms of their own.
Citation: N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling Temporal Dependencies in High-Dimensional
Sequences: Application to Polyphonic Music Generation and Transcription", ICML 2012.

Frame 0 of a sequence is given, the others are predicted: `Batches(..., key=KEY)`. Training sequences are cut into
pieces of 100 predicted frames, as by the authors of SRNN (M. Fraccaro et al., NeurIPS 2016), whose pieces may run from
one song into the next; here none does, except in data that they cut.

Layout: one of these, anywhere below a folder; arrays or a pickle are taken before MIDI files.

    NAME.npz                arrays `train`, `valid` and `test`, (sequences, time, 88) of 0 and 1, or (sequences, time,
                            11) of bits packed by `numpy.packbits`; and for each part that is padded, such as `test`,
                            `test_lengths` (sequences,), frame 0 included
    NAME.pickle, NAME.pkl   a dict of "train", "valid" and "test": lists of songs, lists of frames, tuples or lists of
                            MIDI notes, 21 to 108. Nothing in it is executed
    train/, valid/, test/   with MIDI files (.mid, .midi) in them or in folders below; or MIDI files without such
                            folders, which are dealt out at random
"""

import contextlib
from pathlib import Path

import numpy as np

from zf_keras import pictures, units
from zf_keras.arguments import check_positive, check_positive_int
from zf_keras.data.batches import Mapped
from zf_keras.data.files import file_state
from zf_keras.data.shard_writer import write_shards
from zf_keras.datasets import midi, sources
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.midi import STEP_SECONDS
from zf_keras.datasets.roll_files import notes_to_roll, read_npz, read_pickle
from zf_keras.datasets.splits import Splits, load_splits

KEY = "inputs"
PICKLES, MIDI_FILES = (".pickle", ".pkl"), (".mid", ".midi")


def prepare(
    source,
    directory,
    name=None,
    piece_frames=100,
    step_seconds=STEP_SECONDS,
    valid=0.1,
    test=0.1,
    seed=0,
    on_error="stop",
    verbose=True,
):
    """Writes the piano rolls to shards.

    Args:
        source: path. A folder as in the layout, an archive of it, or one .npz file or pickle.
        directory: path. Where the shards go.
        name: str or `None`. Which set of a folder with several: the beginning of the name of a file or folder, such
            as `"jsb_chorales"`; case, blanks and punctuation don't count. Defaults to `None`, the only one.
        piece_frames: int or `None`. Predicted frames in a piece of a training sequence: pieces have one frame more,
            the last of the piece before, and the last of a sequence may have fewer. `None` for whole sequences. Those
            of valid and test are whole. Defaults to `100`.
        step_seconds: float. Time from frame to frame, of MIDI files. Defaults to `0.3`.
        valid: float. Share of MIDI files without folders `train`, `valid` and `test` that go to valid. Defaults to
            `0.1`.
        test: float. Likewise to test. Defaults to `0.1`.
        seed: int. Of dealing them out. Defaults to `0`.
        on_error: `"stop"` or `"skip"`, as for `write_shards`, for each sequence. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        The manifest, a dict.

    Raises:
        FileNotFoundError: nothing of the layout is there.
        ImportError: the files are MIDI, and mido is not installed.
        ValueError: an argument is wrong, a file is not as it should be, or a sequence has less than 2 frames.
    """
    if piece_frames is not None:
        check_positive_int("piece_frames", piece_frames)
    check_positive("step_seconds", step_seconds)
    source, settings = Path(source), {"piece_frames": piece_frames}
    one_file = source.is_file() and source.suffix.lower() in (".npz", *PICKLES)
    with contextlib.nullcontext(source.parent) if one_file else sources.opened(source, directory) as folder:
        files = [source.name] if one_file else _find(folder, name)
        if Path(files[0]).suffix.lower() in MIDI_FILES:
            midi.import_mido()
            settings |= {"step_seconds": step_seconds, "valid": valid, "test": test, "seed": seed}
            splits = _split_files(files, valid, test, seed)
            songs = {split: {file: folder / file for file in part} for split, part in splits.items()}

            def to_roll(path):
                return midi.read_midi(path, step_seconds)

            state = file_state
        else:
            (file,) = files
            read, to_roll = (read_npz, np.asarray) if file.lower().endswith(".npz") else (read_pickle, notes_to_roll)
            splits = read(folder / file)
            songs = {s: {f"{file}, {s} {i}": song for i, song in enumerate(part)} for s, part in splits.items()}
            state_of_all = file_state(folder / file)

            def state(song):
                return state_of_all

        def read_song(source, _):
            song, split = source
            roll = to_roll(song)
            if len(roll) < 2:
                raise ValueError(f"{len(roll)} frames, of which the first is given, leave nothing to predict")
            return cut(roll, piece_frames) if split == "train" else [roll]

        return write_shards(
            directory,
            "piano_rolls",
            {split: {key: (song, split) for key, song in part.items()} for split, part in songs.items()},
            read_song,
            settings=settings,
            statistics_of=None,
            on_error=on_error,
            verbose=verbose,
            state=lambda source: state(source[0]),
        )


def _find(folder, name):
    """The one .npz file or pickle below a folder, or else its MIDI files; of the set `name`."""

    def plain(text):
        return "".join(filter(str.isalnum, text.lower()))

    suffixes = (".npz", *PICKLES, *MIDI_FILES)
    found = sources.files(folder, suffixes)
    if name is not None:
        found = [file for file in found if any(plain(part).startswith(plain(name)) for part in Path(file).parts)]
        if not found:
            raise FileNotFoundError(f"No file ({', '.join(suffixes)}) or folder below {folder} is called {name!r}.")
    alone = [file for file in found if Path(file).suffix.lower() not in MIDI_FILES]
    # A set of MIDI files is what is in the folder above train, valid and test.
    several = alone or sorted({str(_split_folder(file)[0]) for file in found if _split_folder(file)})
    if len(several) > 1:
        raise ValueError(
            f"{folder} holds several sets, {', '.join(several)}: choose by `name`. Received: name={name!r}."
        )
    return alone or found


def _split_folder(file):
    """(the folder above, split) of a file in a folder train, valid or test; `None` of another."""
    for folder in Path(file).parents:
        if folder.name.lower() in Splits._fields:
            return folder.parent, folder.name.lower()
    return None


def _split_files(files, valid, test, seed):
    places = {file: _split_folder(file) for file in files}
    if not any(places.values()):
        return sources.split_names(files, valid, test, seed)
    lost = [file for file, place in places.items() if not place]
    if lost:
        raise ValueError(f"{lost[0]} is in none of the folders {', '.join(Splits._fields)}, which others are in.")
    splits = {split: [file for file in files if places[file][1] == split] for split in Splits._fields}
    for split, part in splits.items():
        if not part:
            raise ValueError(f"No MIDI file is in a folder {split!r}, though there are such folders.")
    return splits


def cut(roll, piece_frames):
    """Pieces of a roll; each but the first starts with the last frame of the one before, which is given."""
    if piece_frames is None:
        return [roll]
    return [roll[i : i + piece_frames + 1] for i in range(0, len(roll) - 1, piece_frames)]


def load_data(directory, verify=False):
    """The prepared rolls as sequences of 0 and 1, float32.

    Args:
        directory: path. As given to `prepare`.
        verify: bool. Whether to compare the checksums. Defaults to `False`.

    Returns:
        `Splits(train, valid, test)`, random access to arrays (time, 88).

    Raises:
        FileNotFoundError: nothing complete is there.
        ValueError: another data set is, or a file is not as it was written.
    """
    return load_splits(directory, "piano_rolls", verify).map(
        lambda shards: Mapped(shards, lambda roll: roll.astype("float32"))
    )


def measures(log_likelihoods, sequences):
    """What a log-likelihood comes to beside nats a sequence.

    Args:
        log_likelihoods: array (sequences,), nats.
        sequences: the split that was scored.

    Returns:
        Dict with `"nats a frame, mean over sequences"`, the unit of SRNN's authors: each sequence counts alike.
    """
    predicted = sequences.lengths - 1
    return {
        "nats a frame, mean over sequences": units.nats_a_frame_over_sequences(log_likelihoods, predicted),
    }


def read_prompt(given, manifest):
    """The roll of a MIDI file to be continued: (time, 88) float32.

    Args:
        given: path. Of a MIDI file.
        manifest: dict. Of the data set, for how long a frame lasts.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not MIDI, or holds no notes of a piano.
    """
    if not Path(given).is_file():
        raise FileNotFoundError(f"There is no MIDI file {given}.")
    roll = midi.read_midi(given, _step_seconds(manifest))
    if not roll.any():
        raise ValueError(f"{given} holds no notes of a piano.")
    return roll.astype("float32")


def write_samples(samples, directory, manifest):
    """Writes generated rolls as MIDI files, `sample-00.mid` and on, and one picture of all, `samples.png`.

    Args:
        samples: array (count, time, 88) of 0 and 1.
        directory: path.
        manifest: dict. Of the data set. A frame lasts as long as when it was prepared, 0.3 seconds where that was
            not from MIDI.

    Returns:
        List of the paths written.
    """
    paths = [Path(directory) / f"sample-{i:02d}.mid" for i in range(len(samples))]
    for roll, path in zip(samples, paths, strict=True):
        midi.write_midi(roll, path, _step_seconds(manifest))
    picture = Path(directory) / "samples.png"
    pictures.rolls(samples).savefig(picture)
    return [*paths, picture]


def figure(groups, manifest, columns=None):
    """The rolls of groups: as `zf_keras.pictures.rolls`."""
    return pictures.rolls(groups)


def audio(roll, manifest):
    """The sound of a roll, (samples,) int16, and samples a second."""
    return midi.to_wave(roll, _step_seconds(manifest))


def _step_seconds(manifest):
    return manifest["identity"]["settings"].get("step_seconds", STEP_SECONDS)


DATASET = Dataset(
    load_data,
    prepare,
    key=KEY,
    measures=measures,
    read_prompt=read_prompt,
    write_samples=write_samples,
    figure=figure,
    audio=audio,
)
