"""The files of a preset: as they were written, or refused before anything is made of them."""

import hashlib
import json
import re
from pathlib import Path

from zf_keras.version import __version__

#: Raised when what this version writes can't be read by the one before.
FORMAT = 1
METADATA, CONFIG, WEIGHTS, CARD = "metadata.json", "config.json", "model.weights.h5", "README.md"
STATISTICS, VOCABULARY = "assets/statistics.json", "assets/vocabulary.json"
#: What is read of a JSON file at most.
JSON_BYTES = {METADATA: 2**20, CONFIG: 2**20, STATISTICS: 2**26, VOCABULARY: 2**26}
DEPTH = 32
# In a folder, and no "..", "/", "\\", ":" or NUL, by which a name would lead elsewhere.
_NAME = re.compile(r"(assets/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")


def read_metadata(directory, root=None):
    """Metadata of a preset; its own form is checked, not yet the files that it lists.

    Args:
        directory: path.
        root: path. What links of the folder may lead to, besides itself. Defaults to `None`.

    Raises:
        FileNotFoundError: there is no preset.
        ValueError: it is damaged, or of a newer format.
    """
    if not Path(directory).is_dir():
        raise FileNotFoundError(f"{directory} is not a folder, and so no preset.")
    if not (Path(directory) / METADATA).exists():
        raise FileNotFoundError(f"{directory} is not a preset: it has no {METADATA}.")
    metadata = read_json(directory, METADATA, root)
    found = metadata.get("format")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise ValueError(f"{directory} is not a preset of zf_keras: its {METADATA} has format {found!r:.50}.")
    if found > FORMAT:
        versions = metadata.get("versions")
        writer = versions.get("zf_keras") if isinstance(versions, dict) else None
        raise ValueError(
            f"{directory} has format {found}, written by zf_keras {writer!s:.50}. This is zf_keras {__version__}, "
            f"which reads formats up to {FORMAT}: install a newer one."
        )
    files = metadata.get("files")
    if not isinstance(files, dict) or not {CONFIG, WEIGHTS} <= files.keys():
        raise ValueError(f"{directory} is damaged: its {METADATA} must list the files {CONFIG} and {WEIGHTS}.")
    return metadata


def check_files(directory, metadata, root=None):
    """Raises a `ValueError` unless every file that the metadata lists is inside the folder and as it was written."""
    for name, entry in metadata["files"].items():
        path = inside(directory, name, root)
        size, checksum = (entry.get(key) if isinstance(entry, dict) else None for key in ("size", "sha256"))
        if not path.is_file():
            raise ValueError(f"{directory} is not whole: {name} is missing.")
        if path.stat().st_size != size:
            raise ValueError(
                f"{directory} is damaged: {name} has {path.stat().st_size} bytes, where {METADATA} says {size!r:.50}."
            )
        if sha256(path) != checksum:
            raise ValueError(f"{directory} is damaged: {name} does not have the SHA-256 that {METADATA} says.")


def inside(directory, name, root=None):
    """Path of a file of the preset.

    Raises:
        ValueError: the name, or a link of that name, leads out of the folder.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{directory} is refused: {name!r:.100} is not the name of a file inside a preset.")
    path, within = Path(directory) / name, [Path(each).resolve() for each in (directory, root) if each is not None]
    if not any(path.resolve().is_relative_to(each) for each in within):
        raise ValueError(f"{directory} is refused: {name} is a link that leads out of it.")
    return path


def read_json(directory, name, root=None):
    """The object in a JSON file of a preset, of bounded size and depth."""
    path = inside(directory, name, root)
    if not path.is_file():
        raise ValueError(f"{directory} is damaged: {name} is no file.")
    size = path.stat().st_size
    if size > JSON_BYTES[name]:
        raise ValueError(f"{path} is refused: it has {size} bytes, of at most {JSON_BYTES[name]}.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it can't be read as JSON ({str(error) or 'nested too deep'}).") from error
    if not isinstance(value, dict) or too_deep(value):
        raise ValueError(f"{path} is damaged: it must be a JSON object, nested less than {DEPTH} deep.")
    return value


def too_deep(value, depth=DEPTH):
    if not isinstance(value, (dict, list)):
        return False
    return not depth or any(too_deep(x, depth - 1) for x in (value.values() if isinstance(value, dict) else value))


def _refuse_constant(name):
    raise ValueError(f"it holds {name}")


def write_json(path, value):
    """Writes JSON; a `ValueError` says what of it is none."""
    try:
        text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name} can't be written: {error}.") from error
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def sha256(path):
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed(directory):
    """Size and checksum of the files of a folder, but for those that loading does not read."""
    paths = sorted(path for path in Path(directory).rglob("*") if path.is_file())
    names = {path.relative_to(directory).as_posix(): path for path in paths}
    return {
        name: {"size": path.stat().st_size, "sha256": sha256(path)}
        for name, path in names.items()
        if name not in (METADATA, CARD)
    }


def check_replaceable(directory, overwrite):
    """Raises a `ValueError` unless a preset may be written: nothing is there, or a preset and `overwrite`."""
    directory = Path(directory)
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise ValueError(f"`directory` must be a folder, or not be there. Received: {directory}.")
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / METADATA).exists():
        raise ValueError(f"`directory` must be empty or a preset. {directory} holds other files, and is left alone.")
    known = {METADATA, CARD, *read_metadata(directory)["files"], "assets"}
    names = (path.relative_to(directory).as_posix() for path in sorted(directory.rglob("*")))
    strangers = [name for name in names if name not in known]
    if strangers:
        raise ValueError(f"{directory} holds {strangers[0]}, which is not of its preset: it is left alone.")
    if not overwrite:
        raise ValueError(f"{directory} holds a preset: pass overwrite=True to replace it, or choose another folder.")
