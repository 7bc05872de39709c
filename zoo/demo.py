"""The models side by side on 8x8 digits, a row of pixels a step: pictures, a table, and the trained models.

Given h_t, the pixels of a row are independent. In the RNN h_t knows the rows before and nothing else; in
Z-Forcing it has read z_t too, which can say what the whole row, and those to come, will be. Should give a
bound (IWAE) 1.2 to 1.6 nats an image above the RNN's exact log-likelihood, in 2 minutes on 2 CPU cores. These two
are the default; `--models all` trains every model of the package in the same way, in 10 minutes.
"""

import argparse
import importlib
import json
import statistics
import time
from pathlib import Path

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np

import zf_keras
from zf_keras.datasets import digits
from zoo.files import whole_file

MODEL = {"units": 128, "output": "bernoulli", "output_network": "mlp"}
LATENT = {"latent_dim": 16}
AUXILIARY = {"alpha": 0.0005, "beta": 0.0005}
KL_WEIGHT = {"initial": 0.1, "share": 0.3}  # rises to 1 within this share of the updates
TRAINING = {"batch_size": 64, "learning_rate": 0.004, "weight_decay": 0.1}
NUM_SAMPLES = 25
GRID = 7
#: name -> (class, arguments beside those above)
MODELS = {
    "RNN": (zf_keras.RNN, {}),
    "STORN": (zf_keras.STORN, LATENT),
    "VRNN-I": (zf_keras.VRNN, LATENT | {"prior": "standard_normal"}),
    "VRNN": (zf_keras.VRNN, LATENT),
    "SRNN": (zf_keras.SRNN, LATENT),
    "Z-Forcing": (zf_keras.ZForcing, LATENT | AUXILIARY),
    "Z-Forcing-no-aux": (zf_keras.ZForcing, LATENT | {"alpha": 0.0, "beta": 0.0}),
    "Variational-Bi-LSTM": (zf_keras.VariationalBiLSTM, LATENT | AUXILIARY),
}
DEFAULT = ("RNN", "Z-Forcing")
COLORS = dict(zip(MODELS, ("tab:orange", *(f"C{i}" for i in (2, 3, 4, 5, 0, 9, 6))), strict=True))


def file_of(name):
    """Name of a model's file."""
    return name.lower().replace("-", "_") + ".keras"


