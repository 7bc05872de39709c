"""What is read of a JSON file that may be damaged."""

import json


def read_json(path, types):
    """An object from a JSON file.

    Args:
        path: path.
        types: dict. Type, or types, of each key that must be there.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if not isinstance(values, dict):
        raise ValueError("it must hold an object")
    for key, type_ in types.items():
        if key not in values:
            raise ValueError(f"it has no {key!r}")
        if not isinstance(values[key], type_) or (isinstance(values[key], bool) and type_ is not bool):
            raise ValueError(f"{key!r} is of the wrong type. Received: {values[key]!r}")
    return values
