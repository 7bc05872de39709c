"""What a trained run draws."""

import shutil

import numpy as np

from zf_keras.arguments import check_non_negative, check_positive_int, check_seed
from zf_keras.data.batches import lengths_of, targets_of
from zf_keras.data.sequences import TIMELESS
from zf_keras.files import whole_file
from zoo.evaluation import best_model
from zoo.runs import RunError


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
    data, (model, _) = run.load_data(), best_model(run)
    options = {"top_k": top_k, "top_p": top_p, "given": given}
    samples = drawn(run, model, data, count, length, temperature, seed, prompt_steps, **options)
    directory = run.path("samples")
    shutil.rmtree(directory, ignore_errors=True)  # of another call
    directory.mkdir()
    with whole_file(directory / "samples.npz") as partial:
        np.savez_compressed(partial, samples=samples)
    return [
        directory / "samples.npz",
        *run.dataset.write_samples(samples, directory, getattr(data.train, "manifest", None)),
    ]


def drawn(
    run, model, data, count, length=None, temperature=1.0, seed=0, prompt_steps=None, top_k=None, top_p=None, given=None
):
    """Samples of a run's model, given the `Splits` of its data. Other arguments as of `generate`."""
    check_positive_int("count", count)
    check_seed("seed", seed)
    manifest = getattr(data.train, "manifest", None)
    if given is not None and not run.dataset.read_prompt:
        raise RunError(f"{run.recipe.values['data']['dataset']} takes no prompt of one's own, but --prompt-steps.")
    covariates = isinstance(data.test[0], dict)
    if given is not None and covariates:
        raise RunError("What follows on a prompt depends on covariates: draw it by `forecast`.")
    prompt = None if given is None else run.dataset.read_prompt(given, manifest)[None]
    if length is None:
        length = int(np.median(lengths_of(data.train))) + (0 if prompt is None else prompt.shape[1])
    if prompt_steps is None:
        prompt_steps = prompt_steps_of(run, model, length)
    check_non_negative("prompt_steps", prompt_steps)
    beside = {}
    if prompt is None and (prompt_steps or covariates):
        steps, what = (length, "sequences") if covariates else (prompt_steps, "prompt")
        (long,) = np.nonzero(lengths_of(data.test) >= steps)
        if not len(long):
            raise RunError(f"No test sequence has the {steps} steps of the {what}.")
        chosen = np.random.default_rng(seed).choice(long, count, replace=count > len(long))
        sequences = [data.test[int(i)] for i in chosen]
        prompt = np.stack([targets_of(sequence)[:prompt_steps] for sequence in sequences]) if prompt_steps else None
        for key in sequences[0] if covariates else ():
            if key != "targets":
                beside[key] = np.stack([each[key] if key in TIMELESS else each[key][:length] for each in sequences])
    return model.generate(count, length, prompt, temperature, seed, top_k, top_p, **beside)


def prompt_steps_of(run, model, length):
    """First steps of samples of a length that must be given: half, where these tell the scale of a sequence."""
    by_sequence = model.scaling is not None and model.scaling.by_sequence
    return length // 2 if by_sequence else int(run.key == "inputs")
