"""Packages that only a part of the library needs, each in an extra."""

import importlib


def optional_import(name, extra, user):
    """The module `name`, which comes with an extra of the package.

    Args:
        name: str. Such as "safetensors.numpy".
        extra: str. Such as "presets".
        user: str. What needs it, such as "A .safetensors file".

    Raises:
        ImportError: it can't be imported; the message says what to install.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError where a library of the system is not there
        package = name.partition(".")[0]
        raise ImportError(f'{user} needs {package}: pip install "zf_keras[{extra}]".') from error
