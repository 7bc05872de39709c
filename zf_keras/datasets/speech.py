"""Speech: the waveforms of any folder of recordings, so many samples a step.

Source, licence and citation: those of the recordings. `timit`, `blizzard` and `ljspeech` know theirs.

Layout: a folder with files of one sample rate anywhere below it, or an archive of it: WAV, FLAC or NIST SPHERE, with
the suffix `.wav`, `.flac`, `.sph` or `.nist` in any case. What a file is, its content says: TIMIT's `.WAV` are SPHERE.
Of files whose names differ in such suffixes only, `a.flac` and `a.wav` or `SA1.WAV` and `SA1.WAV.wav`, the first by
name is taken. Frames are stored in the units of 16-bit samples: of more bits the highest 16 are kept, and floating
point is multiplied by 32767, rounded and clipped.
"""

import os
import re
import struct
from pathlib import Path

import numpy as np

from zf_keras.arguments import check_choice, check_positive_int, check_rate
from zf_keras.data.batches import Mapped
from zf_keras.data.files import file_state
from zf_keras.data.shard_writer import write_shards
from zf_keras.datasets import sources
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.splits import Splits, load_splits

SUFFIXES = (".wav", ".flac", ".sph", ".nist")
BLOCK = 2**20  # samples that are read at once of a whole utterance
UNKNOWN = 2**63 - 1  # libsndfile's length of what doesn't say it


def prepare(
    source,
    directory,
    frame_size=200,
    piece_frames=None,
    last="drop",
    channels="error",
    sample_rate=None,
    split="random",
    valid=0.05,
    test=0.05,
    seed=0,
    suffixes=SUFFIXES,
    on_error="stop",
    verbose=True,
    dataset="speech",
):
    """Writes the frames of the recordings to shards.

    Of a recording that is cut into pieces no more than a piece is read at once, whatever its length.

    Args:
        source: path. A folder as in the layout, or an archive of it.
        directory: path. Where the shards go.
        frame_size: int. Samples a step. Defaults to `200`.
        piece_frames: int or `None`. Each recording is cut into sequences of so many frames. Defaults to `None`, each
            is one sequence.
        last: `"drop"` or `"pad"`: what does not fill the last frame, or the last piece, is left out, or filled with
            zeros, which then count as speech. The manifest counts the recordings of which nothing is left. Defaults to
            `"drop"`.
        channels: what is made of files of several channels: `"error"`, none is read; `"mean"`; or `"first"`. Defaults
            to `"error"`.
        sample_rate: int or `None`. Samples a second that every file must have. Defaults to `None`, those of the first
            training file.
        split: `"random"`, by file; or `"folders"`, by the folders named train, valid and test, in any case, that the
            files are in. Defaults to `"random"`.
        valid: float. Share of the files for the validation part, where `split` is random. Defaults to `0.05`.
        test: float. Likewise for the test part. Defaults to `0.05`.
        seed: int. Of the random split. Defaults to `0`.
        suffixes: sequence of str. Lower-case suffixes of the files that are read. Defaults to those of the layout.
        on_error: `"stop"` or `"skip"`, as for `write_shards`. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.
        dataset: str. Name in the manifest. Defaults to `"speech"`.

    Returns:
        The manifest, a dict.

    Raises:
        FileNotFoundError: there is no file to read.
        ImportError: soundfile is not installed.
        ValueError: names what is wrong with an argument, or with a file.
    """
    check_choice("split", split, ("random", "folders"))
    check_rate("valid", valid)
    check_rate("test", test)
    with sources.opened(source, directory) as folder:
        names = utterances(folder, suffixes)
        if split == "random":
            splits = sources.split_names(names, valid, test, seed)
            rule = {"split": split, "valid": valid, "test": test, "seed": seed}
        else:
            splits, rule = _split_by_folders(names), {"split": split}
        return write_speech(
            dataset,
            folder,
            directory,
            splits,
            rule,
            frame_size=frame_size,
            piece_frames=piece_frames,
            last=last,
            channels=channels,
            sample_rate=sample_rate,
            on_error=on_error,
            verbose=verbose,
        )


def utterances(folder, suffixes=SUFFIXES):
    """Paths of the files below a folder, relative to it: of several of one utterance the first."""
    first = {}
    for name in sources.files(folder, suffixes):
        stem = Path(name)
        while stem.suffix.lower() in suffixes:
            stem = stem.with_suffix("")
        first.setdefault(stem, name)
    return list(first.values())


def _split_by_folders(names):
    splits = {split: [] for split in Splits._fields}
    for name in names:
        split = next((part.lower() for part in Path(name).parts[:-1] if part.lower() in splits), None)
        if split is None:
            raise ValueError(f"{name} is in no folder named {', '.join(splits)}.")
        splits[split].append(name)
    if not splits["train"]:
        raise ValueError("No file is in a folder named train.")
    return splits


