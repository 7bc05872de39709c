"""What the tables of a recipe stand for: the settings with their defaults, the model and the optimizer."""

import inspect

import keras

import zf_keras
from zf_keras import datasets
from zf_keras.models.arguments import signature
from zf_keras.models.registry import by_name

#: key -> default; `None` for none.
TRAINING = {
    "batch_size": 32,
    "epochs": 100,
    "steps_per_epoch": None,  # updates between two validations and checkpoints; None: a pass over the data
    "patience": None,  # epochs without a better validation ELBO after which training stops; None: never
    "piece_length": None,  # steps of a piece, batch_size streams side by side, states carried on; None: whole sequences
    "window": 50,  # batches that are sorted by length together
    "multiple": None,  # steps that batches are padded to a multiple of; None: on JAX to a few lengths
    "samples_every": 10,  # epochs between two drawings of samples for TensorBoard; 0: never
    "seed": 0,
}
EVALUATION = {
    "split": "test",
    "num_samples": 25,  # of the importance-weighted bound
    "batch_size": 32,
    "pairs": 256,  # (sequence, sample) pairs that are computed at a time
}
PUBLISHED = {"metric": None, "value": None, "bound": None, "source": None}
BOUNDS = ("ELBO", "IWAE", "exact")
MODELS = by_name()
OPTIMIZERS = {
    name: cls
    for name, cls in vars(keras.optimizers).items()
    if inspect.isclass(cls)
    and issubclass(cls, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
}
TABLES = ("data", "model", "optimizer", "schedule", "training", "evaluation", "published")


def arguments_of(function):
    """Argument -> default (`None` where there is none) of a function, or of a class and those above it.

    Of a class without `name`, Keras's own; of a data set's functions it may say which part of a source is meant.
    """
    whole = signature(function, keras.optimizers.Optimizer) if function in OPTIMIZERS.values() else None
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in (whole or inspect.signature(function)).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and not (name == "name" and inspect.isclass(function))
    }


def data_arguments(dataset, function=None):
    """Arguments of a data set's `prepare`, `load_data` or, without `function`, both, with their defaults."""
    dataset = datasets.get(dataset)
    arguments = {}
    for name, each in (("prepare", dataset.prepare), ("load_data", dataset.load_data)):
        if function in (name, None) and each:
            arguments |= arguments_of(each)
    return {
        name: default
        for name, default in arguments.items()
        # Scores are told in the units of standardised data.
        if name not in ("source", "directory", "on_error", "verbose", "verify", "dataset", "standardize")
    }


def table(recipe, name):
    """A table with its defaults."""
    defaults = {"training": TRAINING, "evaluation": EVALUATION}[name]
    return defaults | recipe.values.get(name, {})


def new_model(recipe, steps_per_epoch, arguments):
    """The model, not compiled. arguments: what the data set says of it, such as `num_classes`."""
    values = dict(recipe.values["model"])
    cls = MODELS[values.pop("class")]
    if values.get("output") != "categorical":  # others say nothing of tokens
        arguments = {name: value for name, value in arguments.items() if name == "cardinalities"}
    values = arguments | values
    context = recipe.values["data"].get("context")
    if values.get("scaling") == "mean_abs" and context:  # that of a window is what its forecast will know
        values["scaling"] = zf_keras.Scaling("mean_abs", steps=context)
    training = table(recipe, "training")
    values["seed"] = training["seed"]
    if training["piece_length"]:
        values["num_streams"] = training["batch_size"]
    kl_weight = recipe.values.get("schedule", {}).get("kl_weight")
    if isinstance(kl_weight, dict):
        initial = kl_weight["initial"]
        increment = kl_weight.get("increment")
        if increment is None:
            increment = (1 - initial) / (kl_weight["epochs"] * steps_per_epoch)
        kl_weight = zf_keras.KLAnnealing(initial, increment)
    if kl_weight is not None:
        values["kl_weight"] = kl_weight
    return cls(**values)


def new_optimizer(recipe, steps_per_epoch):
    """The optimizer with its learning-rate schedule."""
    values = dict(recipe.values["optimizer"])
    cls = OPTIMIZERS[values.pop("class")]
    if "learning_rate" in values:
        values["learning_rate"] = float(values["learning_rate"])
    decay = recipe.values.get("schedule", {}).get("learning_rate")
    if decay:
        rate = values.get("learning_rate", arguments_of(cls)["learning_rate"])
        if decay["decay"] == "cosine":
            updates = steps_per_epoch * table(recipe, "training")["epochs"]
            values["learning_rate"] = keras.optimizers.schedules.CosineDecay(rate, updates)
        else:
            values["learning_rate"] = zf_keras.DividedAfter(
                rate, decay["by"], decay["after"] * steps_per_epoch, steps_per_epoch
            )
    return cls(**values)
