"""What a trained run is worth, in nats and in the units of its data."""

import json
import math

import keras
import numpy as np

from zf_keras import units
from zf_keras.arguments import check_choice, check_positive_int
from zf_keras.data.batches import Subset
from zf_keras.files import write_whole
from zoo.machine import machine
from zoo.runs import BEST, RESULTS, RunError


def best_model(run):
    """The model of the best validation ELBO, and after how many epochs it was.

    Raises:
        RunError: no epoch was trained to its end.
    """
    if not run.path(BEST).exists():
        raise RunError(f"{run.directory} has no {BEST}: `resume` it until an epoch is done.")
    return run.load_model(BEST)


def evaluate(run, split=None, num_samples=None, verbose=1, bound="iwae", count=None):
    """Measures the best model of a run and writes `results.json`.

    Args:
        run: `Run`.
        split: `"train"`, `"valid"` or `"test"`. Defaults to `None`, the recipe's.
        num_samples: int. K of the bound. Defaults to `None`, the recipe's.
        verbose: 0 or 1. Whether to show progress bars. Defaults to `1`.
        bound: `"iwae"` or `"fivo"`, beside the ELBO. Defaults to `"iwae"`.
        count: int or `None`. How many sequences of the split are scored, drawn at random, always the same. Defaults to
            `None`, all.

    Returns:
        As of `measure`, the results alone.
    """
    results, _ = measure(run, split, num_samples, verbose, bound, count)
    write_whole(run.path(RESULTS), json.dumps(results, indent=1) + "\n")
    return results


def measure(run, split=None, num_samples=None, verbose=1, bound="iwae", count=None):
    """Measures the best model of a run. Arguments as of `evaluate`.

    Returns:
        Dict with `"bounds"`: a dict of each bound ("ELBO" and "IWAE-K" or "FIVO-K", or "exact") in each unit,
        `"standard_errors"` of these over sequences, `"terms"`: nats a sequence of each term of the loss, and what was
        scored; and the tightest bound of each sequence, in nats.
    """
    settings = run.evaluation
    split = split or settings["split"]
    num_samples = settings["num_samples"] if num_samples is None else num_samples
    check_positive_int("num_samples", num_samples)
    check_choice("bound", bound, ("iwae", "fivo"))
    every = getattr(run.load_data(), split)
    sequences = every if count is None else some_of(every, count)
    batches = run.batches(sequences)
    model, epoch = best_model(run)
    latents = bool(model.noise_dim)
    progress = keras.utils.Progbar(len(batches)) if verbose else None
    log_likelihoods, terms = [], []
    for i, batch in enumerate(batches):
        scores = model.log_likelihood(
            batch, num_samples if latents else 1, seed=i, batch_size=settings["pairs"], verbose=0, bound=bound
        )
        log_likelihoods.append(scores)
        terms.append({name: keras.ops.convert_to_numpy(term) for name, term in model.loss_terms(batch).items()})
        if progress:
            progress.add(1)
    log_likelihoods = np.concatenate(log_likelihoods).astype("float64")
    terms = {name: np.concatenate([term[name] for term in terms]).astype("float64") for name in terms[0]}
    metrics = _metrics(model, terms)
    bounds = {"ELBO": metrics["elbo"], f"{bound.upper()}-{num_samples}": log_likelihoods}
    if not latents:
        bounds = {"exact": log_likelihoods}
    lengths = batches.lengths - int(batches.key == "inputs")
    bounds = {name: _in_units(run, values, sequences, lengths) for name, values in bounds.items()}
    results = {
        "split": split,
        "sequences": len(sequences),
        "of_sequences": len(every),
        "frames": int(lengths.sum()),
        "epoch": epoch,
        "bounds": bounds,
        "standard_errors": {
            name: {unit: _standard_error(value) for unit, value in values.items()} for name, values in bounds.items()
        },
        "standard_error": _standard_error(units.nats_a_sequence(log_likelihoods)),
        "terms": {name: float(np.mean(values)) for name, values in metrics.items()},
        "parameters": int(model.count_params()),
        "statistics": getattr(sequences, "manifest", {}).get("statistics"),
        "seed": run.training["seed"],
        **machine(),
    }
    return results, log_likelihoods


def some_of(sequences, count):
    """So many sequences, drawn at random, always the same; all of them where there are no more."""
    if check_positive_int("count", count) >= len(sequences):
        return sequences
    return Subset(sequences, np.sort(np.random.default_rng(0).choice(len(sequences), count, replace=False)))


def _metrics(model, terms):
    """What `model.evaluate` would give, of each sequence."""
    weights = {name: float(weight) for name, weight in model.current_weights().items()}
    metrics = {name: values for name, (values, _) in model.metric_values(terms, weights).items()}
    metrics["loss"] = model.objective(terms, weights, training=False)
    return {name: np.asarray(keras.ops.convert_to_numpy(values)) for name, values in metrics.items()}


def _in_units(run, log_likelihoods, sequences, lengths):
    return {
        "nats a sequence": units.nats_a_sequence(log_likelihoods),
        "nats a frame": units.nats_a_frame(log_likelihoods, lengths),
        **run.dataset.measures(log_likelihoods, sequences),
    }


def _standard_error(value):
    """That of a measured value, `None` if it has none."""
    error = getattr(value, "standard_error", math.nan)
    return None if math.isnan(error) else error
