"""What may come of a sequence, behind what is known of it."""

import numpy as np

from zf_keras.arguments import check_non_negative_int
from zf_keras.pictures.figure import new_figure

#: Of the intervals that are drawn, and how dark each is.
LEVELS = {0.9: 0.2, 0.5: 0.4}
MOST_PANELS = 8  # where `features` is not given


def forecast(samples, history=None, features=None):
    """The median of sample paths and their central intervals of 50 % and 90 %, a panel for each feature.

    The step 0 is the last known one. From it the bands open.

    Args:
        samples: array (num_samples, horizon, features).
        history: array (time, features), what was known. Defaults to `None`.
        features: sequence of ints or `None`. Which are drawn. Defaults to `None`, the first eight.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> from zf_keras import pictures
    >>> walks = np.random.normal(size=(100, 12, 2)).cumsum(axis=1)
    >>> figure = pictures.forecast(walks, history=np.zeros((20, 2)))
    >>> len(figure.axes)
    2
    """
    samples = np.asarray(samples)
    if samples.ndim != 3 or 0 in samples.shape:
        raise ValueError(f"`samples` must be (num_samples, horizon, features). Received: shape={samples.shape}.")
    _, horizon, width = samples.shape
    history = np.empty((0, width)) if history is None else np.asarray(history)
    if history.ndim != 2 or history.shape[1] != width:
        raise ValueError(f"`history` must be (time, features={width}). Received: shape={history.shape}.")
    features = range(min(width, MOST_PANELS)) if features is None else list(features)
    if not len(features) or any(check_non_negative_int("features", feature) >= width for feature in features):
        raise ValueError(f"`features` must hold integers in [0, {width}). Received: features={features}.")
    figure = new_figure(7, 0.8 + 2.2 * len(features))
    axes = figure.subplots(len(features), 1, sharex=True, squeeze=False).ravel()
    known = history[-1:]
    steps = np.arange(1 - len(known), horizon + 1)
    for axis, feature in zip(axes, features, strict=True):
        if len(history):
            axis.plot(np.arange(1 - len(history), 1), history[:, feature], color="0.3", linewidth=1, label="known")
        from_known = np.concatenate([np.repeat(known[None], len(samples), axis=0), samples], axis=1)[..., feature]
        for level, alpha in LEVELS.items():
            lower, upper = np.quantile(from_known, [(1 - level) / 2, (1 + level) / 2], axis=0)
            axis.fill_between(steps, lower, upper, color="C0", alpha=alpha, linewidth=0, label=f"{level:.0%}")
        axis.plot(steps, np.median(from_known, axis=0), color="C0", label="median")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.margins(x=0)
        axis.grid(alpha=0.3)
        if width > 1:
            axis.set_title(f"feature {feature}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    figure.supxlabel("step")
    return figure
