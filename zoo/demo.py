"""The models side by side on 8x8 digits, a row of pixels a step: pictures, a table, and the runs of their recipes.

Given h_t, the pixels of a row are independent. In the RNN h_t knows the rows before and nothing else; in
Z-Forcing it has read z_t too, which can say what the whole row, and those to come, will be. Should give a
bound (IWAE) 1.2 to 1.6 nats an image above the RNN's exact log-likelihood, in 2 minutes on 2 CPU cores. These two
are the default; `--models all` trains every model of the package in the same way, in 10 minutes.

Each model is a recipe of the zoo, `demo/NAME`, and its folder a run: stopped, the same command goes on. As in every
run the best epoch is that of the best validation ELBO of one draw of z an image.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from zf_keras.files import whole_file, write_whole
from zf_keras.units import nats_a_sequence
from zoo import recipes, runs, training
from zoo.checks import lookup
from zoo.evaluation import best_model, measure
from zoo.machine import machine

KL_SHARE = 0.3  # of the epochs, in which the KL weight rises to 1
GRID = 7
MODELS = ("RNN", "STORN", "VRNN-I", "VRNN", "SRNN", "Z-Forcing", "Z-Forcing-no-aux", "Variational-Bi-LSTM")
DEFAULT = ("RNN", "Z-Forcing")
COLORS = dict(zip(MODELS, ("tab:orange", *(f"C{i}" for i in (2, 3, 4, 5, 0, 9, 6))), strict=True))


def folder_of(name):
    """Name of a model's recipe, and of its run's folder."""
    return name.lower().replace("-", "_")


def recipe_of(name, epochs, seed):
    """A model's recipe for a training of so many epochs."""
    given = f"demo/{folder_of(name)}"
    settings = [f"training.epochs={epochs}", f"training.seed={seed}"]
    if lookup(recipes.load(given).values, "schedule.kl_weight"):
        settings.append(f"schedule.kl_weight.epochs={max(1, round(KL_SHARE * epochs))}")
    return recipes.load(given, settings=settings)


def train(directory, recipe):
    """The run of a recipe, trained to its end from where it is, and how many seconds that took."""
    if (directory / runs.RECIPE).exists():
        run = runs.Run(directory)
        if run.recipe.values != recipe.values:
            raise runs.RunError(f"{directory} is a run of other settings. Choose another folder by --output-dir.")
    else:
        run = runs.Run.begin(directory, recipe, small=False, data_directory=None)
    start = time.perf_counter()
    training.train(run)
    return run, round(time.perf_counter() - start, 1)


