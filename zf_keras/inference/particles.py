"""Scores of a model step by step, by a particle filter, and FIVO, their sum (Maddison et al. 2017)."""

import numpy as np
from keras import ops

from zf_keras.arguments import (
    check_bool,
    check_choice,
    check_numbers,
    check_positive_int,
    check_probability,
    check_size,
)
from zf_keras.compiled import compiled
from zf_keras.data.padding import padded_size
from zf_keras.data.sequences import is_arrays, observed_of
from zf_keras.heads import DistributionHead
from zf_keras.inference.particle_loop import RESAMPLING, particle_loop
from zf_keras.inference.passes import arrays, batches_of_rows, context_of, count_and_time, generator, rows_of
from zf_keras.seeds import seeds_of_steps

PROPOSALS = ("posterior", "prior")


def step_scores(
    model,
    data,
    num_particles=64,
    seed=None,
    by_feature=False,
    proposal="posterior",
    resample_below=0.5,
    resampling="systematic",
    batch_size=1024,
    verbose="auto",
):
    """log p(y_t | y_1..y_{t-1}) of every step, by a particle filter; exact where the model has no latent.

    What is improbable given all before it has a low score. The sum over the steps of a sequence is its FIVO bound
    (Maddison et al. 2017), `log_likelihood(bound="fivo")`.

    A reading that is NaN is not scored: there the score is NaN. Nothing is learned from its step, and the model
    reads its own draw in its place; `proposal` is then the prior. A model with `missing="skip"` scores what is there of
    a frame, and reads its mean in the place of the rest.

    Args:
        data: array or dict.
        num_particles: int. K. Defaults to `64`.
        seed: int or `None`. The same seed gives the same scores; `None` continues the model's own.
        by_feature: bool. Whether each feature is scored by itself, log p(y_tj | y_<t). These do not add up to the
            score of the frame, whose features have latents in common. Defaults to `False`.
        proposal: `"posterior"` or `"prior"`. What latents are drawn from. With the prior, a score depends on nothing
            that comes after its step, but for more noise. Defaults to `"posterior"`.
        resample_below: float in [0, 1]. The share of K below which the effective sample size leads to resampling: 0
            for never, which gives the importance-weighted bound, 1 for always. Defaults to `0.5`.
        resampling: `"systematic"` or `"multinomial"`. Defaults to `"systematic"`.
        batch_size: int. How many (sequence, particle) pairs are computed at a time, a sequence at least, which
            bounds the memory. Defaults to `1024`.
        verbose: `"auto"`, 0 or 1. As for `log_likelihood`.

    Returns:
        NumPy array (batch, time), nats, or (batch, time, features) by feature; zero at masked steps.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> model = ZForcing(units=8, latent_dim=2, output="gaussian")
    >>> model.build((None, None, 3))
    >>> model.step_scores(np.zeros((2, 5, 3)), num_particles=4).shape
    (2, 5)
    """
    check_size("num_particles", num_particles)
    check_bool("by_feature", by_feature)
    check_choice("proposal", proposal, PROPOSALS)
    check_resampling(resample_below, resampling)
    check_positive_int("batch_size", batch_size)
    random = generator(model, seed)
    data, observed = (data, None) if model.missing else without_gaps(data)
    if observed is not None and model.scaling is not None and model.scaling.by_sequence:
        raise ValueError("`targets` holds nan, and would not tell its scale: make the model with missing='skip'.")
    data = arrays(model, data)
    if by_feature and type(model.head).log_prob_by_feature is DistributionHead.log_prob_by_feature:
        raise ValueError(
            f"`by_feature` needs an output that scores each feature. Received: {type(model.head).__name__}."
        )
    latents = model.noise_dim or observed is not None  # a reading that is missing is one
    settings = {
        "num_particles": num_particles if latents else 1,
        "proposal": proposal if model.noise_dim and observed is None else "prior",
        "resample_below": float(resample_below),
        "resampling": resampling,
        "by_feature": by_feature,
    }
    scores = _scores(model, data, observed, random, batch_size, verbose, settings)
    if observed is not None:
        return np.where(observed if by_feature else observed.all(axis=-1), scores, np.nan)
    if model.missing and "targets" in data:
        seen = observed_of(ops.cast(data["targets"], "float32"), data.get("observed"), data.get("mask"))
        seen = ops.convert_to_numpy(seen)
        return np.where(seen if by_feature else seen.any(axis=-1), scores, np.nan)
    return scores


