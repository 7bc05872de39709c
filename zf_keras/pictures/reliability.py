"""Whether what is forecast comes as often as it is said to."""

from zf_keras.pictures.figure import new_figure

#: What the axes are of, for each kind of `diagnostics.Calibration`.
AXES = {
    "real": ("level of the central interval", "share of readings in it"),
    "binary": ("forecast probability", "share of events that came"),
    "tokens": ("forecast probability of the likeliest token", "share of events that came"),
}


def calibration(result):
    """Forecast probability against what came: of a calibrated model on the diagonal, but for chance.

    Args:
        result: as `diagnostics.calibration` gives it.

    Returns:
        `matplotlib.figure.Figure`.
    """
    forecast, came = AXES[result.kind]
    figure = new_figure(5, 4.6)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="calibrated")
    axis.errorbar(result.predicted, result.observed, 2 * result.standard_error, fmt="o-", capsize=3, label="model")
    axis.set(xlabel=forecast, ylabel=came, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_title(f"Calibration: off by {result.error:.3f} in the mean")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure
