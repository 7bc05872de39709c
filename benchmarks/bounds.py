"""IWAE and FIVO of the best model of a run, with as many samples as particles: how tight, and how many seconds.

python -m benchmarks.bounds runs/music/jsb_chorales_srnn --num-samples 4 16 64 256
"""

import argparse
import time
from pathlib import Path

import numpy as np

from zf_keras import units
from zoo.evaluation import best_model, some_of
from zoo.runs import Run


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounds", description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--num-samples", type=int, nargs="+", default=[4, 16, 64, 256], help="(default: 4 16 64 256)")
    parser.add_argument("--sequences", type=int, default=32, help="test sequences, always the same (default: 32)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    args = parser.parse_args(argv)
    for run in map(Run, args.runs):
        model, _ = best_model(run)
        batches = run.batches(some_of(run.load_data().test, args.sequences))
        lengths = batches.lengths - int(batches.key == "inputs")
        print(f"{run.name}: {len(lengths)} test sequences of {lengths.mean():.0f} steps in the mean, nats a frame")
        print(f"{'K':>5}{'IWAE':>10}{'error':>8}{'FIVO':>10}{'error':>8}{'FIVO - IWAE':>14}{'error':>8}{'seconds':>16}")
        for count in args.num_samples:
            found, seconds = {}, []
            for bound in ("iwae", "fivo"):
                start = time.perf_counter()
                found[bound] = model.log_likelihood(batches, count, args.seed, max(count, 128), 0, bound)
                seconds.append(time.perf_counter() - start)
            iwae, fivo = found.values()
            gains = (iwae, fivo, np.subtract(fivo, iwae, dtype="float64"))
            values = [units.nats_a_frame(x, lengths) for x in gains]
            shown = [f"{value:>10.4f}{value.standard_error:>8.4f}" for value in values[:2]]
            shown.append(f"{values[2]:>+14.4f}{values[2].standard_error:>8.4f}")
            print(f"{count:>5}{''.join(shown)}{seconds[0]:>8.1f}{seconds[1]:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
