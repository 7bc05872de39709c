"""Whether what a model forecasts comes as often as it says."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from zf_keras.arguments import check_positive_int, check_size
from zf_keras.data.sequences import COVARIATES, TIMELESS
from zf_keras.heads.bernoulli import BernoulliHead
from zf_keras.inference.generation import check_can_generate, forecast
from zf_keras.inference.particles import without_gaps
from zf_keras.inference.passes import arrays, batches_of_rows, generator, parts
from zf_keras.units import nats_a_frame


class Calibration(NamedTuple):
    """Forecasts against what came: `observed` is `predicted` of a calibrated model, but for chance."""

    kind: str  # "real", "binary" or "tokens"
    predicted: Any  # (bins,), the level of each central interval, or the mean probability in each bin
    observed: Any  # (bins,), the share of readings in the interval, or of the events of the bin that came
    standard_error: Any  # (bins,), of `observed`, over sequences; NaN where a bin has those of one alone
    counts: Any  # (bins,), readings, or events of the bin
    error: float  # mean of |predicted - observed|, weighed by the counts
    pit: (
        Any  # (num_bins,), the share of readings in each bin of their PIT, 1 / num_bins if calibrated; None if not real
    )
    sequences: int  # how many were forecast
    skipped: int  # how many have no step after the prompt


def calibration(
    model,
    data,
    prompt_steps,
    horizon=1,
    num_samples=100,
    seed=None,
    batch_size=128,
    num_bins=10,
    verbose="auto",
):
    """Compares forecasts of the steps after a prompt with what came, all steps and features alike; of any model.

    A calibrated model has `observed` equal to `predicted` in expectation, however few the draws.

    Frames of real numbers (and of counts, of a head of your own): how many readings lie in the central predictive
    interval of the levels 1 / num_bins, 2 / num_bins, ... and 0.95. Of n draws let b be below the reading and e equal
    to it. As its rank among them is uniform if all n + 1 are exchangeable, its probability integral transform (PIT) is
    uniform on [b / (n + 1), (b + e + 1) / (n + 1)], and it counts by the share of this in [(1 - level) / 2,
    (1 + level) / 2] (Czado et al. 2009). Levels above (n - 1) / (n + 1) need more
    draws to tell whether a model is off.

    Binary frames: each feature is an event, in `num_bins` bins of equal width by its probability. Tokens: the event is
    that the likeliest token comes, and `error` the expected calibration error (Guo et al. 2017). The first half of the
    draws chooses that token and the bin, and the second half gives the probability: one half for both would
    overstate what is likely.

    Args:
        data: array or dict, or a finite stream of them, as for `kl`. Steps past the end of a sequence (`mask`) and
            readings that are NaN are not counted; a prompt may hold no NaN. Sequences without a step after the prompt
            are skipped. Where `targets` are given, `inputs` are not read.
        prompt_steps: int. Steps of each sequence that the model is given.
        horizon: int. Steps that are forecast after them. Defaults to `1`.
        num_samples: int. Draws for each sequence, at least 2. Defaults to `100`.
        seed: int or `None`. The same seed gives the same numbers; `None` continues the model's own.
        batch_size: int. How many sequences, and how many (sequence, sample) pairs, are computed at a time. Defaults to
            `128`.
        num_bins: int. Defaults to `10`.
        verbose: `"auto"`, 0 or 1. As for `log_likelihood`.

    Returns:
        `Calibration(kind, predicted, observed, standard_error, counts, error, pit, sequences, skipped)`. Bins without
        events are left out.

    Raises:
        ValueError: names what is wrong with an argument, the model cannot generate, or draws numbers that are not
            finite.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = RNN(units=8, output="gaussian", seed=0)
    >>> model.build((None, None, 3))
    >>> result = diagnostics.calibration(model, np.random.normal(size=(20, 6, 3)), prompt_steps=4, horizon=2)
    >>> result.kind, result.predicted.tolist()
    ('real', [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    >>> int(result.counts[0])  # 20 sequences of 2 steps of 3 features
    120
    """
    for name, value in (("prompt_steps", prompt_steps), ("horizon", horizon), ("batch_size", batch_size)):
        check_positive_int(name, value)
    check_size("num_bins", num_bins)
    if check_size("num_samples", num_samples) < 2:
        raise ValueError(f"`num_samples` must be at least 2. Received: num_samples={num_samples}.")
    check_can_generate(model)
    for weight in model.weights:  # bits and tokens would be drawn all the same
        if not np.isfinite(ops.convert_to_numpy(weight).astype("float32")).all():
            raise ValueError(f"The weights {weight.path} are not all finite: such a model forecasts nothing.")
    random = generator(model, seed)
    kind, compared = _kind(model)
    tables, sequences, skipped = [], 0, 0
    for part, shown in parts(data, verbose):
        frames, values, seen, lengths, beside = _readings(model, part)
        rows_left = np.flatnonzero(lengths > prompt_steps)
        sequences, skipped = sequences + len(rows_left), skipped + len(lengths) - len(rows_left)
        future = slice(prompt_steps, prompt_steps + horizon)
        for rows in batches_of_rows(rows_left, batch_size, shown):
            rows, rows_left = rows[: len(rows_left)], rows_left[len(rows) :]  # the last batch is filled up
            came = values[rows, future]
            of_rows = {key: x[rows] if key in TIMELESS else x[rows, : future.stop] for key, x in beside.items()}
            settings = {"seed": random, "batch_size": batch_size, **of_rows}
            paths = forecast(model, frames[rows, :prompt_steps], came.shape[1], num_samples, **settings).samples
            if not np.isfinite(paths).all():
                raise ValueError(f"The model draws numbers that are not finite within {came.shape[1]} steps.")
            tables.append(compared(paths, came, seen[rows, future], num_bins))
    return _calibration(kind, tables, num_bins, sequences, skipped)


def _kind(model):
    if model.tokens:
        return "tokens", top_tokens
    return ("binary", bits) if isinstance(model.head, BernoulliHead) else ("real", intervals)


def _readings(model, data):
    """Frames of each sequence, the same without NaN, which of these were observed, (batch, time, ...), lengths, and a
    dict of the covariates.
    """
    if isinstance(data, dict):
        targets = data.get("targets") if data.get("targets") is not None else data.get("inputs")
        data = {**{key: value for key, value in data.items() if key != "inputs"}, "targets": targets}
    filled, observed = without_gaps(data)
    filled = arrays(model, filled)
    frames = data["targets"] if isinstance(data, dict) else data
    values = ops.convert_to_numpy(model.head.as_values(filled["targets"]))
    valid = np.asarray(filled.get("mask", np.ones(values.shape[:2])), bool)
    seen = np.broadcast_to(valid if model.tokens else valid[..., None], values.shape)
    for each in (observed, filled.get("observed")):
        seen = seen if each is None else seen & each.astype(bool)
    beside = {key: filled[key] for key in COVARIATES if key in filled}
    return np.asarray(ops.convert_to_numpy(frames)), values, seen, valid.sum(1), beside


def intervals(paths, values, seen, num_bins):
    """By sequence: sums of levels, of readings in the intervals, and how many readings, (batch, levels) each; and of
    PITs in each bin, (batch, num_bins).
    """
    ranks = len(paths) + 1
    low, high = np.sum(paths < values, axis=0) / ranks, (np.sum(paths <= values, axis=0) + 1) / ranks

    def below(edges):
        return np.stack([_by_sequence(np.clip((e - low) / (high - low), 0, 1), seen) for e in edges], axis=-1)

    levels = _levels(num_bins)
    counts = np.repeat(_by_sequence(1, seen)[:, None], len(levels), axis=1)
    hits = below((1 + levels) / 2) - below((1 - levels) / 2)
    return levels * counts, hits, counts, np.diff(below(np.linspace(0, 1, num_bins + 1)))


def bits(paths, values, seen, num_bins):
    """By sequence and bin: sums of probabilities, of events that came, and how many events, (batch, num_bins) each."""
    return _in_bins(paths > 0, values > 0, seen, num_bins)


def top_tokens(paths, values, seen, num_bins):
    """As `bits`, of the likeliest token; of two as likely the lower."""
    ordered = np.sort(paths[: len(paths) // 2], axis=0)
    run = np.ones(ordered.shape, int)
    for i in range(1, len(run)):
        run[i] += np.where(ordered[i] == ordered[i - 1], run[i - 1], 0)
    top = np.take_along_axis(ordered, run.argmax(axis=0)[None], axis=0)[0]
    return _in_bins(paths == top, values == top, seen, num_bins)


def _in_bins(drawn, came, seen, num_bins):
    half = len(drawn) // 2
    bins = np.minimum(drawn[:half].sum(axis=0) * num_bins // half, num_bins - 1)
    probability = drawn[half:].mean(axis=0)
    return [
        np.stack([_by_sequence(x, seen & (bins == i)) for i in range(num_bins)], axis=-1)
        for x in (probability, came, 1)
    ]


def _levels(num_bins):
    return np.union1d(np.arange(1, num_bins) / num_bins, 0.95)


def _by_sequence(x, chosen):
    """Sum over all but the first axis where `chosen`."""
    return np.where(chosen, x, 0).reshape(len(chosen), -1).sum(axis=1)


def _calibration(kind, tables, num_bins, sequences, skipped):
    if not tables or not any(table[2].any() for table in tables):
        raise ValueError(
            f"`data` must hold readings within `horizon` steps after `prompt_steps`. Of {sequences + skipped} "
            f"sequences {skipped} have no step after the prompt, and the others no reading."
        )
    predicted, hits, counts, *pit = map(np.concatenate, zip(*tables, strict=True))
    full = counts.any(axis=0)
    # The ratio of two sums over sequences has the same standard error whatever it is of.
    ratios = [nats_a_frame(h[n > 0], n[n > 0]) for h, n in zip(hits.T[full], counts.T[full], strict=True)]
    observed, total = np.array(ratios, "float64"), counts.sum(axis=0)[full]
    predicted = _levels(num_bins) if kind == "real" else predicted.sum(axis=0)[full] / total
    return Calibration(
        kind,
        predicted,
        observed,
        np.array([ratio.standard_error for ratio in ratios]),
        total,
        float(np.average(np.abs(predicted - observed), weights=total)),
        pit[0].sum(axis=0) / total[0] if pit else None,
        sequences,
        skipped,
    )