def write_speech(dataset, folder, directory, splits, rule, *, on_error, verbose, **options):
    """Writes recordings that are split already.

    Args:
        dataset: str. Name in the manifest.
        folder: path. That the recordings are in.
        directory: path. Where the shards go.
        splits: dict from split to the paths of its recordings, relative to `folder`.
        rule: dict. The arguments by which they were split, for the manifest.
        on_error: `"stop"` or `"skip"`.
        verbose: bool.
        **options: of `read_frames`.
    """
    check_positive_int("frame_size", options["frame_size"])
    for name in ("piece_frames", "sample_rate"):
        if options[name] is not None:
            check_positive_int(name, options[name])
    check_choice("last", options["last"], ("drop", "pad"))
    check_choice("channels", options["channels"], ("error", "mean", "first"))
    _import_soundfile()  # in `read` it would pass for an error of the file

    def survey():
        rate = options["sample_rate"]
        return {
            "sample_rate": _first_sample_rate(folder, splits["train"], options["channels"]) if rate is None else rate
        }

    return write_shards(
        directory,
        dataset,
        splits,
        lambda name, survey: read_frames(Path(folder) / name, **{**options, **survey}),
        settings={**options, **rule},
        survey=survey,
        on_error=on_error,
        verbose=verbose,
        state=lambda name: file_state(Path(folder) / name),
    )


def _first_sample_rate(folder, names, channels):
    for name in names:
        try:
            with _open(Path(folder) / name) as file:
                if file.channels == 1 or channels != "error":
                    return file.samplerate
        except ValueError:
            pass  # reading it says so, with its name
    return None


