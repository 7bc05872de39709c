"""Anomaly scores on a simulated plant with labelled faults: models beside a seasonal z-score and an isolation forest.

  python -m benchmarks.anomalies baselines --output anomalies.json
  python -m benchmarks.anomalies train --models RNN VRNN SRNN ZForcing --seeds 0 1 2 --output anomalies.json
  python -m benchmarks.anomalies table anomalies.json

A seed is a plant of its own (see `faults.py`), with its faults, and the seed of a model. Models are trained on the
clean part, stopped by the ELBO of the validation part, and score a reading by -log p given all before it. Labels are
read for the scores alone: AUC-PR over hours, without point adjustment. Each run is added to the file with its command,
day, machine and versions; what is there already is not measured again. `table` prints it in Markdown.
"""

import itertools
import sys
import time

import keras
import numpy as np

from benchmarks.faults import DAY, KINDS, WEEK, by_hour_of_week, simulate
from benchmarks.models import MODELS, new_model
from benchmarks.results import Results, parser_of
from zf_keras import ElboStopping, KLAnnealing

SETTINGS = {"units": 64, "latent_dim": 8, "hidden_units": 64, "output": "gaussian", "scaling": "standard"}
STEPS, STRIDE, BATCH, LEARNING_RATE, PARTICLES = 2 * WEEK, DAY, 32, 3e-3, 64
TREES = 300


def clock(hours):
    """Where in a day and in a week an hour is, (hours, 9)."""
    waves = [2 * np.pi * k * hours / period for period, count in ((DAY, 2), (WEEK, 2)) for k in range(1, count + 1)]
    weekend = [hours % WEEK >= 5 * DAY]
    return np.stack([f(wave) for wave in waves for f in (np.sin, np.cos)] + weekend, axis=1).astype("float32")


def lagged(x, count):
    """Each row beside the `count - 1` before it, (rows, count * columns); the first row stands before itself."""
    padded = np.concatenate([np.repeat(x[:1], count - 1, axis=0), x])
    return np.concatenate([padded[i : i + len(x)] for i in range(count)], axis=1)


def seasonal_z(plant):
    """How many standard deviations each reading is from the mean of its hour of the week: clean part and test part."""
    mean, sd = by_hour_of_week(plant.clean)
    return [(x - np.resize(mean, x.shape)) / np.resize(sd, x.shape) for x in (plant.clean, plant.test)]


def by_seasonal_z(plant, seed):
    z = seasonal_z(plant)[1]
    return {"frame": (z**2).sum(axis=1), "largest": np.abs(z).max(axis=1)}


def by_isolation_forest(plant, seed):
    """Of readings and of their seasonal z-scores, each with the 11 hours before; of z-scores alone, too."""
    from sklearn.ensemble import IsolationForest

    z, scale = seasonal_z(plant), (plant.clean.mean(axis=0), plant.clean.std(axis=0))
    inputs = {
        "readings, 12 hours": [lagged((x - scale[0]) / scale[1], 12) for x in (plant.clean, plant.test)],
        "z-scores, 12 hours": [lagged(x, 12) for x in z],
        "z-scores, 1 hour": z,
    }
    found = {}
    for name, (clean, test) in inputs.items():
        forest = IsolationForest(n_estimators=TREES, max_samples=1024, random_state=seed).fit(clean)
        found[name] = -forest.score_samples(test)
    return found


def by_linear_autoregression(plant, seed, lags=(1, 2, 3, DAY), ridge=1.0):
    """Errors of a ridge regression on readings before and the hour of the week, by their covariance."""
    mean, sd = plant.clean.mean(axis=0), plant.clean.std(axis=0)
    whole = (np.concatenate([plant.clean, plant.test]) - mean) / sd
    hours = np.eye(WEEK)[np.arange(len(whole)) % WEEK]
    x = np.concatenate([hours, *(np.roll(whole, lag, axis=0) for lag in lags)], axis=1)
    fit = slice(max(lags), len(plant.clean))
    weights = np.linalg.solve(x[fit].T @ x[fit] + ridge * np.eye(x.shape[1]), x[fit].T @ whole[fit])
    errors = whole - x @ weights
    covariance, test = np.cov(errors[fit].T), errors[len(plant.clean) :]
    frame = np.einsum("ti,ij,tj->t", test, np.linalg.inv(covariance), test)
    return {"frame": frame, "largest": (np.abs(test) / np.sqrt(np.diag(covariance))).max(axis=1)}


def by_chance(plant, seed):
    return {"": np.zeros(len(plant.test))}


BASELINES = {
    "chance": by_chance,
    "seasonal z-score": by_seasonal_z,
    "isolation forest": by_isolation_forest,
    "linear autoregression": by_linear_autoregression,
}


