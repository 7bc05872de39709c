"""Speech: the waveforms of any folder of recordings, so many samples a step.

Source, licence and citation: those of the recordings. `timit`, `blizzard` and `ljspeech` know theirs.

Layout: a folder with files of one sample rate anywhere below it, or an archive of it: WAV, FLAC or NIST SPHERE, with
the suffix `.wav`, `.flac`, `.sph` or `.nist` in any case. What a file is, its content says: TIMIT's `.WAV` are SPHERE.
Of files whose names differ in such suffixes only, `a.flac` and `a.wav` or `SA1.WAV` and `SA1.WAV.wav`, the first by
name is taken. Frames are stored in the units of 16-bit samples: of more bits the highest 16 are kept, and floating
point is multiplied by 32767, rounded and clipped.
"""

import os
from pathlib import Path

import numpy as np

from zf_keras import pictures, units
from zf_keras.arguments import check_choice, check_positive_int, check_rate
from zf_keras.data.batches import Mapped
from zf_keras.data.files import file_state
from zf_keras.data.shard_writer import write_shards
from zf_keras.datasets import sources
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.recordings import import_soundfile, open_recording, read_frames, to_int16
from zf_keras.datasets.splits import Splits, load_splits

SUFFIXES = (".wav", ".flac", ".sph", ".nist")


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
    import_soundfile()  # in `read` it would pass for an error of the file

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
            with open_recording(Path(folder) / name) as file:
                if file.channels == 1 or channels != "error":
                    return file.samplerate
        except ValueError:
            pass  # reading it says so, with its name
    return None


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
    samples = sequences.lengths * manifest["frame"]["shape"][0]
    return {"bits a sample": units.bits_a_sample(log_likelihoods, samples, manifest["statistics"]["std"])}


def read_prompt(given, manifest):
    """Frames of a recording to be continued: (time, frame_size) float32, standardised.

    Args:
        given: path. A WAV, FLAC or SPHERE file at the sample rate of the data set.
        manifest: dict. Of the data set.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: says what is wrong with the file.
    """
    settings, statistics = manifest["identity"]["settings"], manifest["statistics"]
    if not Path(given).is_file():
        raise FileNotFoundError(f"There is no recording {given}.")
    options = {name: settings[name] for name in ("frame_size", "channels")}
    frames = next(read_frames(given, sample_rate=manifest["survey"]["sample_rate"], **options), None)
    if frames is None:
        raise ValueError(f"{given} is shorter than a frame of {options['frame_size']} samples.")
    return (frames.astype("float32") - np.float32(statistics["mean"])) / np.float32(statistics["std"])


def write_samples(samples, directory, manifest):
    """Writes generated waveforms as `sample-00.wav`, ..., and pictures of them, `samples.png`.

    Args:
        samples: array (count, time, frame_size), standardised.
        directory: path.
        manifest: dict. Of the data set.

    Returns:
        List of the paths written.
    """
    soundfile = import_soundfile()
    directory = Path(directory)
    paths = []

    def put(name, write):
        paths.append(directory / name)
        partial = directory / f"partial-{name}"
        write(partial)
        os.replace(partial, paths[-1])

    for i, sample in enumerate(samples):
        wave, rate = audio(sample, manifest)
        put(
            f"sample-{i:02d}.wav",
            lambda path, wave=wave, rate=rate: soundfile.write(path, wave, rate, "PCM_16", format="WAV"),
        )
    drawn = figure(samples, manifest)
    put("samples.png", lambda path: drawn.savefig(path, format="png", dpi=120))
    return paths


def figure(groups, manifest, columns=None):
    """Waveforms and spectrograms of groups: as `zf_keras.pictures.waveforms`."""
    return pictures.waveforms(groups, manifest["survey"]["sample_rate"])


def audio(frames, manifest):
    """The sound of standardised frames (time, frame_size), (samples,) int16, and samples a second."""
    statistics = manifest["statistics"]
    wave = to_int16(np.asarray(frames, "float64") * statistics["std"] + statistics["mean"])
    return wave.ravel(), manifest["survey"]["sample_rate"]


DATASET = Dataset(
    load_data,
    prepare,
    measures=measures,
    read_prompt=read_prompt,
    write_samples=write_samples,
    figure=figure,
    audio=audio,
)
