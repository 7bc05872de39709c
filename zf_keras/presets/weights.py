"""The file of weights: HDF5 as Keras writes it, of plain arrays of numbers and nothing else."""

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import h5py
import keras
import numpy as np

OPTIMIZER = "optimizer"


@contextlib.contextmanager
def opened(path):
    """The arrays of a file, HDF5 datasets by their path.

    Raises:
        ValueError: the file is damaged, or holds what leads out of it or is not an array of numbers.
    """
    try:
        with h5py.File(path, "r") as file:
            yield _arrays(file, path)
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path} is damaged: it can't be read as HDF5 ({error}).") from error


def _arrays(file, path):
    arrays, groups, seen = {}, [file], set()
    while groups:
        group = groups.pop()
        for name in group:
            link, where = group.get(name, getlink=True), f"{group.name.rstrip('/')}/{name}"
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{path} is refused: {where} is a link to elsewhere.")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise ValueError(f"{path} is refused: {where} is there under another name.")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif not _is_plain(item):
                raise ValueError(f"{path} is refused: {where} is not a plain array of numbers.")
            else:
                arrays[where[1:]] = item
    size = sum(array.nbytes for array in arrays.values())
    if size > file.id.get_filesize():
        raise ValueError(f"{path} is refused: its arrays have {size} bytes, more than the file.")
    return arrays


def _is_plain(item):
    """Whether the bytes of an array are in the file, as they are."""
    if not isinstance(item, h5py.Dataset) or item.shape is None or item.dtype.kind not in "fiu":
        return False
    creation = item.id.get_create_plist()
    return (
        creation.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        and not creation.get_external_count()
        and item.id.get_storage_size() == item.nbytes
    )


def check_finite(arrays, path):
    """Raises a `ValueError` that names an array with a number that is not finite."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        with np.errstate(over="ignore"):
            finite = np.isfinite(array[()].astype("float32")).all()  # as a model holds them
        if not finite:
            raise ValueError(f"{path} is refused: {name} holds numbers that are not finite in float32.")


def write(model, path):
    """Writes the weights of a model, without its optimizer and without what of HDF5 needs much space.

    Keras's `load_weights` reads them too.
    """
    full = path.with_name(f"full.{path.name}")
    model.save_weights(full)
    with opened(full) as arrays, h5py.File(path, "w", libver="latest") as file:
        for name, array in sorted(arrays.items()):
            if not name.startswith(f"{OPTIMIZER}/"):
                file[name] = array[()]
    full.unlink()
    with opened(path) as arrays:
        check_finite(arrays, path.name)


def shapes_of(model, build_config):
    """Shapes of the weights that a model would be built with, none of which takes any memory."""

    # Keras keeps what is not initialised yet in a list of the thread, where it would be initialised some day.
    def build():
        with keras.StatelessScope(initialize_variables=False):
            model.build_from_config(build_config)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(build).result()
    return Counter(tuple(weight.shape) for weight in model.weights)


def difference(arrays, shapes):
    """What sets the arrays of a file apart from the weights of a model; empty if nothing does.

    Args:
        arrays: as `opened` gives.
        shapes: as `shapes_of` gives.
    """
    # Keras numbers a layer's weights; what has a name is a model's own, such as the random state.
    found = Counter(array.shape for name, array in arrays.items() if name.rpartition("/")[2].isdecimal())
    parts = [(f"it holds no {shape}", count) for shape, count in (shapes - found).items()]
    parts += [
        (f"it holds {shape}, of which the model has no weight", count) for shape, count in (found - shapes).items()
    ]
    return "; ".join(f"{text} ({count} times)" if count > 1 else text for text, count in parts[:3])
