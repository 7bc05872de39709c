"""Memory and time to prepare a data set much larger than memory: `python -m benchmarks.preparation --gigabytes 20`.

Makes WAV files of noise that are hard links to a few, prepares them as `zf_keras.datasets.speech` in pieces of 40
frames, and prints the rate, and the peak of resident memory before and after.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measures import peak
from zf_keras.datasets import speech

FILE_SECONDS, RATE = 3600, 16_000


def make_recordings(folder, gigabytes):
    """WAV files of an hour each, 115 MB, hard links to eight; at least ten."""
    import soundfile

    count = max(10, round(gigabytes * 1e9 / (2 * FILE_SECONDS * RATE)))
    for i in range(count):
        path = folder / f"{i:05d}.wav"
        if i < 8:
            rng = np.random.default_rng(i)
            with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
                for _ in range(FILE_SECONDS // 60):
                    file.write(rng.normal(0, 0.05, 60 * RATE))
        else:
            os.link(folder / f"{i % 8:05d}.wav", path)
    return sum(path.stat().st_size for path in folder.iterdir())


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preparation", description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of WAV files (default: 1)")
    parser.add_argument("--folder", help="where the files go; twice the room is needed (default: the system's)")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        (folder / "source").mkdir()
        size = make_recordings(folder / "source", args.gigabytes)
        before, start = peak(), time.perf_counter()
        manifest = speech.prepare(folder / "source", folder / "data", piece_frames=40)
        seconds = time.perf_counter() - start
        sequences = sum(shard["sequences"] for split in manifest["splits"].values() for shard in split["shards"])
        print(
            f"\n{size / 1e9:.1f} GB of WAV, {sequences:,} sequences, {seconds:.0f} s, {size / 1e6 / seconds:.0f} MB/s"
        )
        print(f"peak resident memory: {before:.0f} MiB before, {peak():.0f} MiB after")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
