"""Figures that a reader can point at: Plotly's, each with a script of its own in the page."""

import numpy as np
from plotly import graph_objects as go
from plotly.colors import qualitative

from zf_keras.pictures.curves import CURVES, band, settled
from zf_keras.pictures.latents import direction, projected
from zf_keras.pictures.reliability import AXES

COLOURS = qualitative.D3
CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}


def curves(groups):
    """Names and figures of ELBO and KL over updates, with a band over seeds.

    Args:
        groups: list of `zoo.comparison.Group`.
    """
    for metric, title in CURVES.items():
        figure, bands = go.Figure(), []
        for i, group in enumerate(groups):
            colour = COLOURS[i % len(COLOURS)]
            histories = group.histories()
            for name, dash in ((metric, "dot"), (f"val_{metric}", "solid")):
                found = band(histories, name)
                if not found:
                    continue
                bands.append(found)
                updates, mean, low, high = found
                label = f"{group.label}, {'validation' if dash == 'solid' else 'training'}"
                shared = {"legendgroup": label, "line": {"color": colour, "dash": dash}}
                figure.add_scatter(x=updates, y=mean, name=label, mode="lines", **shared)
                if len(histories) > 1:
                    figure.add_scatter(
                        x=np.concatenate([updates, updates[::-1]]),
                        y=np.concatenate([high, low[::-1]]),
                        fill="toself",
                        mode="none",
                        opacity=0.2,
                        fillcolor=colour,
                        legendgroup=label,
                        showlegend=False,
                        hoverinfo="skip",
                    )
        if bands:
            _labelled(figure, title, "updates", "nats a sequence")
            low, high = settled(bands)
            figure.update_yaxes(range=[low if metric == "elbo" else min(0, low), high])
            yield f"curves-{metric}", figure


def paths(latents, mask):
    """Paths of latents through time on their two main directions."""
    found, shares = projected(latents, mask)
    figure = go.Figure()
    for i, path in enumerate(found):
        figure.add_scatter(
            x=path[:, 0],
            y=path[:, 1],
            name=f"sequence {i + 1}",
            mode="lines+markers",
            line={"color": COLOURS[i % len(COLOURS)], "width": 1},
            marker={"size": 4},
            text=[f"step {t + 1}" for t in range(len(path))],
            hovertemplate="%{text}",
        )
    return _labelled(figure, "Latents through time", direction(0, shares), direction(1, shares))


def kl_by_dimension(divergence, variance, threshold=0.01):
    """KL by dimension, the largest first; grey where the posterior mean does not vary."""
    order = np.argsort(-np.asarray(divergence))
    active = np.asarray(variance)[order] > threshold
    figure = go.Figure(
        go.Bar(
            y=np.asarray(divergence)[order],
            text=[f"z<sub>{i + 1}</sub>" for i in order],
            hovertemplate="%{text}: %{y:.3g} nats",
            textposition="none",
            marker_color=[COLOURS[0] if on else "#bbb" for on in active],
            name="",
        )
    )
    grey = "" if active.all() else f" ({active.sum()} of {len(active)} active, the others grey)"
    return _labelled(figure, "KL by dimension", f"dimension, by KL{grey}", "nats a sequence")


def kl_by_step(divergence):
    figure = go.Figure(go.Scatter(x=np.arange(1, len(divergence) + 1), y=divergence, mode="lines", name=""))
    figure.update_yaxes(rangemode="tozero")
    return _labelled(figure, "KL by step", "step", "nats a step")


def calibration(result):
    forecast, came = AXES[result.kind]
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], name="calibrated", mode="lines", line={"color": "#999", "dash": "dot"})
    errors = {"type": "data", "array": 2 * np.nan_to_num(result.standard_error)}
    figure.add_scatter(x=result.predicted, y=result.observed, name="model", mode="lines+markers", error_y=errors)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(range=[0, 1])
    return _labelled(figure, f"Calibration: off by {result.error:.3f} in the mean", forecast, came)


def html(name, figure):
    """A figure as a part of a page that holds Plotly's script."""
    return figure.to_html(CONFIG, full_html=False, include_plotlyjs=False, div_id=name, default_height="360px")


def _labelled(figure, title, x, y):
    figure.update_layout(
        title={"text": title, "font_size": 15},
        xaxis_title={"text": x, "font_size": 12},
        yaxis_title={"text": y, "font_size": 12},
        template="plotly_white",
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "yanchor": "top", "y": -0.25, "font_size": 11},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
