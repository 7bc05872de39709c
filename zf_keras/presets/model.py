"""Presets of a model, saved and loaded: functions of a model and of its class.

Nothing of a preset is executed: JSON and arrays of numbers are read, once their checksums were compared, and classes
are those that Keras knows already. A checksum in the folder itself tells damage, and not a forger.
"""

import datetime
import difflib
import importlib.metadata
import json
from pathlib import Path

import keras
import numpy as np
from keras import ops

from zf_keras.files import whole_folder
from zf_keras.presets import files, weights
from zf_keras.presets.assets import checked_statistics, checked_vocabulary, write_assets
from zf_keras.presets.cards import card as make_card
from zf_keras.presets.finding import bundled, find


class PresetsOfClass:
    """The bundled presets of a model's class and its subclasses: name -> dict of description, parameters and path.

    Example:

    >>> list(VRNN.presets)
    ['vrnn_digits', 'vrnn_i_digits']
    """

    def __get__(self, model, cls):
        return bundled(cls)


def from_preset(cls, preset, load_weights=True, **arguments):
    """The model of a preset.

    Nothing in a preset is executed, and what was damaged is refused. Checksums that lie beside the weights say
    nothing of who wrote them: load from whom you trust.

    Args:
        preset: str or path. The name of a bundled preset (see `presets`), a folder that `save_to_preset` wrote, or
            `"hf://user/repo[/folder][@revision]"` on the Hugging Face hub. `"./name"` is always a folder.
        load_weights: bool. Whether the model has the weights of the preset, or new ones. Defaults to `True`.
        **arguments: of the constructor, in the place of the preset's, such as `dtype`, `seed` or `alpha`.

    Returns:
        A built model, not compiled, of the preset's class, which must be this one or a subclass of it.

    Raises:
        FileNotFoundError: there is no such preset.
        ImportError: huggingface_hub is not installed.
        ValueError: the preset is damaged, of a newer format, of another class, or holds what is not accepted; or
            the weights do not fit the arguments.

    Example:

    >>> model = ZForcing.from_preset("z_forcing_digits")
    >>> model.generate(batch_size=2, length=8, seed=0).shape
    (2, 8, 8)
    """
    directory, root = find(preset)
    metadata = files.read_metadata(directory, root)
    files.check_files(directory, metadata, root)
    found, config, build_config = _read_config(directory, root)
    if not issubclass(found, cls):
        raise ValueError(
            f"{cls.__name__}.from_preset: {str(preset)!r} is the preset of another class. "
            f"Use {found.__name__}.from_preset."
        )
    for name in arguments:
        if name not in config:
            near = difflib.get_close_matches(name, config, n=1, cutoff=0.0)
            raise ValueError(f"{found.__name__} has no argument `{name}`. The nearest is `{near[0]}`.")
    path = directory / files.WEIGHTS
    with weights.opened(path) as arrays:
        _check_layers(path, config, arrays)
        if wrong := weights.difference(arrays, _shapes(directory, found, config, build_config)):
            raise ValueError(f"{path} does not fit {files.CONFIG}: {wrong}.")
        changed = config | {name: keras.saving.serialize_keras_object(x) for name, x in arguments.items()}
        if load_weights and arguments:
            wrong = weights.difference(arrays, weights.shapes_of(found.from_config(changed), build_config))
            if wrong:
                given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
                raise ValueError(
                    f"The weights of {str(preset)!r} do not fit {given}: {wrong}. "
                    "Pass load_weights=False for a new model."
                )
        weights.check_finite(arrays, path)
    model = found.from_config(changed)
    model.build_from_config(build_config)
    if load_weights:
        noise = ops.convert_to_numpy(model.seed_generator.state)
        try:
            model.load_weights(path)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path} does not fit {files.CONFIG}: {error}") from error
        if "seed" in arguments:
            model.seed_generator.state.assign(noise)
    return model


