"""Recordings as frames: WAV, FLAC, NIST SPHERE or MP3, read in blocks, and never taken for whole where they are cut."""

import re
import struct
from pathlib import Path

import numpy as np

from zf_keras.extras import optional_import

BLOCK = 2**20  # samples that are read at once of a whole utterance
UNKNOWN = 2**63 - 1  # libsndfile's length of what doesn't say it


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
    with open_recording(path) as file:
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


def import_soundfile():
    return optional_import("soundfile", "datasets", "Audio")


def open_recording(path):
    soundfile, path = import_soundfile(), Path(path)
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
    soundfile = import_soundfile()
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
            yield mono if mono.dtype == "int16" else to_int16(mono * 32767 if floating else mono)
        if len(block) < size:
            return


def to_int16(values):
    if not np.isfinite(values).all():
        raise ValueError("there are samples that are nan or infinite")
    return np.clip(np.rint(values), -32768, 32767).astype("int16")