def windows(x):
    """Data of a model: windows of readings with their clock."""
    starts = np.arange(0, len(x) - STEPS + 1, STRIDE)[:, None] + np.arange(STEPS)
    return {"targets": x[starts].astype("float32"), "covariates": clock(np.arange(len(x)))[starts]}


def fitted(name, plant, seed, epochs):
    arguments = {} if name == "RNN" else {"kl_weight": KLAnnealing(0.1, increment=2e-3)}
    if name in ("ZForcing", "VariationalBiLSTM"):
        arguments |= {"alpha": 5e-4, "beta": 5e-4}
    settings = dict(SETTINGS)
    model = new_model(name, settings.pop("units"), settings.pop("latent_dim"), seed=seed, **settings, **arguments)
    keras.utils.set_random_seed(seed)
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE, global_clipnorm=10.0))
    data = windows(plant.train)
    model.adapt(data)
    history = model.fit(
        data,
        validation_data=windows(plant.valid),
        epochs=epochs,
        batch_size=BATCH,
        callbacks=[ElboStopping(patience=8)],
        verbose=0,
    )
    return model, history.history


def by_model(model, plant, seed):
    """By -log p of the frame, and by the largest -log p of a sensor, as it stands to those of clean readings."""
    parts = [{"targets": x.astype("float32")[None], "covariates": clock(np.arange(len(x)))[None]} for x in plant[1:3]]
    settings = {"num_particles": PARTICLES, "seed": seed, "proposal": "prior", "verbose": 0}
    frame = -model.step_scores(parts[1], **settings)[0]
    clean, test = (-model.step_scores(part, by_feature=True, **settings)[0] for part in parts)
    largest = ((test - clean.mean(axis=0)) / clean.std(axis=0)).max(axis=1)
    return {"frame": frame, "largest": largest}


def areas(scores, kinds):
    """AUC-PR of all faults, and of each kind beside the hours in which nothing is wrong."""
    from sklearn.metrics import average_precision_score

    found = {"all": average_precision_score(kinds > 0, scores)}
    for index, kind in enumerate(KINDS, 1):
        rows = (kinds == 0) | (kinds == index)
        found[kind] = average_precision_score(kinds[rows] == index, scores[rows])
    return {name: round(float(value), 4) for name, value in found.items()}


def add(results, scores, plant, **row):
    for score, values in scores.items():
        key = {"model": row["model"], "score": score, "seed": row["seed"]}
        if not results.has(**key):
            results.add(**(key | areas(values, plant.kinds) | row))


def measure_baselines(results, names, seeds):
    for name, seed in itertools.product(names, seeds):
        plant = simulate(seed)
        add(results, BASELINES[name](plant, seed), plant, model=name, seed=seed)


def train(results, names, seeds, epochs):
    for seed, name in itertools.product(seeds, names):
        if results.has(model=name, score="largest", seed=seed):
            continue
        plant, start = simulate(seed), time.process_time()
        model, history = fitted(name, plant, seed, epochs)
        scores = by_model(model, plant, seed)
        elbo, seconds = max(history["val_elbo"]) / STEPS, time.process_time() - start
        further = {"epochs": len(history["val_elbo"]), "valid_elbo": round(elbo, 4), "cpu_seconds": round(seconds)}
        add(results, scores, plant, model=name, seed=seed, **further)


def table(rows):
    """Lines of Markdown: AUC-PR of each score, means over seeds, of all faults with the least and the largest."""
    columns = ["all", *KINDS]
    lines = [["score", "all", "least to largest", *KINDS], ["---"] * (len(columns) + 2)]
    for model, score in dict.fromkeys((row["model"], row["score"]) for row in rows):
        found = [row for row in rows if (row["model"], row["score"]) == (model, score)]
        overall, *kinds = (f"{np.mean([row[name] for row in found]):.3f}" for name in columns)
        least, largest = (f(row["all"] for row in found) for f in (min, max))
        label = ", ".join(filter(None, (model, score)))
        lines.append([label, overall, f"{least:.3f} to {largest:.3f}", *kinds])
    return [f"| {' | '.join(line)} |" for line in lines]


def arguments(argv):
    parser, command = parser_of("anomalies", __doc__)
    baselines = command(
        "baselines", "a seasonal z-score, an isolation forest, a linear autoregression", BASELINES, list(BASELINES)
    )
    train = command("train", "models by name", MODELS)
    train.add_argument("--epochs", type=int, default=60, help="at most (default: 60)")
    for each in (baselines, train):
        each.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser.parse_args(argv)


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    results = Results("anomalies", args.output, argv, packages=("scikit-learn",))
    if args.command == "baselines":
        measure_baselines(results, args.models, args.seeds)
    elif args.command == "train":
        train(results, args.models, args.seeds, args.epochs)
    else:
        print("\n".join(table(results.rows())))


if __name__ == "__main__":
    main()