def make_model(name, updates, seed):
    """The model, compiled for a training of so many updates."""
    keras.utils.set_random_seed(seed)
    cls, arguments = MODELS[name]
    if cls is not zf_keras.RNN:
        initial = KL_WEIGHT["initial"]
        annealing = zf_keras.KLAnnealing(initial, increment=(1 - initial) / (KL_WEIGHT["share"] * updates))
        arguments = arguments | {"kl_weight": annealing}
    model = cls(**MODEL, **arguments, seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(TRAINING["learning_rate"], updates)
    model.compile(optimizer=keras.optimizers.AdamW(rate, weight_decay=TRAINING["weight_decay"]))
    return model


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch, its validation included."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)


def train(name, data, epochs, seed):
    """A model with the weights of its best validation epoch, and how the training went."""
    batch_size = TRAINING["batch_size"]
    model = make_model(name, epochs * -(-len(data.train) // batch_size), seed)
    best = keras.callbacks.EarlyStopping("val_elbo", mode="max", patience=epochs, restore_best_weights=True)
    times = EpochTimes()
    fitted = model.fit(
        data.train,
        # An ELBO is of one draw of z an image; with four the best epoch is less a matter of luck.
        validation_data=np.repeat(data.valid, 4, axis=0),
        validation_batch_size=500,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[best, times],
    )
    seconds = {"seconds": round(sum(times.seconds), 1), "seconds_per_epoch": round(statistics.median(times.seconds), 3)}
    history = {metric: [float(value) for value in values] for metric, values in fitted.history.items()}
    return model, {"best_epoch": best.best_epoch + 1, **seconds, "history": history}


def measure(model, images, seed):
    """Mean nats an image, and the log-likelihood of each image: exact, or a bound where there are latents."""
    draws = np.repeat(images, NUM_SAMPLES, axis=0)
    metrics = model.evaluate(draws, batch_size=1250, verbose=0, return_dict=True)
    log_likelihood = model.log_likelihood(images, NUM_SAMPLES, seed=seed, batch_size=1250, verbose=0)
    scores = {metric: float(metrics[metric]) for metric in ("elbo", "nll", "kl") if metric in metrics}
    scores |= {"log_likelihood": float(log_likelihood.mean()), "parameters": model.count_params()}
    return scores, log_likelihood


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
            if metric not in result["history"]:
                continue
            training, validation = result["history"][metric], result["history"][f"val_{metric}"]
            epochs, best = range(1, len(training) + 1), result["best_epoch"]
            if len(results) <= 3:
                axis.plot(epochs, training, ":", color=COLORS[name], label=f"{name}, training")
            axis.plot(epochs, validation, color=COLORS[name], label=f"{name}, validation")
            axis.plot(best, validation[best - 1], "o", color=COLORS[name])
            settled += validation[len(epochs) // 10 :] + (training[len(epochs) // 10 :] if len(results) <= 3 else [])
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
    titles = f"{'nats':>7}{'KL':>7}{'parameters':>12}{'s/epoch':>9}{'best epoch':>12}"
    yield f"{'model':<{width}}{'log p(image)':<13}{titles}"
    for name, result in results.items():
        costs = f"{result['parameters']:>12,}{result['seconds_per_epoch']:>9.2f}{result['best_epoch']:>12}"
        if "kl" in result:
            yield f"{name:<{width}}{'>= ELBO':<13}{result['elbo']:>7.2f}{result['kl']:>7.2f}{costs}"
            yield f"{'':<{width}}{f'>= IWAE-{NUM_SAMPLES}':<13}{result['log_likelihood']:>7.2f}"
        else:
            yield f"{name:<{width}}{'exact':<13}{result['log_likelihood']:>7.2f}{'-':>7}{costs}"
    for name, difference in minus_rnn.items():
        mean, error = difference["mean"], difference["standard_error"]
        yield f"{name} (IWAE-{NUM_SAMPLES}) minus RNN: {mean:+.2f} nats, standard error {error:.2f}"


def run(names, output_dir, epochs, seed, data):
    """Trains, measures and draws models; leaves the files in `output_dir`.

    Args:
        names: iterable of str. Which of `MODELS`.
        output_dir: path.
        epochs: int. Of each model.
        seed: int. Of weights, shuffling and draws.
        data: `digits.Digits` of rows; the test part of at least GRID ** 2 images.
    """
    matplotlib.use("Agg")
    output_dir.mkdir(parents=True, exist_ok=True)
    results, log_likelihoods, samples = {}, {}, {}
    for name in names:
        print(f"\nTraining {name}, {epochs} epochs of {len(data.train)} digits (nats per image)", flush=True)
        model, results[name] = train(name, data, epochs, seed)
        with whole_file(output_dir / file_of(name)) as path:
            model.save(path)
        scores, log_likelihoods[name] = measure(model, data.test, seed)
        results[name] |= scores
        samples[name] = model.generate(GRID**2, length=8, seed=seed)
    minus_rnn = {}
    for name in [name for name in names if name != "RNN" and "RNN" in names]:
        gain = log_likelihoods[name] - log_likelihoods["RNN"]
        minus_rnn[name] = {"mean": float(gain.mean()), "standard_error": float(gain.std() / len(gain) ** 0.5)}
    with whole_file(output_dir / "digits.png") as path:
        generated = {f"generated by {name}": samples[name] for name in reversed(samples)}
        plot_digits(path, {"test digits": data.test[: GRID**2], **generated})
    with whole_file(output_dir / "curves.png") as path:
        plot_curves(path, results)
    backend = keras.config.backend()
    modules = {name: importlib.import_module(name) for name in ("keras", backend, "numpy", "zf_keras")}
    report = {
        "settings": {
            "models": {name: MODEL | MODELS[name][1] for name in names},
            "kl_weight": KL_WEIGHT,
            "training": TRAINING,
        },
        "epochs": epochs,
        "seed": seed,
        "num_samples": NUM_SAMPLES,
        "backend": backend,
        "versions": {name: module.__version__ for name, module in modules.items()},
        "test_digits": len(data.test),
        "minus_rnn": minus_rnn,
        "results": results,
    }
    with whole_file(output_dir / "metrics.json") as path:
        path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nHeld-out nats per image, {len(data.test)} test digits (higher is better):\n")
    print(*table(results, minus_rnn), sep="\n")
    print(f"\nIn {output_dir}: digits.png, curves.png, metrics.json, {', '.join(map(file_of, names))}")


def main(argv=None, data=None):
    """The command line. `data` takes the place of the bundled digits."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo.demo",
        description="Trains models on the bundled 8x8 digits, prints held-out bounds and leaves pictures, metrics and "
        "models in a folder. By default Z-Forcing and a deterministic RNN, about 2 minutes on 2 CPU cores.",
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
    run(names, args.output_dir, args.epochs, args.seed, digits.load_data(frames="rows") if data is None else data)


if __name__ == "__main__":
    main()