def read_frames(path, frame_size=200, piece_frames=None, last="drop", channels="error", sample_rate=None):
    """Sequences of one recording, one at a time: arrays (time, frame_size) of int16.

    Args:
        path: path.
        frame_size: int. As for `prepare`, all of them. Defaults to `200`.
        piece_frames: int or `None`. Defaults to `None`.
        last: `"drop"` or `"pad"`. Defaults to `"drop"`.
        channels: `"error"`, `"mean"` or `"first"`. Defaults to `"error"`.
        sample_rate: int or `None`. Defaults to `None`, any.

    Raises:
        ValueError: says what is wrong with the file.
    """
    unit = frame_size * (piece_frames or 1)
    with _open(path) as file:
        if sample_rate not in (None, file.samplerate):
            raise ValueError(f"{file.samplerate} samples a second, where {sample_rate} are expected")
        if file.channels > 1 and channels == "error":
            raise ValueError(f"{file.channels} channels: choose `channels`, 'mean' or 'first'")
        blocks = _blocks(file, unit if piece_frames else BLOCK, channels)
        if piece_frames is None:
            blocks = [np.concatenate([np.zeros(0, "int16"), *blocks])]
        count = 0
        for block in blocks:
            count += len(block)
            left = len(block) % unit
            if left:
                block = block[:-left] if last == "drop" else np.pad(block, (0, unit - left))
            if len(block):
                yield from block.reshape(-1, piece_frames or len(block) // frame_size, frame_size)
    if count == 0:
        raise ValueError("it holds no samples, or its header says so")


def _import_soundfile():
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError where libsndfile is not there
        raise ImportError('Audio needs soundfile: pip install "zf_keras[datasets]".') from error
    return soundfile


def _open(path):
    soundfile, path = _import_soundfile(), Path(path)
    if not path.stat().st_size:
        raise ValueError("the file is empty")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not audio that can be read: {error.error_string}") from error
    try:
        # libsndfile takes what there is for the whole.
        if file.format in ("WAV", "WAVEX", "RF64"):
            _check_wav(path)
        elif file.format == "NIST":
            _check_sphere(path, file.frames)
    except ValueError:
        file.close()
        raise
    # soundfile goes back to where it is after each read of a file that can seek, and an MP3 can't do so exactly.
    file.seekable = lambda: False
    return file


def _check_wav(path):
    size, wide = path.stat().st_size, 0
    with path.open("rb") as file:
        order = ">" if file.read(12).startswith(b"RIFX") else "<"
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack(f"{order}4sI", header)
            after = file.tell() + length + length % 2
            if name == b"ds64":
                wide = struct.unpack("<8xQ", file.read(16))[0]
            if name == b"data":
                if length == 2**32 - 1:  # of RF64, or written to a pipe, as is 0
                    length = wide
                there = size - file.tell()
                if length > there:
                    raise ValueError(f"truncated: {there} bytes of samples, where the header says {length}")
                return
            file.seek(after)


def _check_sphere(path, frames):
    with path.open("rb") as file:
        found = re.search(rb"^sample_count -i (\d+)", file.read(int(file.read(16).split()[1])), re.MULTILINE)
    if found and frames < int(found[1]):
        raise ValueError(f"truncated: {frames} samples, where the header says {int(found[1])}")


def _blocks(file, size, channels):
    """Mono int16 of so many samples at once; the last has fewer."""
    soundfile = _import_soundfile()
    # libsndfile does not scale floating point that it converts, and MP3 is decoded to it.
    floating = file.subtype.startswith(("FLOAT", "DOUBLE", "MPEG"))
    count = 0
    while True:
        try:
            block = file.read(size, "float32" if floating else "int16", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"truncated or damaged after sample {count}: {error.error_string}") from error
        count += len(block)
        if len(block) < size and count < file.frames < UNKNOWN:
            raise ValueError(f"truncated: {count} samples, where the header says {file.frames}")
        if len(block):
            mono = block.mean(axis=1) if channels == "mean" else block[:, 0]
            yield mono if mono.dtype == "int16" else _int16(mono * 32767 if floating else mono)
        if len(block) < size:
            return


def _int16(values):
    if not np.isfinite(values).all():
        raise ValueError("there are samples that are nan or infinite")
    return np.clip(np.rint(values), -32768, 32767).astype("int16")


def load_data(directory, standardize=True, verify=False, dataset="speech"):
    """The prepared recordings as sequences of frames, float32.

    Args:
        directory: path. As given to `prepare`.
        standardize: bool. Whether all samples have the mean of the training part subtracted and are divided by its
            standard deviation; otherwise they are in the units of 16-bit samples. Defaults to `True`.
        verify: bool. Whether to compare the checksums. Defaults to `False`.
        dataset: str. Name in the manifest. Defaults to `"speech"`.

    Returns:
        `Splits(train, valid, test)`, random access to arrays (time, frame_size).

    Raises:
        FileNotFoundError: nothing complete is there.
        ValueError: it is another data set, a file is not as it was written, or the training part is silent.
    """
    splits = load_splits(directory, dataset, verify)
    statistics = splits.train.manifest["statistics"] if standardize else {"mean": 0.0, "std": 1.0}
    mean, std = np.float32(statistics["mean"]), np.float32(statistics["std"])
    if std == 0:
        raise ValueError(f"All training samples in {directory} are {mean}: they can't be standardised.")
    return splits.map(lambda shards: Mapped(shards, lambda frames: (frames.astype("float32") - mean) / std))


def measures(log_likelihoods, sequences):
    """What a log-likelihood comes to beside nats a sequence.

    Args:
        log_likelihoods: array (sequences,), nats, of the standardised frames.
        sequences: the split that was scored.

    Returns:
        Dict with `"bits a sample"`, of the density of samples in the units of 16 bits.
    """
    manifest = sequences.manifest
    samples = np.sum(sequences.lengths) * manifest["frame"]["shape"][0]
    nats = np.sum(np.asarray(log_likelihoods, "float64")) / samples
    return {"bits a sample": float((np.log(manifest["statistics"]["std"]) - nats) / np.log(2))}


def write_samples(samples, directory, manifest):
    """Writes generated waveforms as `sample-00.wav`, ..., and pictures of them, `samples.png`.

    Args:
        samples: array (count, time, frame_size), standardised.
        directory: path.
        manifest: dict. Of the data set.

    Returns:
        List of the paths written.
    """
    from matplotlib.figure import Figure

    soundfile = _import_soundfile()
    directory, rate = Path(directory), manifest["survey"]["sample_rate"]
    statistics = manifest["statistics"]
    waves = _int16(np.asarray(samples, "float64") * statistics["std"] + statistics["mean"])
    waves = waves.reshape(len(waves), -1)
    paths = []

    def put(name, write):
        paths.append(directory / name)
        partial = directory / f"partial-{name}"
        write(partial)
        os.replace(partial, paths[-1])

    for i, wave in enumerate(waves):
        put(f"sample-{i:02d}.wav", lambda path, wave=wave: soundfile.write(path, wave, rate, "PCM_16", format="WAV"))
    figure = Figure(figsize=(10, 0.6 + len(waves)), layout="constrained")
    rows = figure.subplots(len(waves), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, wave in zip(rows, waves, strict=True):
        axes.plot(np.arange(len(wave)) / rate, wave, linewidth=0.5)
        axes.margins(x=0)
    rows[-1].set_xlabel("seconds")
    put("samples.png", lambda path: figure.savefig(path, format="png", dpi=120))
    return paths


DATASET = Dataset(load_data, prepare, measures=measures, write_samples=write_samples)
