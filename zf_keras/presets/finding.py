"""Where a preset is: bundled, in a folder, or on the Hugging Face hub."""

import difflib
import functools
import re
from importlib import resources
from pathlib import Path

import keras

from zf_keras.extras import optional_import
from zf_keras.presets.files import CARD, CONFIG, METADATA, WEIGHTS, read_metadata
from zf_keras.version import __version__

HUB = "hf://"
_HUB_NAME = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?P<folder>(/[\w-][\w.-]*)*)(@(?P<revision>[\w./-]+))?")


@functools.cache
def _bundled():
    """Name -> metadata and path, of every preset in the wheel."""
    folder = Path(str(resources.files("zf_keras"))) / "models"
    paths = sorted(path.parent for path in folder.glob(f"*/presets/*/{METADATA}"))
    return {path.name: (read_metadata(path), path) for path in paths}


def bundled(cls):
    """Name -> description, parameters and path, of the presets of a class and of its subclasses."""
    return {
        name: {"description": metadata["description"], "parameters": metadata["parameters"], "path": str(path)}
        for name, (metadata, path) in _bundled().items()
        if issubclass(keras.saving.get_registered_object(metadata["class"]), cls)
    }


def find(preset):
    """The folder of a preset, and what its links may lead to.

    Args:
        preset: str or path. A bundled name, a folder, or "hf://user/repo[/folder][@revision]".

    Returns:
        (path, path or `None`)

    Raises:
        FileNotFoundError: there is none.
        ImportError: huggingface_hub is not installed.
        ValueError: it is no name and no path, or not the name of a preset on the hub.
    """
    if not isinstance(preset, str | Path) or not str(preset):
        raise ValueError(f"`preset` must be a name, a folder, or hf://user/repo. Received: {preset!r:.100}.")
    if isinstance(preset, str) and preset.startswith(HUB):
        return _download(preset)
    if isinstance(preset, str) and preset in _bundled():
        return _bundled()[preset][1], None
    if not Path(preset).exists():
        names = list(_bundled())
        near = difflib.get_close_matches(str(preset), names, n=3)
        hint = f" Near it: {', '.join(map(repr, near))}." if near else ""
        raise FileNotFoundError(
            f"`preset` must be a bundled preset, a folder, or hf://user/repo. Received: {str(preset)!r}.{hint} "
            f"Bundled: {', '.join(map(repr, names))}."
        )
    return Path(preset), None


def _download(preset):
    match = _HUB_NAME.fullmatch(preset)
    if not match:
        raise ValueError(f"`preset` must be hf://user/repo[/folder][@revision]. Received: {preset!r}.")
    huggingface_hub = optional_import("huggingface_hub", "presets", "A preset of the hub")
    folder = match["folder"].strip("/")
    prefix = f"{folder}/" if folder else ""
    snapshot = huggingface_hub.snapshot_download(
        match["repo"],
        revision=match["revision"],
        allow_patterns=[f"{prefix}{name}" for name in (METADATA, CONFIG, WEIGHTS, CARD, "assets/*.json")],
        library_name="zf_keras",
        library_version=__version__,
    )
    # The cache holds snapshots/REVISION of links to blobs/, both in the folder of the repository.
    return Path(snapshot) / folder, Path(snapshot).parents[1]
