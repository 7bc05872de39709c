"""Pictures of the trials of a search: parallel coordinates, and the auxiliary weights against the ELBO."""

import math

from tuning.metadata import OBJECTIVE
from tuning.records import flat

AUXILIARY = {"model.alpha": r"$\alpha$", "model.beta": r"$\beta$"}


def short_names(keys):
    """Dotted keys without their table."""
    return [key.partition(".")[2] or key for key in keys]


def parallel(trials):
    """Parallel coordinates: a line a trial, an axis a setting, coloured by validation ELBO.

    Args:
        trials: list of dicts, completed, the best first.

    Returns:
        `matplotlib.figure.Figure`, or `None` where there is nothing to draw.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    settings = [flat(trial["settings"]) for trial in trials]
    keys = [key for key in dict.fromkeys(key for each in settings for key in each) if _varies(settings, key)]
    if not keys:
        return None
    scales = [_Scale([each.get(key) for each in settings]) for key in keys]
    elbo = [trial[OBJECTIVE] for trial in trials]
    first = min(trials, key=lambda trial: int(trial["trial"]))
    norm = _norm(elbo)
    figure = Figure(figsize=(max(6.0, 1.45 * (len(keys) + 1)), 5), layout="constrained")
    axis = figure.subplots()
    colours = colormaps["viridis"]
    for rank in reversed(range(len(trials))):
        heights = [scale.height(settings[rank].get(key)) for key, scale in zip(keys, scales, strict=True)]
        style = {"color": colours(norm(elbo[rank])), "linewidth": 1.2, "alpha": 0.75}
        if trials[rank] is first:
            style = {
                "color": "black",
                "linewidth": 2,
                "linestyle": "--",
                "zorder": 3,
                "label": f"first trial: {elbo[rank]:.2f}",
            }
        if rank == 0:
            style = {"color": "crimson", "linewidth": 2.5, "zorder": 3, "label": f"best: {elbo[0]:.2f}"}
        axis.plot(range(len(keys)), heights, marker="o", markersize=3, **style)
    for x, scale in enumerate(scales):
        axis.axvline(x, color="0.6", linewidth=0.8, zorder=1)
        for height, label in scale.ticks():
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
            place = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
            axis.annotate(label, (x, height), **place, fontsize=8, bbox=box, zorder=4)
    axis.set_xticks(range(len(keys)), [name.replace(".", "\n").replace("_", "\n") for name in short_names(keys)])
    axis.set_yticks([])
    axis.set_xlim(-0.15, len(keys) - 0.4)
    axis.spines[:].set_visible(False)
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, ncols=2)
    figure.colorbar(ScalarMappable(norm, "viridis"), ax=axis, label="validation ELBO, nats a sequence", extend="min")
    return figure


def auxiliary(trials):
    """α and β against the validation ELBO, with zero apart; `None` where the model has neither.

    Args:
        trials: list of dicts, completed, the best first.
    """
    from matplotlib.figure import Figure

    keys = [key for key in AUXILIARY if any(key in trial["settings"] for trial in trials)]
    if not keys:
        return None
    elbo = [trial[OBJECTIVE] for trial in trials]
    norm, (low, high) = _norm(elbo), _limits(elbo)
    figure = Figure(figsize=(5 * len(keys), 4), layout="constrained")
    axes = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for axis, key in zip(axes, keys, strict=True):
        values = [trial["settings"][key] for trial in trials]
        positive = [value for value in values if value > 0] or [1e-3]
        zero = min(positive) / 10
        axis.set_xscale("log")
        axis.set_xlim(zero / 2, 2 * max(positive))
        axis.axvline(zero, color="0.8", zorder=1)
        heights = [max(value, low) for value in elbo]
        axis.scatter([value or zero for value in values], heights, c=elbo, norm=norm, cmap="viridis", zorder=2)
        axis.scatter([values[0] or zero], [elbo[0]], marker="*", s=180, color="crimson", zorder=3, label="best")
        span = range(math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))) + 1)
        powers = [10.0**power for power in span if 2 * zero < 10.0**power < 2 * max(positive)]
        axis.set_xticks([zero, *powers], ["0", *(f"$10^{{{round(math.log10(power))}}}$" for power in powers)])
        axis.minorticks_off()
        axis.set_xlabel(AUXILIARY[key])
        margin = 0.05 * (high - low)
        axis.set_ylim(low - margin, high + margin)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("validation ELBO, nats a sequence")
    axes[0].legend()
    return figure


def _norm(elbo):
    from matplotlib.colors import Normalize

    low = sorted(elbo)[len(elbo) // 5]  # else the worst would take all of the colours
    return Normalize(low if low < max(elbo) else max(elbo) - 1.0, max(elbo), clip=True)


def _limits(elbo):
    """The best, and the worst unless it is far off: what is below goes to the edge."""
    middle = sorted(elbo)[len(elbo) // 2]
    low = max(min(elbo), middle - 4 * (max(elbo) - middle))
    return (low if low < max(elbo) else max(elbo) - 1.0), max(elbo)


def _varies(settings, key):
    return len({each.get(key) for each in settings}) > 1


class _Scale:
    """Heights in [0, 1] for the values of a setting: linear, logarithmic where they span decades, or one a name.

    Zero on a logarithmic scale, and what a trial does not have, are below the rest.
    """

    def __init__(self, values):
        self.values = [value for value in values if value is not None]
        numbers = all(isinstance(value, (int, float)) for value in self.values)
        positive = [value for value in self.values if numbers and value > 0]
        self.names = None if numbers else sorted(set(map(str, self.values)))
        self.missing = len(self.values) < len(values)
        decades = 2 if 0 in self.values else 0.9  # dropout from 0 to a half is linear
        self.log = bool(positive) and max(positive) >= 10**decades * min(positive)
        shown = positive if self.log else self.values
        self.low, self.high = (0, len(self.names) - 1) if self.names else (min(shown), max(shown))
        self.zero = self.log and numbers and min(self.values) <= 0
        self.floor = 0.12 if self.zero or self.missing else 0.0

    def height(self, value):
        if value is None or (self.log and value <= 0):
            return 0.0
        if self.names:
            value = self.names.index(str(value))
        if self.low == self.high:
            return 0.5 + self.floor / 2
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.floor + (1 - self.floor) * part

    def ticks(self):
        """Pairs of height and label."""
        if self.zero or self.missing:
            yield 0.0, "0" if self.zero else "none"
        if self.names:
            yield from ((self.height(name), name) for name in self.names)
            return
        distinct = sorted({value for value in self.values if not self.log or value > 0})
        if len(distinct) > 6:
            parts = [i / 4 for i in range(5)]
            if self.log:
                distinct = [self.low * (self.high / self.low) ** part for part in parts]
            else:
                distinct = [self.low + (self.high - self.low) * part for part in parts]
        yield from (
            (self.height(value), f"{value:.2g}" if isinstance(value, float) else str(value)) for value in distinct
        )
