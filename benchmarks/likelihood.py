"""Seconds and memory of `log_likelihood` of a Z-Forcing on bits, in a fresh process.

The first call compiles; the second, on other sequences, is timed. Memory is what the resident set of the process grows
by in both (Linux only).

  python -m benchmarks.likelihood --num-samples 5000 --steps 784 --units 256 --sequences 1
"""

import argparse

import numpy as np

from benchmarks.measures import peak, seconds
from benchmarks.models import new_model


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likelihood", description=__doc__.splitlines()[0])
    parser.add_argument("--bound", default="iwae", choices=("iwae", "fivo"), help="which (default: iwae)")
    parser.add_argument("--num-samples", type=int, default=25, help="samples or particles (default: 25)")
    parser.add_argument("--steps", type=int, default=784, help="of a sequence (default: 784)")
    parser.add_argument("--features", type=int, default=1, help="bits a step (default: 1)")
    parser.add_argument("--units", type=int, default=256, help="of the LSTMs (default: 256)")
    parser.add_argument("--latent-dim", type=int, default=64, help="of z (default: 64)")
    parser.add_argument("--sequences", type=int, default=1, help="how many are scored (default: 1)")
    parser.add_argument("--batch-size", type=int, default=128, help="of log_likelihood (default: 128)")
    args = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    data = rng.integers(0, 2, size=(2, args.sequences, args.steps, args.features)).astype("float32")
    model = new_model("ZForcing", args.units, args.latent_dim, output="bernoulli", hidden_units=args.units)
    model(data[0][:1, :2])
    options = {} if args.bound == "iwae" else {"bound": args.bound}
    options |= {"seed": 0, "batch_size": args.batch_size, "verbose": 0}
    before = peak()
    first, second = (seconds(lambda x=x: model.log_likelihood(x, args.num_samples, **options)) for x in data)
    print(f"{args.bound}, K = {args.num_samples}: {second:.2f} s, {peak() - before:.0f} MiB more", end=" ")
    print(f"({args.sequences} sequences of {args.steps} steps, {args.units} units; the first call {first:.1f} s)")


if __name__ == "__main__":
    main()
