"""Pictures of the latents: their paths in two dimensions, and the information in each dimension."""

import numpy as np

from zf_keras.pictures.figure import new_figure


def projected(latents, mask=None):
    """Latents on the two directions in which they vary most (their first principal components).

    Args:
        latents: array (batch, time, latent_dim), such as `model.encode(data).mean`.
        mask: array (batch, time) of bool or `None`. Which steps count. Defaults to `None`, all.

    Returns:
        Pair of paths, a list of arrays (steps, 2), one a sequence, and the share of the variance on each direction,
        an array (2,).

    Raises:
        ValueError: the shapes don't fit, or there are fewer than two steps.
    """
    latents = np.asarray(latents, "float64")
    if latents.ndim != 3:
        raise ValueError(f"`latents` must have the shape (batch, time, latent_dim). Received: shape {latents.shape}.")
    mask = np.ones(latents.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    if mask.shape != latents.shape[:2]:
        raise ValueError(f"`mask` must have the shape {latents.shape[:2]}. Received: shape {mask.shape}.")
    steps = latents[mask]
    if len(steps) < 2:
        raise ValueError(f"`latents` must have two steps or more that count. Received: {len(steps)}.")
    centre = steps.mean(axis=0)
    _, scale, directions = np.linalg.svd(steps - centre, full_matrices=False)
    total = np.sum(scale**2)
    directions, shares = directions[:2], (scale**2 / total if total else np.zeros_like(scale))[:2]
    missing = 2 - len(directions)  # z of one dimension
    directions, shares = np.pad(directions, ((0, missing), (0, 0))), np.pad(shares, (0, missing))
    return [(path[kept] - centre) @ directions.T for path, kept in zip(latents, mask, strict=True)], shares


def latent_paths(latents, mask=None):
    """Paths of latents through time, in two dimensions: a line a sequence, from a dot at its first step.

    Args:
        latents: array (batch, time, latent_dim), such as `model.encode(data).mean`.
        mask: array (batch, time) of bool or `None`. Which steps count. Defaults to `None`, all.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: as `projected` does.

    Example:

    >>> from zf_keras import pictures
    >>> model = STORN(units=8, latent_dim=4, output="bernoulli", seed=0)
    >>> figure = pictures.latent_paths(model.encode(np.zeros((2, 5, 3)), seed=0, verbose=0).mean)
    """
    paths, shares = projected(latents, mask)
    figure = new_figure(6, 5)
    axis = figure.subplots()
    longest = max(map(len, paths))
    for i, path in enumerate(paths):
        axis.plot(*path.T, color=f"C{i % 10}", linewidth=0.6, alpha=0.5)
        dots = axis.scatter(*path.T, c=np.arange(len(path)), s=8, cmap="viridis", vmin=0, vmax=longest, zorder=2)
        axis.plot(*path[:1].T, "o", color=f"C{i % 10}", markersize=6, zorder=3)
    figure.colorbar(dots, ax=axis, label="step")
    axis.set(xlabel=direction(0, shares), ylabel=direction(1, shares), title="Latents through time")
    axis.grid(alpha=0.3)
    return figure


def direction(i, shares):
    """The name of an axis."""
    return f"principal component {i + 1} ({shares[i]:.0%} of the variance)"


def kl_by_dimension(divergence, active=None):
    """KL of posterior and prior in each latent dimension, the largest first.

    Args:
        divergence: array (latent_dim,), nats a sequence, such as `diagnostics.kl(model, data).by_dimension`.
        active: array (latent_dim,) of bool or `None`. Which dimensions are active; the others are grey. Defaults to
            `None`, all.

    Returns:
        `matplotlib.figure.Figure`.
    """
    divergence = np.asarray(divergence)
    active = np.ones(divergence.shape, bool) if active is None else np.asarray(active, bool)
    order = np.argsort(-divergence)
    figure = new_figure(7, 3.5)
    axis = figure.subplots()
    axis.bar(range(len(order)), divergence[order], color=["C0" if on else "0.7" for on in active[order]], width=0.9)
    grey = "" if active.all() else f"; {active.sum()} of {len(active)} are active, the others grey"
    axis.set(xlabel=f"latent dimension, by KL{grey}", ylabel="nats a sequence", title="KL by dimension")
    axis.margins(x=0.01)
    axis.grid(alpha=0.3, axis="y")
    return figure
