"""What a trained run is worth, in nats and in the units of its data, and what it draws."""

import json
import math
import shutil

import keras
import numpy as np

from zf_keras import units
from zf_keras.arguments import check_choice, check_non_negative, check_positive_int, check_seed
from zf_keras.data.batches import Subset, lengths_of
from zf_keras.files import whole_file, write_whole
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
    sequences = getattr(run.load_data(), split)
    total = len(sequences)
    if count is not None and check_positive_int("count", count) < total:
        sequences = Subset(sequences, np.sort(np.random.default_rng(0).choice(total, count, replace=False)))
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
        "of_sequences": total,
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


def table(run, results):
    """The results as lines of text, the published number beside them where there is one."""
    published = run.recipe.values.get("published")
    scored = str(results["sequences"])
    if results.get("of_sequences", results["sequences"]) != results["sequences"]:
        scored += f" of {results['of_sequences']}"
    yield f"{run.name}: {scored} {results['split']} sequences, {results['frames']} predicted frames"
    for bound, measured in results["bounds"].items():
        for unit, value in measured.items():
            error = results["standard_errors"].get(bound, {}).get(unit)
            error = "" if error is None else f" (standard error {error:.3g})"
            yield f"  {bound:<8} {value:>12.4f} {unit}{error}"
    if published:
        yield f"  published {published['value']:>11g} {published['metric']}, {published['bound']}"
        yield f"            by {published['source']}"
        if run.small:
            yield "            with which the small form is not to be compared"


def generate(run, count, length=None, temperature=1.0, seed=0, prompt_steps=None, top_k=None, top_p=None, given=None):
    """Draws samples of the best model of a run and writes them as the files of its data, and as `samples.npz`.

    Args:
        run: `Run`.
        count: int. How many.
        length: int or `None`. Steps of each, those of the prompt included. Defaults to `None`, the median of the
            training part, after what is `given`.
        temperature: float. As for the models' `generate`. Defaults to `1.0`.
        seed: int. Of the prompts and the draws. Defaults to `0`.
        prompt_steps: int or `None`. So many first steps are those of test sequences, drawn at random. Defaults to
            `None`, 1 where the data gives the first frame, else 0.
        top_k: int or `None`. Of text, as for the models' `generate`. Defaults to `None`.
        top_p: float or `None`. Likewise.
        given: str or `None`. A prompt of the user's: a text or its file, a recording, a MIDI file. Defaults to `None`.

    Returns:
        List of the paths written, in the folder `samples` of the run.

    Raises:
        RunError: no test sequence is as long as the prompt, or the data set takes none.
    """
    check_positive_int("count", count)
    check_seed("seed", seed)
    data = run.load_data()
    manifest = getattr(data.train, "manifest", None)
    if given is not None and not run.dataset.read_prompt:
        raise RunError(f"{run.recipe.values['data']['dataset']} takes no prompt of one's own, but --prompt-steps.")
    prompt = None if given is None else run.dataset.read_prompt(given, manifest)[None]
    model, _ = best_model(run)
    if length is None:
        length = int(np.median(lengths_of(data.train))) + (0 if prompt is None else prompt.shape[1])
    if prompt_steps is None:
        prompt_steps = int(run.key == "inputs")
    check_non_negative("prompt_steps", prompt_steps)
    if prompt is None and prompt_steps:
        (long,) = np.nonzero(lengths_of(data.test) >= prompt_steps)
        if not len(long):
            raise RunError(f"No test sequence has the {prompt_steps} steps of the prompt.")
        chosen = np.random.default_rng(seed).choice(long, count, replace=count > len(long))
        prompt = np.stack([data.test[int(i)][:prompt_steps] for i in chosen])
    samples = model.generate(count, length, prompt, temperature, seed, top_k, top_p)
    directory = run.path("samples")
    shutil.rmtree(directory, ignore_errors=True)  # of another call
    directory.mkdir()
    with whole_file(directory / "samples.npz") as partial:
        np.savez_compressed(partial, samples=samples)
    return [directory / "samples.npz", *run.dataset.write_samples(samples, directory, manifest)]
