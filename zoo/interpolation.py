"""Between two sequences of the test part: what is decoded from latents between theirs."""

import shutil
from typing import Any, NamedTuple

import numpy as np

from zf_keras.arguments import check_seed, check_size, optional
from zf_keras.data.batches import Batches
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
        List of the paths written, in the folder `interpolation` of the run: `interpolation.npz`, of text
        `interpolation.txt`, and else a strip, `interpolation.png`.

    Raises:
        RunError: there is no such test sequence.
    """
    data = run.load_data()
    model, _ = best_model(run)
    found = between(model, data.test, first, second, points, seed, top_k, draws)
    manifest, dataset = getattr(data.train, "manifest", None), run.dataset
    directory = run.path("interpolation")
    shutil.rmtree(directory, ignore_errors=True)  # of another call
    directory.mkdir()
    paths = [directory / "interpolation.npz"]
    with whole_file(paths[0]) as partial:
        np.savez_compressed(partial, **found._asdict())
    if dataset.text:
        paths.append(directory / "interpolation.txt")
        write_whole(paths[1], "\n".join(_table(found, data.test, dataset, manifest)) + "\n")
    if dataset.figure:
        paths.append(directory / "interpolation.png")
        with whole_file(paths[-1]) as partial:
            strip(found, dataset, manifest).savefig(partial, format="png", dpi=100)
    return paths


class Interpolation(NamedTuple):
    """What is decoded between two test sequences. Steps past the end of one are zeros."""

    sequences: list  # their indices
    a: Any  # (points,)
    mode: Any  # (points, time, ...)
    sample: Any  # likewise
    lengths: Any  # (points,)


def between(model, sequences, first=None, second=None, points=11, seed=0, top_k=None, draws=None):
    """`Interpolation` of two sequences of a split. Other arguments as of `interpolate`."""
    check_size("points", points)
    check_seed("seed", seed)
    optional(check_size, "draws", draws)
    chosen = _chosen(len(sequences), first, second, seed)
    if draws is None:
        draws = 10 if model.tokens else 1
    if top_k is None and model.tokens:
        top_k = 10
    ends = [Batches([sequences[i]], 1)[0] for i in chosen]
    mode = model.interpolate(*ends, points, seed=seed)[:, 0]
    sample = model.interpolate(*ends, points, "sample", seed, top_k, num_draws=draws)[:, 0]
    lengths = interpolated_lengths(*(end["targets"].shape[1] for end in ends), points)[:, 0]
    return Interpolation(chosen, np.linspace(0, 1, points), mode, sample, lengths)


def strip(found, dataset, manifest):
    """A figure of what is decoded by mode, a picture a point."""
    frames = zip(found.a, found.mode, found.lengths, strict=True)
    return dataset.figure({f"a = {a:.2f}": x[None, :n] for a, x, n in frames}, manifest, 1)


def rows(found, dataset, manifest):
    """Rows of text, as in table 3 of Sordoni et al. 2017: a, and what is decoded by argmax and by sampling."""
    yield "a", "argmax", "sampling"
    for a, mode, sample, length in zip(found.a, found.mode, found.sample, found.lengths, strict=True):
        yield f"{a:.2f}", *(_line(tokens[:length], dataset, manifest) for tokens in (mode, sample))


def _table(found, sequences, dataset, manifest):
    for index in found.sequences:
        yield f"test sequence {index}: {_line(sequences[index], dataset, manifest)}"
    yield ""
    cells = list(rows(found, dataset, manifest))
    width = max(len(row[1]) for row in cells)
    yield from (f"{a:<4}  {likeliest:<{width}}  {drawn}".rstrip() for a, likeliest, drawn in cells)


def _line(tokens, dataset, manifest):
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in dataset.text(tokens, manifest))


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
