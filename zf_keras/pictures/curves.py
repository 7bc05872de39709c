"""Curves of a training or of several, with a band over seeds (Sordoni et al. 2017, figure 2)."""

import numpy as np

from zf_keras.pictures.figure import new_figure

#: What is drawn, and the title of its panel.
CURVES = {"elbo": "ELBO", "kl": "KL of posterior and prior"}


def band(histories, metric):
    """A metric over the epochs of trainings that differ by their seed.

    Args:
        histories: list of dicts from the name of a metric to its values, one an epoch, as `history.history` of `fit`;
            with "updates" where it is known how many there were by the end of each.
        metric: str.

    Returns:
        NumPy arrays (epochs,) of updates (or the number of the epoch), and of the mean, the lowest and the highest
        value, of the epochs that all have; or `None`, one of them has no such metric.
    """
    if not all(metric in history for history in histories):
        return None
    length = min(len(history[metric]) for history in histories)
    values = np.array([history[metric][:length] for history in histories], "float64")
    updates = np.array(histories[0].get("updates", np.arange(1, length + 1)))[:length]
    return updates, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def settled(bands):
    """Lowest and highest value of bands, with a margin, without their first tenths, which would squash the rest."""
    values = np.concatenate([edge[len(edge) // 10 :] for *_, low, high in bands for edge in (low, high)])
    margin = 0.05 * np.ptp(values) + 0.05
    return values.min() - margin, values.max() + margin


def curves(trainings, metrics=None, kept=None):
    """ELBO and KL over the updates of trainings; dotted in training, drawn in validation, a band over seeds.

    Args:
        trainings: dict from a label to the history of a training, as for `band`, or to a list of them, a seed each.
        metrics: dict from the name of a metric to the title of its panel. Defaults to `None`, ELBO and KL.
        kept: dict from a label to the number of the epoch whose weights were kept, which has a dot. Defaults to `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: no training has one of the metrics.

    Example:

    >>> from zf_keras import pictures
    >>> first = {"elbo": [-9.0, -7.0], "val_elbo": [-9.0, -8.0]}
    >>> second = {"elbo": [-9.0, -8.0], "val_elbo": [-9.0, -7.0]}
    >>> figure = pictures.curves({"Z-Forcing": [first, second], "RNN": first})
    """
    from matplotlib import colormaps

    trainings = {label: [h] if isinstance(h, dict) else list(h) for label, h in trainings.items()}
    metrics = metrics or CURVES
    drawn = [metric for metric in metrics if any(band(h, metric) for h in trainings.values())]
    if not drawn:
        raise ValueError(f"`trainings` must have one of the metrics {', '.join(metrics)}. Received: none.")
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = new_figure(6 * columns, 4.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    for axis, metric in zip(axes, drawn, strict=False):
        bands = []
        for i, (label, histories) in enumerate(trainings.items()):
            colour = colormaps["tab10"].colors[i % 10]
            seeds = f", {len(histories)} seeds" if len(histories) > 1 else ""
            for name, style in ((metric, ":"), (f"val_{metric}", "-")):
                found = band(histories, name)
                if found is None:
                    continue
                updates, mean, low, high = found
                axis.plot(updates, mean, style, color=colour, label=label + seeds if style == "-" else None)
                if seeds:
                    axis.fill_between(updates, low, high, color=colour, alpha=0.2, linewidth=0)
                bands.append(found)
                epoch = (kept or {}).get(label)
                if epoch and style == "-":
                    axis.plot(updates[epoch - 1], mean[epoch - 1], "o", color=colour)
        low, high = settled(bands)
        axis.set_ylim(low if metric == "elbo" else min(0, low), high)
        steps = "updates" if all("updates" in h[0] for h in trainings.values()) else "epoch"
        axis.set(xlabel=steps, ylabel="nats a sequence", title=metrics[metric])
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure
