"""Training by several devices: sequences a second of 1, 2 and 4, and their ratio to the first of these.

One global batch is divided among the devices, each number of them in a process of its own. GPUs are the devices where
there are enough, and the best ratio is their number. Otherwise they are parts of one CPU, which one device has wholly:
there the best ratio is 1, and what is below it is the cost of dividing a batch.

  python -m benchmarks.scaling --models RNN ZForcing --batch 128
"""

import argparse
import statistics
import time

import keras
import numpy as np

from benchmarks.measures import in_new_process, table
from benchmarks.models import MODELS, new_model
from zf_keras.data.batches import Batches
from zoo.devices import started

WARM = 3  # updates that are not counted


class Clock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.times = []

    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # waits for it
        self.times.append(time.perf_counter())


def sequences_a_second(name, devices, units, length, batch, updates):
    """Of a model trained by so many devices, the median over updates."""
    data = np.random.default_rng(0).normal(size=(batch, length, 40)).astype("float32")
    with started(devices) as group:
        with group.scope():
            model = new_model(name, units, max(1, units // 4), output="gaussian")
            model.compile(optimizer="adam")
        batches, clock = Batches(data, batch, replicas=group.replicas), Clock()
        stream = group.stream(model, batches, training=True)
        with group.fitting():
            model.fit(stream, steps_per_epoch=WARM + updates, callbacks=[clock], verbose=0, shuffle=False)
    return batch / statistics.median(np.diff(clock.times[WARM - 1 :]))


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["RNN", "ZForcing"], metavar="NAME")
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 2, 4], help="how many (default: 1 2 4)")
    for option, default in (("units", 128), ("length", 100), ("batch", 128), ("updates", 9)):
        parser.add_argument(f"--{option}", type=int, default=default, help=f"(default: {default})")
    args = parser.parse_args(argv)
    sizes = args.units, args.length, args.batch, args.updates
    rows = []
    for name in args.models:
        of_one = None
        for devices in args.devices:
            rate = in_new_process(sequences_a_second, name, devices, *sizes)
            of_one = of_one or rate
            rows.append({"model": name, "devices": devices, "sequences/s": rate, "to the first": rate / of_one})
    print(f"{keras.config.backend()}, T {args.length}, {args.units} units, batch {args.batch}")
    print(*table(rows, ["model", "devices", "sequences/s", "to the first"]), sep="\n")


if __name__ == "__main__":
    main()
