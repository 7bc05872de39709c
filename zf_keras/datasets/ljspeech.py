"""LJ Speech: 13,100 passages of books read by one speaker of American English, 22,050 Hz.

Source: K. Ito and L. Johnson, https://keithito.com/LJ-Speech-Dataset. Licence: public domain. Citation: K. Ito and
L. Johnson, "The LJ Speech Dataset", 2017.

Layout: a folder with `LJSpeech-1.1/wavs/LJ001-0001.wav`, ... or any other tree of those files, or the archive
`LJSpeech-1.1.tar.bz2`; texts are not needed.
"""

import dataclasses

from zf_keras.datasets import speech


def prepare(
    source,
    directory,
    frame_size=200,
    piece_frames=None,
    last="drop",
    valid=0.05,
    test=0.05,
    seed=0,
    on_error="stop",
    verbose=True,
):
    """Writes the frames of the passages to shards, split by file; see `zf_keras.datasets.speech.prepare`."""
    return speech.prepare(
        source,
        directory,
        frame_size=frame_size,
        piece_frames=piece_frames,
        last=last,
        sample_rate=22_050,
        valid=valid,
        test=test,
        seed=seed,
        suffixes=(".wav",),
        on_error=on_error,
        verbose=verbose,
        dataset="ljspeech",
    )


def load_data(directory, standardize=True, verify=False):
    """The prepared passages as sequences of frames; see `zf_keras.datasets.speech.load_data`."""
    return speech.load_data(directory, standardize, verify, dataset="ljspeech")


DATASET = dataclasses.replace(speech.DATASET, load_data=load_data, prepare=prepare)
