"""Blizzard: audiobooks read by one speaker of American English, half a second a sequence.

Source: the Blizzard Challenge 2013, task EH. Licence: that which Lessac Technologies gave to its participants; not to
be passed on. Citation: S. King and V. Karaiskos, "The Blizzard Challenge 2013", Blizzard Challenge Workshop, 2013.

Layout: a folder with the recordings anywhere below it, or an archive of it: WAV, FLAC or, where libsndfile is 1.1 or
newer, MP3, of one channel and 16 kHz. What was released has other rates; `sox in.mp3 -r 16000 -c 1 out.flac` makes
this. A folder with the same speech twice, in segments and as whole chapters, say, would have it in more than one part.
"""

import dataclasses

from zf_keras.datasets import speech


def prepare(
    source,
    directory,
    frame_size=200,
    piece_frames=40,
    last="drop",
    channels="error",
    sample_rate=16_000,
    valid=0.05,
    test=0.05,
    seed=0,
    on_error="stop",
    verbose=True,
):
    """Writes the frames of the recordings to shards, split by file; see `zf_keras.datasets.speech.prepare`."""
    return speech.prepare(
        source,
        directory,
        frame_size=frame_size,
        piece_frames=piece_frames,
        last=last,
        channels=channels,
        sample_rate=sample_rate,
        valid=valid,
        test=test,
        seed=seed,
        suffixes=(".wav", ".flac", ".mp3"),
        on_error=on_error,
        verbose=verbose,
        dataset="blizzard",
    )


def load_data(directory, standardize=True, verify=False):
    """The prepared pieces as sequences of frames; see `zf_keras.datasets.speech.load_data`."""
    return speech.load_data(directory, standardize, verify, dataset="blizzard")


DATASET = dataclasses.replace(speech.DATASET, load_data=load_data, prepare=prepare)
