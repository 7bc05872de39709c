"""One model for all series of a frequency: those of M1, M3 and Tourism together, each up to its cutoff.

It trains on windows, a random one of each series in every epoch. What is chosen (a candidate's settings, and the
epochs) is chosen by the same task one horizon earlier, so that nothing after a cutoff is read before the end.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from benchmarks.competitions import COLLECTIONS, by_statsforecast, competition
from benchmarks.models import new_model
from zf_keras import Forecast
from zf_keras.layers.scaling import Scaling


class Candidate(NamedTuple):
    """Settings that validation chooses from."""

    seasons: int = 4  # of the context; at least `least` steps
    deseasonalised: bool = True  # by each series's index, where it has a season
    form: str = "growth"  # what the model reads of a series: one of FORMS
    output: str = "student_t"
    units: int = 48
    latent_dim: int = 8
    dropout: float = 0.1
    learning_rate: float = 2e-3
    least: int = 16

    def context(self, season):
        return max(self.seasons * season, self.least)


CANDIDATES = {
    "growth": Candidate(),
    "growth, mixture": Candidate(output="gaussian_mixture"),
    "growth, large": Candidate(units=96, seasons=6),
    "growth, with seasons": Candidate(deseasonalised=False),
    "difference": Candidate(form="difference"),
    "level": Candidate(form="level"),
}
BATCH, PAIRS = 64, 8192
PATHS, FEW_PATHS = 400, 100  # of the forecasts that are measured, and of those that choose


class Form(NamedTuple):
    """A transformation of the level of a series whose steps, or whose values, a model reads."""

    to: Callable  # of a series and its mean
    back: Callable
    steps: bool  # whether the model reads y_t - y_{t-1} of it, 0 at first


#: Growth is of the level and a hundredth of its mean, for some series have zeros.
FORMS = {
    "level": Form(lambda x, mean: x, lambda x, mean: x, False),
    "difference": Form(lambda x, mean: x, lambda x, mean: x, True),
    "growth": Form(
        lambda x, mean: np.log(x + 0.01 * mean), lambda x, mean: np.maximum(np.exp(x) - 0.01 * mean, 0), True
    ),
}


def seasonal_index(x, season):
    """A factor for each step of a season, from the first of x on: 1 where x has no season, or is not positive.

    By ratios to centred moving averages, where the autocorrelation at the season is significant at 10 % (as in the M4
    competition).
    """
    flat = np.ones(season)
    if season == 1 or len(x) < 3 * season or x.min() <= 0:
        return flat
    centred = x - x.mean()
    lags = np.array([(centred[lag:] * centred[: len(x) - lag]).sum() for lag in range(season + 1)])
    correlation = lags[1:] / max(lags[0], 1e-12)
    limit = 1.645 * np.sqrt((1 + 2 * (correlation[:-1] ** 2).sum()) / len(x))
    if abs(correlation[-1]) <= limit:
        return flat
    weights = np.ones(season + 1 - season % 2)
    if season % 2 == 0:
        weights[[0, -1]] = 0.5
    half = len(weights) // 2
    ratio = x[half : len(x) - half] / np.convolve(x, weights / weights.sum(), mode="valid")
    phase = np.arange(half, len(x) - half) % season
    index = np.array([np.median(ratio[phase == k]) for k in range(season)])
    return index / index.mean()


class Pool:
    """The series of some tasks of one frequency, as a model of a candidate reads them."""

    def __init__(self, tasks, candidate):
        self.tasks, self.season, self.horizon = tasks, tasks[0].season, max(task.horizon for task in tasks)
        self.context = candidate.context(self.season)
        histories = [x for task in tasks for x in task.histories]
        self.indices = [seasonal_index(x, self.season if candidate.deseasonalised else 1) for x in histories]
        levels = [x / np.resize(index, len(x)) for x, index in zip(histories, self.indices, strict=True)]
        self.means = np.array([np.abs(x).mean() or 1.0 for x in levels])
        self.form = FORMS[candidate.form]
        values = [self.form.to(x, mean) for x, mean in zip(levels, self.means, strict=True)]
        self.last = np.array([x[-1] for x in values])
        self.series = [np.diff(x, prepend=x[:1]) if self.form.steps else x for x in values]

    def clock(self, steps):
        """Where in a season a step is, (..., features)."""
        waves = [2 * np.pi * k * steps[..., None] / self.season for k in range(1, self.season // 2 + 1)][:3]
        return np.concatenate([f(wave) for wave in waves for f in (np.sin, np.cos)], axis=-1).astype("float32")

    def windows(self, ends, rows, length, ahead=0):
        """Data of a model: the steps before `ends` of some series, `length` at most, and a clock that goes on."""
        targets, mask = np.zeros((len(rows), length, 1), "float32"), np.zeros((len(rows), length), bool)
        starts = np.maximum(ends - length, 0)
        for i, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
            targets[i, : end - start, 0] = self.series[row][start:end]
            mask[i, : end - start] = True
        data = {"targets": targets, "mask": mask}
        if self.season > 1:
            data["covariates"] = self.clock(starts[:, None] + np.arange(length + ahead))
        return data

    def forecasts(self, model, seed, num_samples=PATHS):
        """A `Forecast` of each task."""
        lengths = np.array([len(x) for x in self.series])
        data = self.windows(lengths, np.arange(len(lengths)), self.context, self.horizon)
        paths = model.forecast(
            data.pop("targets"), self.horizon, num_samples=num_samples, seed=seed, batch_size=PAIRS, **data
        ).samples
        paths = self.in_units(paths[..., 0].astype("float64"), lengths)
        cuts = np.cumsum([len(task.histories) for task in self.tasks])[:-1]
        return [
            Forecast(part[:, :, : task.horizon, None])
            for task, part in zip(self.tasks, np.split(paths, cuts, axis=1), strict=True)
        ]

    def in_units(self, paths, lengths):
        """What a model said of the steps after each series, (paths, series, horizon), as its competition has them."""
        if self.form.steps:
            paths = self.last[:, None] + paths.cumsum(axis=2)
        steps = lengths[:, None] + np.arange(paths.shape[2])
        index = np.stack([x[step % len(x)] for x, step in zip(self.indices, steps, strict=True)])
        return self.form.back(paths, self.means[:, None]) * index


class Windows(keras.utils.PyDataset):
    """Batches of windows that end anywhere, one of each series in an epoch."""

    def __init__(self, pool, seed):
        super().__init__()
        self.pool, self.random = pool, np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return len(self.order) // BATCH or 1

    def __getitem__(self, i):
        rows = self.order[i * BATCH : (i + 1) * BATCH]
        return self.pool.windows(self.ends[rows], rows, self.pool.context + self.pool.horizon)

    def on_epoch_end(self):
        longest = np.array([len(x) for x in self.pool.series])
        shortest = np.minimum(longest, self.pool.horizon + 2)
        self.ends = self.random.integers(shortest, longest + 1)
        self.order = self.random.permutation(len(longest))


class ByForecasts(keras.callbacks.Callback):
    """Keeps the epoch whose forecasts have the least mean WQL, relative to the seasonal naive forecast."""

    def __init__(self, pool, every, patience, seed):
        super().__init__()
        self.pool, self.every, self.patience, self.seed = pool, every, patience, seed
        self.naive = [task.scores(by_statsforecast("seasonal naive", task))["wql"] for task in pool.tasks]
        self.best, self.best_epoch = np.inf, 0

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        found = zip(self.pool.tasks, self.pool.forecasts(self.model, self.seed, FEW_PATHS), strict=True)
        relative = np.divide([task.scores(forecast)["wql"] for task, forecast in found], self.naive)
        value = float(np.exp(np.log(relative).mean()))
        if value < self.best:
            self.best, self.best_epoch = value, epoch + 1
        elif epoch + 1 - self.best_epoch >= self.patience * self.every:
            self.model.stop_training = True


def fitted(name, pool, candidate, epochs, seed, callbacks=()):
    model = new_model(
        name,
        candidate.units,
        candidate.latent_dim,
        output=candidate.output,
        dropout=candidate.dropout,
        scaling=Scaling("mean_abs", steps=pool.context),
        seed=seed,
    )
    model.compile(optimizer=keras.optimizers.Adam(candidate.learning_rate, global_clipnorm=10.0))
    model.fit(Windows(pool, seed), epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model


def train(results, name, frequency, seeds, epochs, every=2, patience=6, candidates=CANDIDATES):
    """Chooses a candidate, trains it for each seed on all that is known, and adds its scores; what is there stays."""
    tasks = [competition(collection, frequency) for collection in COLLECTIONS]
    key = {"model": name, "set": f"{frequency}, before"}
    for label, candidate in candidates.items():
        if not results.has(**key, candidate=label):
            pool = Pool([task.before() for task in tasks], candidate)
            choice = ByForecasts(pool, every, patience, seed=0)
            fitted(name, pool, candidate, epochs, 0, [choice])
            results.add(**key, candidate=label, epochs=choice.best_epoch, relative=choice.best)
    chosen = min((row for row in results.rows() if key.items() <= row.items()), key=lambda row: row["relative"])
    done = {
        row["candidate"] for row in results.rows() if row["model"] == name and row["set"] in [t.name for t in tasks]
    }
    if done - {chosen["candidate"]}:
        raise SystemExit(
            f"{name}, {frequency}: trained as {done.pop()!r}; {chosen['candidate']!r} needs another --output."
        )
    for seed in seeds:
        if all(results.has(model=name, seed=seed, set=task.name) for task in tasks):
            continue
        pool = Pool(tasks, candidates[chosen["candidate"]])
        model = fitted(name, pool, candidates[chosen["candidate"]], chosen["epochs"], seed)
        for task, forecast in zip(tasks, pool.forecasts(model, seed), strict=True):
            found = task.scores(forecast)
            results.add(model=name, set=task.name, seed=seed, candidate=chosen["candidate"], **found)
