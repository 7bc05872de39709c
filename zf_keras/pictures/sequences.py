"""Sequences side by side: generated beside real, or the points of an interpolation.

Each function takes groups: a dict from a title to sequences, (count, time, features) or a list of (time, features),
such as `{"test": real, "generated": model.generate(8, 100)}`; or sequences alone.
"""

import numpy as np

from zf_keras.pictures.figure import cells, checked_groups, new_figure

GREY = 0.3  # of the lines between images
MAX_COLUMNS = 22  # of images side by side


def tiled(images, columns=None):
    """Square images of 0 to 1 as one, with grey lines around each.

    Args:
        images: sequences of the same size, whose numbers are the pixels of a square, row by row.
        columns: int or `None`. Defaults to `None`, about as many as rows.

    Returns:
        NumPy array (height, width), float32.

    Raises:
        ValueError: so many numbers are no square picture.
    """
    images = np.stack([np.asarray(image, "float32") for image in images])
    pixels = int(np.prod(images.shape[1:]))
    side = round(pixels**0.5)
    if side * side != pixels:
        raise ValueError(f"`length` must give square pictures. Received: {images.shape[1]} steps, {pixels} pixels.")
    columns = columns or int(np.ceil(len(images) ** 0.5))
    rows = -(-len(images) // columns)
    framed = np.pad(
        images.reshape(-1, side, side), ((0, rows * columns - len(images)), (1, 1), (1, 1)), constant_values=GREY
    )
    return framed.reshape(rows, columns, side + 2, side + 2).swapaxes(1, 2).reshape(rows * (side + 2), -1)


def images(groups, columns=None):
    """Sequences of the pixels of square images, of 0 to 1, in a block for each title.

    Args:
        groups: as said above.
        columns: int or `None`. Images side by side in a block; with 1, the blocks of an interpolation make a strip.
            Defaults to `None`, about as many as rows.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: a sequence is no square picture.

    Example:

    >>> from zf_keras import pictures
    >>> figure = pictures.images({"real": np.ones((4, 8, 8)), "generated": np.zeros((4, 64, 1))})
    >>> len(figure.axes)
    2
    """
    blocks = {title: tiled(images, columns) for title, images in checked_groups(groups).items()}
    across = columns or int(np.ceil(max(map(len, checked_groups(groups).values())) ** 0.5))
    in_a_row = max(1, min(len(blocks), MAX_COLUMNS // across))
    rows = -(-len(blocks) // in_a_row)
    width = min(4.0, max(1.0, 0.8 * across))
    height, wide = next(iter(blocks.values())).shape
    figure = new_figure(width * in_a_row, (width * height / wide + 0.35) * rows)
    axes = figure.subplots(rows, in_a_row, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (title, block) in zip(axes, blocks.items(), strict=False):
        axis.imshow(block, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title)
    return figure


def rolls(groups, lowest=21):
    """Piano rolls, sequences (time, notes) of 0 and 1: a column for each title.

    Args:
        groups: as said above.
        lowest: int. MIDI's number of the first note. Defaults to `21`, the lowest key of a piano.

    Returns:
        `matplotlib.figure.Figure`.
    """
    rows = list(cells(checked_groups(groups)))
    figure, panels = _panels(rows, 6, 1.7)
    for panel, roll in panels:
        roll = np.asarray(roll, "float32").T
        extent = (0, roll.shape[1], lowest - 0.5, lowest + len(roll) - 0.5)
        panel.imshow(
            roll, "gray_r", aspect="auto", vmin=0, vmax=1, origin="lower", extent=extent, interpolation="nearest"
        )
    figure.supxlabel("frame")
    figure.supylabel("MIDI note")
    return figure


def waveforms(groups, sample_rate):
    """Audio, sequences whose numbers are samples: each a waveform with its spectrogram below.

    Args:
        groups: as said above.
        sample_rate: number. Samples a second.

    Returns:
        `matplotlib.figure.Figure`.
    """
    from matplotlib import mlab

    rows = list(cells(checked_groups(groups)))
    figure, panels = _panels(rows, 6, 2.4, parts=(1, 1.4))
    for (wave_panel, panel), wave in panels:
        wave = np.asarray(wave, "float64").ravel()
        seconds = len(wave) / sample_rate
        wave_panel.plot(np.arange(len(wave)) / sample_rate, wave, linewidth=0.4)
        wave_panel.set_xlim(0, seconds)
        wave_panel.tick_params(labelbottom=False)
        wave = np.pad(wave, (0, max(0, 8 - len(wave))))
        size = min(256, len(wave) // 2)
        power, _, _ = mlab.specgram(wave, size, sample_rate, noverlap=size // 2)
        decibels = 10 * np.log10(power / (power.max() or 1.0) + 1e-8)
        extent = (0, seconds, 0, sample_rate / 2000)
        panel.imshow(decibels, "magma", aspect="auto", origin="lower", extent=extent, vmin=-80, vmax=0)
        panel.set_ylabel("kHz")
    figure.supxlabel("seconds")
    return figure


def series(groups):
    """Sequences of numbers, (time, features): a line for each feature.

    Args:
        groups: as said above.

    Returns:
        `matplotlib.figure.Figure`.
    """
    rows = list(cells(checked_groups(groups)))
    figure, panels = _panels(rows, 6, 1.7)
    for panel, values in panels:
        panel.plot(np.asarray(values), linewidth=0.8)
        panel.margins(x=0)
        panel.grid(alpha=0.3)
    figure.supxlabel("step")
    return figure


def _panels(rows, width, height, parts=None):
    """A figure, and pairs of its axes and what goes there; of `parts`, their heights, an axis each."""
    columns = len(rows[0])
    figure = new_figure(width * columns, 0.6 + height * len(rows))
    if parts:
        grid = figure.add_gridspec(len(rows), columns)
        places = [[_parted(figure, grid[i, j], parts) for j in range(columns)] for i in range(len(rows))]
    else:
        places = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    pairs = []
    for row, panels in zip(rows, places, strict=True):
        for cell, panel in zip(row, panels, strict=True):
            first = panel[0] if parts else panel
            if cell is None:
                for axis in panel if parts else [panel]:
                    axis.set_axis_off()
                continue
            title, sequence = cell
            if title:
                first.set_title(title)
            pairs.append((panel, sequence))
    return figure, pairs


def _parted(figure, place, heights):
    grid = place.subgridspec(len(heights), 1, height_ratios=heights, hspace=0.05)
    return [figure.add_subplot(grid[i]) for i in range(len(heights))]
