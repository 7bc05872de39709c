"""All diagnostics in one dict."""

import numpy as np
from keras import ops

from zf_keras.arguments import check_non_negative
from zf_keras.data.padding import cut
from zf_keras.inference.diagnostics import statistics
from zf_keras.inference.diagnostics.inferred import batches, check_latents, inferred
from zf_keras.inference.diagnostics.latents import at_prior_mean
from zf_keras.inference.diagnostics.loss import norms_of, weights_of
from zf_keras.inference.passes import generator


def summary(
    model,
    data,
    threshold=0.01,
    collapsed_below=0.1,
    factor=1.0,
    seed=None,
    batch_size=128,
    verbose="auto",
):
    """All diagnostics but `calibration`, in one pass over the data, as numbers and lists that JSON can hold.

    Args:
        data, seed, batch_size, verbose: as for `kl`.
        threshold: float >= 0. As for `active_units`. Defaults to `0.01`.
        collapsed_below: float >= 0. Nats of KL a sequence, below which the posterior has collapsed. Defaults to `0.1`.
        factor: float >= 0. How many times the bound an auxiliary term may weigh before it is named. Defaults to `1.0`.

    Returns:
        Dict: "sequences" and "steps", how many; "elbo" and "log_prob_at_prior_mean", means in nats a sequence; "kl",
        "active_units", "mutual_information", "overlap", "aggregate_posterior" and "loss_shares", as the functions of
        these names give; "gradient_norms" of the first batch; and "warnings": "collapsed", whether the KL is below
        `collapsed_below` or no unit is active (or none beyond the prior), and "outweighing", names of the terms whose
        |weighted| is more than `factor` times that of "nll" and KL together.

    Raises:
        ValueError: names what is wrong with an argument, or the model has no latents.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = SRNN(units=8, latent_dim=4, output="bernoulli")
    >>> diagnostics.summary(model, np.zeros((2, 5, 3)))["warnings"]["outweighing"]
    []
    """
    for name, value in (("threshold", threshold), ("collapsed_below", collapsed_below), ("factor", factor)):
        check_non_negative(name, value)
    check_latents(model)
    of_batch = (
        statistics.kl_sums,
        statistics.moment_sums,
        statistics.information_sums,
        statistics.overlap_sums,
        statistics.term_sums,
    )
    random = generator(model, seed)
    totals, score, norms = [{} for _ in of_batch], 0.0, None
    for batch, noise, (count, time) in batches(model, data, random, batch_size, verbose):
        if norms is None:
            norms = norms_of(model, {key: cut(x, count) for key, x in batch.items()}, count, time, random)
        steps = inferred(model, batch, noise, count, time)
        for total, function in zip(totals, of_batch, strict=True):
            statistics.add(total, function(steps))
        score += ops.convert_to_numpy(at_prior_mean(model, batch))[:count].astype("float64").sum()
    of_kl, moments, information, overlaps, terms = totals
    count = terms["sequences"]
    divergence = statistics.kl_of(of_kl)
    active = statistics.active_units_of(moments, threshold)
    shares = statistics.loss_shares_of(terms, weights_of(model))
    bound = [name for name in shares if name in ("nll", "kl", "kl_cost")]
    most = factor * sum(abs(shares[name].weighted) for name in bound)
    return _plain(
        {
            "sequences": count,
            "steps": moments["steps"],
            "elbo": -(terms["nll"] + terms["kl"]) / count,
            "log_prob_at_prior_mean": score / count,
            "kl": divergence,
            "active_units": active,
            "mutual_information": statistics.information_of(information),
            "overlap": statistics.overlap_of(overlaps),
            "aggregate_posterior": statistics.aggregate_of(moments),
            "loss_shares": shares,
            "gradient_norms": norms,
            "warnings": {
                "collapsed": divergence.by_dimension.sum() < collapsed_below
                or min(active.count, active.count_beyond_prior) == 0,
                "outweighing": [n for n, term in shares.items() if n not in bound and abs(term.weighted) > most],
            },
        }
    )


def _plain(value):
    """`value` with dicts for named tuples, and lists and Python's numbers for NumPy's."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
