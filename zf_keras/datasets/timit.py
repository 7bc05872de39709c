"""TIMIT: 6,300 sentences read by 630 speakers of American English, 16 kHz.

Source: Linguistic Data Consortium, LDC93S1. Licence: that of the LDC, for its members and those who bought it.
Citation: J. S. Garofolo, L. F. Lamel, W. M. Fisher, J. G. Fiscus, D. S. Pallett, N. L. Dahlgren and V. Zue, "TIMIT
Acoustic-Phonetic Continuous Speech Corpus", LDC93S1, Linguistic Data Consortium, 1993.

Layout: a folder with these files, also below other folders such as `timit`, in upper or lower case, of SPHERE, WAV or
FLAC; or an archive of it.

    TRAIN/DR1/FCJF0/SA1.WAV ...    4,620 utterances of 462 speakers in DR1 to DR8, in full
    TEST/DR1/FAKS0/SA1.WAV ...     1,680 utterances of 168 other speakers

The test part is that of the corpus, all of it. The validation part is, by a rule of this package, all utterances of
5 % of the training speakers, drawn by the seed: in full, 23 speakers and 230 utterances.
"""

import dataclasses
import re

from zf_keras.arguments import check_rate
from zf_keras.datasets import sources, speech

UTTERANCE = re.compile(r"(?:.*/)?(train|test)/(dr\d/[^/]+)/[^/]+", re.IGNORECASE)


def prepare(
    source,
    directory,
    frame_size=200,
    piece_frames=None,
    last="drop",
    valid=0.05,
    seed=0,
    on_error="stop",
    verbose=True,
):
    """Writes the frames of the utterances to shards.

    Args:
        source: path. A folder as in the layout, or an archive of it.
        directory: path. Where the shards go.
        frame_size: int. Samples a step. Defaults to `200`.
        piece_frames: int or `None`. As for `zf_keras.datasets.speech.prepare`. Defaults to `None`, whole utterances.
        last: `"drop"` or `"pad"`, likewise. Defaults to `"drop"`.
        valid: float. Share of the training speakers for the validation part; where it is > 0 at least one. Defaults
            to `0.05`.
        seed: int. By which they are drawn. Defaults to `0`.
        on_error: `"stop"` or `"skip"`, as for `write_shards`. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        The manifest, a dict.

    Raises:
        FileNotFoundError: no utterance for training, or for test, is where the layout says.
        ImportError: soundfile is not installed.
        ValueError: names what is wrong with an argument, or with a file.
    """
    check_rate("valid", valid)
    with sources.opened(source, directory) as folder:
        return speech.write_speech(
            "timit",
            folder,
            directory,
            _split(folder, valid, seed),
            {"valid": valid, "seed": seed},
            frame_size=frame_size,
            piece_frames=piece_frames,
            last=last,
            channels="error",
            sample_rate=16_000,
            on_error=on_error,
            verbose=verbose,
        )


def _split(folder, valid, seed):
    found = {"train": {}, "test": {}}  # the utterances of each speaker
    for name in speech.utterances(folder):
        if match := UTTERANCE.fullmatch(name):
            found[match[1].lower()].setdefault(match[2].upper(), []).append(name)
    for part, speakers in found.items():
        if not speakers:
            raise FileNotFoundError(f"{folder} has no {part.upper()}/DR1/SPEAKER/NAME.WAV of any region or speaker.")
    dealt = sources.split_names(sorted(found["train"]), valid, 0, seed)
    splits = {part: [name for speaker in dealt[part] for name in found["train"][speaker]] for part in dealt}
    return {**splits, "test": [name for names in found["test"].values() for name in names]}


def load_data(directory, standardize=True, verify=False):
    """The prepared utterances as sequences of frames; see `zf_keras.datasets.speech.load_data`."""
    return speech.load_data(directory, standardize, verify, dataset="timit")


DATASET = dataclasses.replace(speech.DATASET, load_data=load_data, prepare=prepare)