def fivo(model, data, num_particles, random, batch_size, verbose, resample_below, resampling):
    """FIVO of each sequence of a dict of arrays: (batch,) float64 nats."""
    settings = {
        "num_particles": num_particles,
        "proposal": "posterior" if model.noise_dim else "prior",
        "resample_below": float(resample_below),
        "resampling": resampling,
        "by_feature": False,
    }
    return _scores(model, data, None, random, batch_size, verbose, settings).astype("float64").sum(axis=1)


def check_resampling(resample_below, resampling):
    check_probability("resample_below", resample_below)
    check_choice("resampling", resampling, RESAMPLING)


def without_gaps(data):
    """Data with a number in the place of every target that is NaN, and where targets were observed; `None` if all."""
    targets = data.get("targets") if isinstance(data, dict) else data
    if not is_arrays(data) or targets is None:
        return data, None
    targets = np.asarray(ops.convert_to_numpy(targets))
    if targets.dtype.kind != "f" or targets.ndim != 3:
        return data, None
    missing, valid = np.isnan(targets), np.ones(targets.shape, bool)
    if isinstance(data, dict) and data.get("mask") is not None:
        valid &= np.asarray(ops.convert_to_numpy(data["mask"]), bool)[..., None]
    missing &= valid
    if not missing.any():
        return data, None
    seen = valid & ~missing
    if not seen.any(axis=(0, 1)).all():
        feature = int(np.argmin(seen.any(axis=(0, 1))))
        raise ValueError(f"`targets` holds nan alone in feature {feature}: nothing of it can be scored.")
    known = [targets[..., i][seen[..., i]][0] for i in range(targets.shape[2])]
    filled = np.where(missing, np.array(known, targets.dtype), targets)
    return ({**data, "targets": filled} if isinstance(data, dict) else filled), ~missing


def _scores(model, data, observed, random, batch_size, verbose, settings):
    """Scores of the steps of a dict of arrays: a NumPy array (batch, time, ...)."""
    (count, time), particles = count_and_time(data), settings["num_particles"]
    size = max(1, batch_size // particles)
    check_numbers(min(size, count) * particles * model.units, num_particles=particles, batch_size=batch_size)
    data = data if observed is None else {**data, "drawn": observed}
    scores = []
    for rows in batches_of_rows(np.arange(count), size, verbose):
        batch = rows_of(data, rows)
        seen = batch.pop("drawn", None)
        context = context_of(model, batch) if settings["proposal"] == "posterior" else ()
        rest = [] if seen is None else [seen]
        seeds = seeds_of_steps(padded_size(time), random)
        scores.append(ops.convert_to_numpy(filtered(model, batch, context, seeds, *rest, **settings)))
    return np.concatenate(scores)[:count, :time]


@compiled
def filtered(model, data, context, seeds, *observed, by_feature, **settings):
    """log p^(y_t | y_<t) of every step.

    Args:
        data: dict of tensors.
        context: of `model.context`, read where the proposal is the posterior.
        seeds: tensor (time, 2), of `seeds_of_steps`.
        *observed: tensor (batch, time, features), or nothing where every reading is there.
        by_feature, **settings: as of `step_scores`.

    Returns:
        Tensor (batch, time), or (batch, time, features) by feature.
    """
    sequences, head = model.sequences(data), model.head

    def score(steps, y, log_probs, log_weights, log_ratio):
        of_features = head.log_prob_by_feature(steps.output, y)
        of_features = ops.reshape(of_features, (*ops.shape(log_weights), of_features.shape[-1]))
        return ops.logsumexp(ops.expand_dims(log_weights + log_ratio, -1) + of_features, axis=1)

    # Whether the model reads its own targets, so that where one is missing it reads a draw.
    reads_draws = bool(observed) and "inputs" not in data
    totals, scores = particle_loop(
        model,
        sequences,
        model.read(sequences)[0],
        context,
        seeds,
        *observed,
        each=score if by_feature else None,
        reads_draws=reads_draws,
        **settings,
    )
    scores = scores if by_feature else totals
    if sequences.mask is None:
        return scores
    return ops.where(ops.expand_dims(sequences.mask, -1) if by_feature else sequences.mask, scores, 0.0)
