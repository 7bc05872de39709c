"""What all pictures share."""

from zf_keras.extras import optional_import


def new_figure(width, height):
    """A `matplotlib.figure.Figure` of inches, which no window holds.

    Raises:
        ImportError: matplotlib is not there.
    """
    return optional_import("matplotlib.figure", "plot", "A picture").Figure((width, height), layout="constrained")


def checked_groups(groups):
    """Groups of sequences as a dict from title to a list of arrays.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not isinstance(groups, dict):
        groups = {"": groups}
    groups = {title: list(sequences) for title, sequences in groups.items()}
    if not groups or not all(groups.values()):
        raise ValueError(f"`groups` must hold a sequence or more for each title. Received: {_counts(groups)}.")
    return groups


def cells(groups):
    """Where the sequences of groups go: rows of (title or `None`, sequence), `None` where a place stays empty.

    A group is a column; sequences of a single group, and groups of a single sequence, fill two columns row by row.
    """
    if len(groups) > 1 and any(len(sequences) > 1 for sequences in groups.values()):
        rows = max(map(len, groups.values()))
        for i in range(rows):
            yield [(t if i == 0 else None, s[i]) if i < len(s) else None for t, s in groups.items()]
        return
    flat = [(title if i == 0 else None, x) for title, s in groups.items() for i, x in enumerate(s)]
    columns = min(2, len(flat))
    for start in range(0, len(flat), columns):
        row = flat[start : start + columns]
        yield [*row, *[None] * (columns - len(row))]


def _counts(groups):
    return ", ".join(f"{title!r} with {len(sequences)}" for title, sequences in groups.items()) or "none"