def plot_digits(path, images):
    """A grid of digits for each title. images: dict of arrays (GRID ** 2, 8, 8)."""
    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 4.4 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(images) :]:
        axis.set_axis_off()
    for axis, (title, digit) in zip(axes.flat, images.items(), strict=False):
        framed = np.pad(digit, ((0, 0), (1, 1), (1, 1)), constant_values=0.3)
        grid = framed.reshape(GRID, GRID, 10, 10).swapaxes(1, 2).reshape(GRID * 10, GRID * 10)
        axis.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_curves(path, results):
    """ELBO and KL over the epochs."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    for axis, metric in zip(axes, ("elbo", "kl"), strict=True):
        settled = []  # without the first tenth, which would squash the rest
        for name, result in results.items():
            rows = result["history"]
            if metric not in rows[0]:
                continue
            trained, validation = ([row[key] for row in rows] for key in (metric, f"val_{metric}"))
            epochs, best = [row["epoch"] for row in rows], result["epoch"]
            if len(results) <= 3:
                axis.plot(epochs, trained, ":", color=COLORS[name], label=f"{name}, training")
            axis.plot(epochs, validation, color=COLORS[name], label=f"{name}, validation")
            axis.plot(best, validation[best - 1], "o", color=COLORS[name])
            settled += validation[len(epochs) // 10 :] + (trained[len(epochs) // 10 :] if len(results) <= 3 else [])
        if metric == "elbo":
            margin = 0.05 * np.ptp(settled) + 0.05
            axis.set_ylim(min(settled) - margin, max(settled) + margin)
        else:
            axis.set_ylim(bottom=0)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_title("ELBO, for the RNN the log-likelihood; dots: the weights kept")
    axes[0].set_ylabel("nats per image")
    axes[1].set_title("KL of posterior and prior")
    axes[1].set_ylabel("nats per image")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def table(results, minus_rnn):
    """The results as lines of text."""
    width = max(11, *(len(name) + 2 for name in results))
    yield f"{'model':<{width}}{'log p(image)':<13}{'nats':>7}{'KL':>7}{'parameters':>12}{'best epoch':>12}"
    for name, result in results.items():
        costs = f"{result['parameters']:>12,}{result['epoch']:>12}"
        for bound, units in result["bounds"].items():
            nats = units["nats a sequence"]
            if bound == "exact":
                yield f"{name:<{width}}{bound:<13}{nats:>7.2f}{'-':>7}{costs}"
            elif bound == "ELBO":
                yield f"{name:<{width}}{'>= ELBO':<13}{nats:>7.2f}{result['terms']['kl']:>7.2f}{costs}"
            else:
                yield f"{'':<{width}}{f'>= {bound}':<13}{nats:>7.2f}"
    for name, difference in minus_rnn.items():
        mean, error = difference["mean"], difference["standard_error"]
        yield f"{name} minus RNN: {mean:+.2f} nats, standard error {error:.2f}"


def run(names, output_dir, epochs, seed):
    """Trains, measures and draws models; leaves the files in `output_dir`.

    Args:
        names: iterable of str. Which of `MODELS`.
        output_dir: path.
        epochs: int. Of each model.
        seed: int. Of weights, shuffling and draws.
    """
    matplotlib.use("Agg")
    output_dir.mkdir(parents=True, exist_ok=True)
    results, log_likelihoods, samples = {}, {}, {}
    for name in names:
        print(f"\nTraining {name}, {epochs} epochs (nats per image)", flush=True)
        trained, seconds = train(output_dir / folder_of(name), recipe_of(name, epochs, seed))
        measured, log_likelihoods[name] = measure(trained, verbose=0)
        write_whole(trained.path(runs.RESULTS), json.dumps(measured, indent=1) + "\n")
        results[name] = measured | {"seconds": seconds, "history": trained.rows()}
        test = trained.load_data().test
        samples[name] = best_model(trained)[0].generate(GRID**2, length=8, seed=seed)
    minus_rnn = {}
    for name in [name for name in names if name != DEFAULT[0] and DEFAULT[0] in names]:
        gain = nats_a_sequence(log_likelihoods[name] - log_likelihoods[DEFAULT[0]])
        minus_rnn[name] = {"mean": gain, "standard_error": gain.standard_error}
    with whole_file(output_dir / "digits.png") as path:
        generated = {f"generated by {name}": samples[name] for name in reversed(samples)}
        plot_digits(path, {"test digits": test[: GRID**2], **generated})
    with whole_file(output_dir / "curves.png") as path:
        plot_curves(path, results)
    report = {"epochs": epochs, "seed": seed, **machine(), "minus_rnn": minus_rnn, "results": results}
    write_whole(output_dir / "metrics.json", json.dumps(report, indent=2) + "\n")
    print(f"\nHeld-out nats per image, {len(test)} test digits (higher is better):\n")
    print(*table(results, minus_rnn), sep="\n")
    print(f"\nIn {output_dir}: digits.png, curves.png, metrics.json, and the runs {', '.join(map(folder_of, names))}")


def main(argv=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo.demo",
        description="Trains models on the bundled 8x8 digits, prints held-out bounds and leaves pictures, metrics and "
        "runs in a folder. By default Z-Forcing and a deterministic RNN, about 2 minutes on 2 CPU cores.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--models",
        nargs="+",
        choices=[*MODELS, "all"],
        default=list(DEFAULT),
        metavar="NAME",
        help=f"which to train: {', '.join(MODELS)}, or all (about 10 minutes)",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/demo"), help="where the files go")
    parser.add_argument(
        "--epochs",
        type=int,
        default=80,
        help="epochs of each model; 20 for a quick look, too few for Z-Forcing to pass the RNN",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, shuffling and draws")
    args = parser.parse_args(argv)
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {args.epochs}")
    # In the order of the table, each once.
    names = [name for name in MODELS if name in args.models or "all" in args.models]
    try:
        run(names, args.output_dir, args.epochs, args.seed)
    except (recipes.RecipeError, runs.RunError, OSError) as error:
        print(f"\npython -m zoo.demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
