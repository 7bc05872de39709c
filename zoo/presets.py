"""Presets of runs and of released checkpoints: the model in a folder to load from, with a card that says what it is."""

import inspect
from pathlib import Path

import numpy as np
from keras import ops

from zf_keras import datasets
from zf_keras.datasets import Vocabulary
from zf_keras.models.z_forcing import from_released_weights
from zf_keras.presets.cards import arguments
from zoo import recipes
from zoo.cards import recipe_lines, results_lines, summary, training_lines
from zoo.evaluation import best_model
from zoo.runs import RunError


def pack(run, directory, licence=None, overwrite=False):
    """Writes the best model of a run as a preset.

    Args:
        run: `Run` that was evaluated.
        directory: path. A new or empty folder.
        licence: str or `None`. Of the weights. Defaults to `None`, not stated.
        overwrite: bool. Whether a preset that is there is replaced. Defaults to `False`.

    Raises:
        RunError: the run was not evaluated, or not on its best model.
    """
    results = run.results()
    model, epoch = best_model(run)
    if not results or results["epoch"] != epoch:
        raise RunError(f"{run.directory} has no results of its best model: `evaluate` it first.")
    data = run.load_data()
    manifest = getattr(data.train, "manifest", None) or {}
    bounds = {name: units["nats a sequence"] for name, units in results["bounds"].items()}
    scores = {
        "dataset": run.recipe.values["data"]["dataset"],
        **{key: results[key] for key in ("split", "sequences", "standard_error", "seed")},
        "bounds": bounds,
        "one draw": {name: results["terms"][name] for name in model.metric_names() if name != "kl_weight"},
        "without noise": _without_noise(model, run, getattr(data, results["split"])),
    }
    title = run.recipe.values.get("title", run.name)
    model.save_to_preset(
        directory,
        description=title,
        licence=licence,
        statistics=manifest.get("statistics"),
        vocabulary=Vocabulary.of(manifest) if "vocabulary" in (manifest.get("survey") or {}) else None,
        results=scores,
        card="\n".join(_card(run, model, Path(directory).name, results, scores, licence)),
        overwrite=overwrite,
    )


def _without_noise(model, run, sequences):
    """Terms of the first batch with zeros in the noise's place: the same on every machine, but for rounding."""
    batch = run.batches(sequences)[0]
    count, time = next(iter(batch.values())).shape[:2]
    noise = np.zeros((count, time - (run.key == "inputs"), model.noise_dim), "float32")
    terms = model.loss_terms(batch, noise=noise)
    return {"sequences": count, **{name: float(np.mean(ops.convert_to_numpy(x))) for name, x in terms.items()}}


def _card(run, model, preset, results, scores, licence):
    yield f"# {run.recipe.values.get('title', run.name)}"
    yield ""
    yield "```python"
    yield f"from zf_keras import {type(model).__name__}"
    yield ""
    yield f'model = {type(model).__name__}.from_preset("{preset}")  # if bundled; else this folder, or hf://user/repo'
    yield "```"
    yield ""
    yield from arguments(model)
    yield ""
    yield from results_lines(run)
    terms = ", ".join(f"{name} {value:.4f}" for name, value in scores["one draw"].items())
    yield f"One draw a sequence: {terms} (nats). Seed {results['seed']}; one run, not the mean of several."
    yield "`metadata.json` has the numbers for a program."
    yield ""
    yield from training_lines(run)
    yield "## Reproduce"
    yield ""
    yield f"    {command(run)}"
    yield ""
    yield f"{summary(run)}. From a checkout of zf_keras; on another machine or backend the numbers differ a little."
    yield ""
    yield "## Data"
    yield ""
    yield inspect.getdoc(datasets.module(run.recipe.values["data"]["dataset"]))
    yield ""
    yield from recipe_lines(run)
    yield ""
    yield "## Licence"
    yield ""
    yield f"{licence or 'Not stated'}, of the weights. That of the data is above."
    yield ""
    yield "## Limits"
    yield ""
    yield "Trained on the data above alone: it models sequences that look like them, and says nothing of others."
    yield "Samples may repeat training sequences. The bounds are lower bounds but where they are called exact."


def command(run):
    """What trains the run again: by the name of its recipe where that is the zoo's, else by the recipe below."""
    backend = run.environment["backend"]
    name, small = run.environment["recipe"], run.small
    known = name in recipes.names() and recipes.load(name, small).values == run.recipe.values
    what = f"{name}{' --small' if small else ''}" if known else "recipe.toml"
    source = " --source ..." if run.environment["data"] else ""
    return f"KERAS_BACKEND={backend} python -m zoo train {what}{source}" + ("" if known else "  # the recipe below")


CONVERTED = """\
# Z-Forcing, released weights

Converted from `{name}`, a PyTorch state_dict of the authors' released model (Sordoni, Goyal, Côté, Ke and Bengio,
"Z-Forcing: Training Stochastic Recurrent Networks", NIPS 2017), by `python -m zoo convert`.

{arguments}

## Data

Not stated by the checkpoint. Speech was standardised by the training part's mean and standard deviation, which are not
in it: pass `statistics` to `save_to_preset` where you know them.

## Results

Not measured.

## Licence

{licence}. The authors' code came without one.

## Limits

What the checkpoint was trained on decides what it models. KL weight, alpha and beta are no part of a state_dict.
"""


def convert(checkpoint, directory, output, auxiliary="z", licence=None, overwrite=False, **kwargs):
    """Writes a released checkpoint as a preset.

    Args:
        checkpoint: path. An `.npz` or `.safetensors` file of the state_dict.
        directory: path. A new or empty folder.
        output: `"gaussian"` or `"categorical"`.
        auxiliary: `"z"` or `"zh"`. Defaults to `"z"`.
        licence: str or `None`. Defaults to `None`, not stated.
        overwrite: bool. Defaults to `False`.
        **kwargs: further arguments of `ZForcing`.
    """
    model = from_released_weights(checkpoint, output, auxiliary, **kwargs)
    card = CONVERTED.format(
        name=checkpoint.name, arguments="\n".join(arguments(model)), licence=licence or "Not stated"
    )
    model.save_to_preset(directory, "Z-Forcing, released weights", licence=licence, card=card, overwrite=overwrite)
    return model
