"""The share of a training step that is spent waiting for data: `python -m benchmarks.input_waiting`.

Trains Z-Forcing on speech-like shards read through `Batches.dataset`, and on one batch that is in memory already, in
turn; prints the median seconds a step of both and the share that the reading adds.
"""

import argparse
import statistics
import tempfile
import time

import keras
import numpy as np

from zf_keras import ZForcing
from zf_keras.datasets import Batches, Mapped, Shards, write_shards

FRAMES, FEATURES, SEQUENCES = 40, 200, 4096


class InMemory:
    """The same few sequences for whatever index."""

    def __init__(self, sequences):
        self.sequences = [np.array(sequences[i]) for i in range(64)]
        self.lengths = np.full(SEQUENCES, FRAMES)

    def __len__(self):
        return SEQUENCES

    def __getitem__(self, index):
        return self.sequences[index % 64]


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.input_waiting", description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=128, help="a small model waits the sooner (default: 128)")
    parser.add_argument("--steps", type=int, default=50, help="a round (default: 50)")
    parser.add_argument("--rounds", type=int, default=7, help="of each (default: 7)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:

        def read(source, _):
            rng = np.random.default_rng(int(source))
            return rng.normal(0, 1000, (64, FRAMES, FEATURES)).astype("int16")

        write_shards(directory, "noise", {"train": [str(i) for i in range(SEQUENCES // 64)]}, read, verbose=False)
        shards = Mapped(Shards(directory, "train"), lambda frames: frames.astype("float32") / 1000)
        seconds = {"shards": [], "memory": []}
        model = ZForcing(units=args.units, latent_dim=32, output="gaussian")
        model.compile(optimizer="adam")
        data = {"shards": shards, "memory": InMemory(shards)}
        for number in range(args.rounds + 1):
            for name, sequences in data.items():
                batches = Batches(sequences, 32, shuffle=True)
                ends = []
                clock = keras.callbacks.LambdaCallback(
                    on_train_batch_end=lambda batch, logs, ends=ends: ends.append(time.perf_counter())
                )
                model.fit(batches.dataset(), steps_per_epoch=args.steps, verbose=0, callbacks=[clock], shuffle=False)
                if number:  # the first compiles
                    seconds[name].append(float(np.median(np.diff(ends))))
        shards, memory = (statistics.median(seconds[name]) for name in ("shards", "memory"))
        print(
            f"{keras.config.backend()}: {1000 * shards:.2f} ms a step from shards, {1000 * memory:.2f} ms from memory"
        )
        print(f"share of a step that waits for shards: {1 - memory / shards:.1%}")


if __name__ == "__main__":
    main()
