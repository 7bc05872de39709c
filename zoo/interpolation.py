"""Between two sequences of the test part: what is decoded from latents between theirs."""

import shutil

import numpy as np

from zf_keras.arguments import check_seed, check_size, optional
from zf_keras.datasets import text
from zf_keras.files import whole_file, write_whole
from zf_keras.inference.latents import interpolated_lengths
from zoo.evaluation import best_model
from zoo.runs import RunError


def interpolate(run, first=None, second=None, points=11, seed=0, top_k=None, draws=None):
    """Interpolates two test sequences by the best model of a run and writes what is decoded, by mode and by sampling.

    Text is decoded as in table 3 of Sordoni et al. 2017: by argmax, and by the best of ten draws of the ten likeliest
    tokens.

    Args:
        run: `Run`.
        first: int or `None`. Index of a test sequence. Defaults to `None`, drawn at random.
        second: int or `None`. Likewise.
        points: int. How many, the two ends included. Defaults to `11`.
        seed: int. Of the sequences, the latents and the draws. Defaults to `0`.
        top_k: int or `None`. Of text, as for the models' `interpolate`. Defaults to `None`, 10 of text.
        draws: int or `None`. The likeliest of so many is kept. Defaults to `None`, 10 of text, else 1.

    Returns:
        List of the paths written, in the folder `interpolation` of the run: `interpolation.npz`, and of text
        `interpolation.txt`.

    Raises:
        RunError: there is no such test sequence.
    """
    check_size("points", points)
    check_seed("seed", seed)
    optional(check_size, "draws", draws)
    data = run.load_data()
    chosen = _chosen(len(data.test), first, second, seed)
    model, _ = best_model(run)
    if draws is None:
        draws = 10 if model.tokens else 1
    if top_k is None and model.tokens:
        top_k = 10
    ends = [np.asarray(data.test[i]) for i in chosen]
    batches = [end[None] for end in ends]
    mode = model.interpolate(*batches, points, seed=seed)[:, 0]
    sample = model.interpolate(*batches, points, "sample", seed, top_k, num_draws=draws)[:, 0]
    lengths = interpolated_lengths(*map(len, ends), points)[:, 0]
    directory = run.path("interpolation")
    shutil.rmtree(directory, ignore_errors=True)  # of another call
    directory.mkdir()
    paths = [directory / "interpolation.npz"]
    with whole_file(paths[0]) as partial:
        np.savez_compressed(partial, mode=mode, sample=sample, lengths=lengths, sequences=chosen)
    if model.tokens:
        paths.append(directory / "interpolation.txt")
        write_whole(paths[1], "\n".join(_table(chosen, ends, mode, sample, lengths, data.train.manifest)) + "\n")
    return paths


def _chosen(count, first, second, seed):
    """Indices of two sequences, other ones where they are drawn."""
    for name, index in (("first", first), ("second", second)):
        if index is not None and not 0 <= index < count:
            raise RunError(f"`{name}` must be one of the {count} test sequences, from 0. Received: {name}={index}.")
    drawn = (int(i) for i in np.random.default_rng(seed).permutation(count) if i not in (first, second))
    try:
        return [next(drawn) if index is None else index for index in (first, second)]
    except StopIteration:
        raise RunError(f"The test part holds too few sequences to draw from: {count}.") from None


def _table(chosen, ends, mode, sample, lengths, manifest):
    """Lines of text: what is between which sentences, by argmax and by sampling."""

    def shown(tokens):
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text.decode(tokens, manifest))

    for index, end in zip(chosen, ends, strict=True):
        yield f"test sequence {index}: {shown(end)}"
    rows = [("a", "argmax", "sampling")]
    points = zip(np.linspace(0, 1, len(lengths)), mode, sample, lengths, strict=True)
    rows += [(f"{a:.2f}", shown(likeliest[:n]), shown(drawn[:n])) for a, likeliest, drawn, n in points]
    width = max(len(row[1]) for row in rows)
    yield ""
    yield from (f"{a:<4}  {likeliest:<{width}}  {drawn}".rstrip() for a, likeliest, drawn in rows)