def save_to_preset(
    model,
    directory,
    description="",
    licence=None,
    statistics=None,
    vocabulary=None,
    results=None,
    card=None,
    overwrite=False,
):
    """Writes the model to a folder that `from_preset` loads; the folder is whole or not there.

    The optimizer is not kept (`save` keeps it); the random state and the count of updates are.

    Args:
        directory: path. A new or empty folder.
        description: str. A sentence. Defaults to `""`.
        licence: str or `None`. Of the weights, such as `"Apache-2.0"`. Defaults to `None`, not stated.
        statistics: dict or `None`. By what frames were standardised, such as `{"mean": 0.1, "std": 2.0}`, numbers
            or arrays (features,). Defaults to `None`.
        vocabulary: `Vocabulary`, list of the strings that characters stand for, or `None`. Defaults to `None`.
        results: dict of JSON values or `None`. What the model scored. Defaults to `None`.
        card: str or `None`. Markdown of the model card. Defaults to `None`, what is known without you.
        overwrite: bool. Whether a preset that is there is replaced. Defaults to `False`.

    Raises:
        OSError: the disk is full, or the folder can't be written; what was there before is as it was.
        ValueError: names what is wrong with an argument or with the model: not built, of a class that is not
            registered with Keras, or with weights that are not finite.

    Example:

    >>> model = RNN(units=8, output="gaussian")
    >>> model.build((None, None, 3))
    >>> model.save_to_preset("my_preset", statistics={"mean": 0.0, "std": 1.0})
    >>> RNN.from_preset("./my_preset").units
    8
    """
    if not model.built:
        raise ValueError("The model is not built: fit it, or call `build`, before `save_to_preset`.")
    _check_registered(type(model))
    for name, value in (("description", description), ("licence", licence), ("card", card)):
        if not isinstance(value, str) and (value is not None or name == "description"):
            raise ValueError(f"`{name}` must be a string. Received: {name}={value!r:.100}.")
    try:
        results = json.loads(json.dumps(results, default=_number, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"`results` must be a dict of JSON values. {error}.") from error
    vocabulary = checked_vocabulary(vocabulary, model)
    if statistics is not None:
        statistics = checked_statistics(statistics)
    metadata = {
        "format": files.FORMAT,
        "class": keras.saving.get_registered_name(type(model)),
        "description": description,
        "licence": licence,
        "parameters": int(model.count_params()),
        "versions": _versions(),
        "backend": keras.config.backend(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "results": results,
    }
    config = {
        "class_name": type(model).__name__,
        "registered_name": metadata["class"],
        "config": model.get_config(),
        "build_config": model.get_build_config(),
    }
    files.check_replaceable(directory, overwrite)
    with whole_folder(directory) as folder:
        files.write_json(folder / files.CONFIG, config)
        _read_config(folder)  # what could not be loaded is not saved
        weights.write(model, folder / files.WEIGHTS)
        write_assets(folder, statistics, vocabulary)
        text = make_card(model, Path(directory).name, metadata, card)
        (folder / files.CARD).write_text(text, encoding="utf-8")
        files.write_json(folder / files.METADATA, metadata | {"files": files.listed(folder)})


def _number(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"Received a {type(value).__name__}")


def _check_layers(path, config, arrays):
    # Their number is the one size of a model that takes time before it takes memory.
    layers = config.get("num_layers", 1)
    if not isinstance(layers, int) or layers > len(arrays):
        raise ValueError(
            f"{path} does not fit {files.CONFIG}: it holds {len(arrays)} arrays, of {layers!r:.50} layers."
        )


def _shapes(directory, cls, config, build_config):
    try:
        return weights.shapes_of(cls.from_config(config), build_config)
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{directory}: {files.CONFIG} describes no {cls.__name__}: {error}") from error


def _versions():
    names = ("zf_keras", "keras", keras.config.backend(), "tensorflow-probability", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


def _check_registered(cls):
    if keras.saving.get_registered_object(keras.saving.get_registered_name(cls)) is not cls:
        raise ValueError(
            f"{cls.__name__} is not registered with Keras: decorate it by "
            "@keras.saving.register_keras_serializable(package)."
        )


def _read_config(directory, root=None):
    """The model's class, its configuration and that of its building."""
    value = files.read_json(directory, files.CONFIG, root)
    config, build_config = (value.get(key) for key in ("config", "build_config"))
    if not isinstance(config, dict) or not isinstance(build_config, dict):
        raise ValueError(f"{directory} is damaged: {files.CONFIG} must hold a config and a build_config.")
    cls = _resolve(value, directory)
    if not hasattr(cls, "from_preset"):
        raise ValueError(f"{directory} is refused: {cls.__name__} is not a model of zf_keras.")
    _check_classes([config, build_config], directory)
    return cls, config, build_config


def _check_classes(value, directory):
    if isinstance(value, dict) and "class_name" in value:
        _resolve(value, directory)
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            _check_classes(each, directory)


def _resolve(value, directory):
    """The class that a configuration names; nothing is imported for it.

    Raises:
        ValueError: it is neither one that is registered, nor one of Keras's that a model may have.
    """
    name, module = value.get("class_name"), value.get("module")
    registered = value.get("registered_name", name)
    if isinstance(name, str) and name != "function" and not name.startswith("__"):  # these Keras reads otherwise
        if isinstance(registered, str) and isinstance(found := keras.saving.get_registered_object(registered), type):
            return found
        if registered in (None, name):
            if module == "keras.optimizers.schedules" and isinstance(
                found := getattr(keras.optimizers.schedules, name, None), type
            ):
                return found
            if module == "keras" and name in ("DTypePolicy", "FloatDTypePolicy"):
                return keras.DTypePolicy
    raise ValueError(
        f"{directory} is refused: it names {str(registered or name)!r:.100} of the module {str(module)!r:.100}, which "
        "is neither of zf_keras, nor a schedule or dtype policy of Keras, nor a class that you registered by "
        "keras.saving.register_keras_serializable."
    )
