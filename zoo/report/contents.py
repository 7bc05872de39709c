"""What a run has to show: measured, drawn and inferred by its best model."""

import base64
import dataclasses
import io

import numpy as np

from zf_keras import diagnostics
from zf_keras.data.batches import Batches, lengths_of, targets_of
from zf_keras.inference.events import wav
from zoo import interpolation
from zoo.comparison import history
from zoo.evaluation import best_model, some_of
from zoo.generation import drawn
from zoo.tables import rows, scored

PATHS, STEPS = 4, 100  # sequences whose latents are shown, and of how many steps
HEARD, SECONDS = 3, 8  # samples with a player, real and generated, and how long these are at most
MAX_HORIZON, POINTS = 10, 9


@dataclasses.dataclass
class Contents:
    """A section of the page. What a model or its data has not is empty or `None`."""

    run: object
    history: dict
    epoch: int
    scored: str
    table: list
    picture: str | None
    sounds: list
    texts: dict
    summary: dict | None
    latents: tuple | None
    interpolated: interpolation.Interpolation | None
    strip: str | None
    between: list
    calibration: object
    warnings: list


def contents(run, count, sequences, seed, verbose):
    """Measures and draws all that is shown of a run.

    Args:
        run: `Run`.
        count: int. Samples.
        sequences: int. Test sequences that are inferred, drawn at random, always the same.
        seed: int. Of the samples.
        verbose: `"auto"`, 0 or 1.
    """
    model, epoch = best_model(run)
    data = run.load_data()
    manifest = getattr(data.train, "manifest", None)
    epochs, results, dataset = run.rows(), run.results(), run.dataset
    samples = drawn(run, model, data, count, seed=seed)
    groups = {"test": _real(data.test, count, samples.shape[1]), "generated": list(samples)}
    inferred = some_of(data.test, sequences)
    batches = run.batches(inferred)
    summary = latents = found = None
    if model.noise_dim:
        found = interpolation.between(model, data.test, points=POINTS, seed=seed)
        summary = diagnostics.summary(model, batches, seed=seed, verbose=verbose)
        latents = _latents(model, run, data.test, seed)
    return Contents(
        run=run,
        history=history(epochs),
        epoch=epoch,
        scored=scored(results) if results else "",
        table=list(rows(run, results)) if results else [],
        picture=png(dataset.figure(groups, manifest)) if dataset.figure else None,
        sounds=list(_sounds(groups, dataset, manifest)),
        texts={t: [dataset.text(x, manifest) for x in group] for t, group in groups.items()} if dataset.text else {},
        summary=summary,
        latents=latents,
        interpolated=found,
        strip=png(interpolation.strip(found, dataset, manifest)) if found and dataset.figure else None,
        between=list(interpolation.rows(found, dataset, manifest)) if found and dataset.text else [],
        calibration=_calibration(model, inferred, batches, seed, verbose),
        warnings=list(warnings(run, len(epochs), epoch, summary)),
    )


def warnings(run, epochs, epoch, summary):
    """What a reader of the numbers should know first: sentences."""
    results = run.results()
    if results is None:
        yield "Nothing was measured yet: evaluate the run."
    elif results["sequences"] < results.get("of_sequences", 0):
        yield f"Measured on {results['sequences']} of {results['of_sequences']} {results['split']} sequences."
    if run.small:
        yield "This is the recipe's small form: its numbers are not to be compared with the published one."
    if epoch == epochs:
        yield f"The best epoch is the last, {epoch}: with more epochs the model may get better."
    if summary is None:
        return
    divergence, active = sum(summary["kl"]["by_dimension"]), summary["active_units"]
    if summary["warnings"]["collapsed"]:
        yield (
            f"The posterior collapsed: its KL is {divergence:.3g} nats a sequence, {active['count']} of "
            f"{len(active['variance'])} dimensions are active, {active['count_beyond_prior']} beyond the prior."
        )
    shares = summary["loss_shares"]
    bound = sum(abs(shares[name]["weighted"]) for name in ("nll", "kl", "kl_cost") if name in shares)
    for name in summary["warnings"]["outweighing"]:
        times = abs(shares[name]["weighted"]) / bound
        yield f"The term {name} outweighs the bound: weighted, it is {times:.3g} times as large as nll and KL together."


def png(figure):
    """A figure as a data URI."""
    file = io.BytesIO()
    figure.savefig(file, dpi=90, format="png")
    return _uri("image/png", file.getvalue())


def sound(samples, rate):
    """The first seconds of a sound (int16) as a data URI; FLAC is smaller, but Chromium can't play a short one."""
    return _uri("audio/wav", wav(samples[: SECONDS * rate], rate))


def _uri(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _real(sequences, count, length):
    """The first sequences of a split, cut to the length of the samples."""
    return [np.asarray(targets_of(sequences[i]))[:length] for i in range(min(count, len(sequences)))]


def _sounds(groups, dataset, manifest):
    """(title, data URI) of what is heard."""
    for title, group in groups.items() if dataset.audio else ():
        for i, sequence in enumerate(group[:HEARD], start=1):
            yield f"{title} {i}", sound(*dataset.audio(sequence, manifest))


def _latents(model, run, sequences, seed):
    """Posterior means (batch, time, latent_dim) of some sequences, and the mask of their steps or `None`."""
    batch = Batches(some_of(sequences, PATHS), PATHS, key=run.key)[0]
    means, mask = model.encode(batch, seed=seed, verbose=0).mean, batch.get("mask")
    if mask is not None:
        mask = mask[:, -means.shape[1] :][:, :STEPS]  # without the frame that is given
    return means[:, :STEPS], mask


def _calibration(model, sequences, batches, seed, verbose):
    """Of forecasts from the middle of a sequence of median length; `None` where sequences have a single step."""
    lengths = lengths_of(sequences)
    prompt_steps = int(np.median(lengths)) // 2
    if not prompt_steps:
        return None
    horizon = min(MAX_HORIZON, int(lengths.max()) - prompt_steps)
    return diagnostics.calibration(model, batches, prompt_steps, horizon, seed=seed, verbose=verbose)
