"""What an endpoint of an exported model is: one function of named TensorFlow tensors, its specs, and its flat form.

A SavedModel holds it with whatever may be left out drawn or filled in; ONNX and LiteRT, where nothing is drawn, take
every input.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from zf_keras.data.sequences import COVARIATES, TIMELESS

#: What only says how much noise to draw.
COUNTS = ("batch_size", "length", "horizon", "num_samples")


class Drawn(NamedTuple):
    """Noise that is drawn where it is left out, and must be of that shape where it is given."""

    draw: Callable  # of the sizes
    shape: Callable  # of the other inputs, to the sizes

    def __call__(self, given):
        return self.draw(*self.shape(given))


class Endpoint(NamedTuple):
    """One function of an exported model."""

    function: Callable  # of the inputs by name, but for the counts that noise is drawn by, to a dict of outputs
    inputs: dict  # name -> tf.TensorSpec, or a dict of them
    left_out: dict  # name -> its default, or the function of the other inputs that gives it
    doc: str


def spec_of_frames(model, name, *axes):
    """Spec of inputs or targets with leading `axes`."""
    return tf.TensorSpec(axes, tf.int32) if model.tokens else spec_of_floats(*axes, model.features[name])


def specs_of_covariates(model, *axes):
    """Specs of what a model reads beside its frames; covariates with leading `axes`."""
    sizes = {key: model.features[key] for key in COVARIATES if key in model.features}
    dtypes = {"categories": tf.int32}
    return {
        key: tf.TensorSpec(((None,) if key in TIMELESS else axes) + (size,), dtypes.get(key, tf.float32))
        for key, size in sizes.items()
    }


def spec_of_floats(*shape):
    return tf.TensorSpec(shape, tf.float32)


def spec_of_count():
    return tf.TensorSpec((), tf.int32)


def with_width(**inputs):
    """The inputs but for those that hold nothing."""
    return {name: spec for name, spec in inputs.items() if isinstance(spec, dict) or 0 not in spec.shape}


# The raw ops: those of tf.random would keep the seed of the process that exports.


def draw_normal(*shape):
    return tf.raw_ops.RandomStandardNormal(shape=tf.stack(shape), dtype=tf.float32)


def draw_uniform(*shape):
    return tf.raw_ops.RandomUniform(shape=tf.stack(shape), dtype=tf.float32)


def draw_seeds(*shape):
    """Seeds of steps: integers that `GivenSeed` takes."""
    return tf.cast(tf.floor(draw_uniform(*shape) * 2.0**24), tf.int32)


def leading_sizes(x, count=2):
    """Sizes of the first axes."""
    return tf.unstack(tf.shape(x)[:count])


def is_left_out(x):
    """Whether an input of a SavedModel's method is its default, which is empty on each axis of any size."""
    sizes = [i for i, n in enumerate(x.shape) if n is None]
    return tf.reduce_all(tf.gather(tf.shape(x), sizes) == 0)


# In flat form: tensors by name in and out.


def flat_specs(endpoint, left_out=()):
    """The inputs of an endpoint but for some, those of a state one by one: name -> tf.TensorSpec with that name."""
    specs = {name: spec for name, spec in endpoint.inputs.items() if name not in left_out}
    return {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in _flat(specs).items()}


def flat_function(endpoint, run, specs):
    """`run`, of a dict of inputs to a dict of outputs, as a function of the flat tensors of `specs`.

    Outputs of the name of an input are "next_..." there.
    """

    def call(*args, **kwargs):
        given = {**dict(zip(specs, args, strict=False)), **kwargs}
        nested = {
            name: {key: given[key] for key in spec} if isinstance(spec, dict) else given.get(name)
            for name, spec in endpoint.inputs.items()
        }
        outputs = _flat(run({name: x for name, x in nested.items() if x is not None}))
        return {f"next_{name}" if name in specs else name: tf.identity(x) for name, x in outputs.items()}

    return call


def counts(endpoint):
    """Names of the inputs that noise is drawn by, and that nothing is computed of."""
    return [name for name in endpoint.inputs if name in COUNTS and len(endpoint.inputs) > 1]


def _flat(tensors):
    flat = {}
    for name, value in tensors.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def described(endpoint, outputs, format):
    """An endpoint in words and shapes. outputs: its flat outputs, tensors by name."""
    specs = flat_specs(endpoint, () if format == "tf_saved_model" else counts(endpoint))
    described = {"description": endpoint.doc, "inputs": _listed(specs), "outputs": _listed(_flat(outputs))}
    if format == "tf_saved_model":
        for name, fill in endpoint.left_out.items():
            if name in specs:
                kind = "drawn" if isinstance(fill, Drawn) else "filled in" if callable(fill) else fill
                described["inputs"][name]["default"] = kind
    return described


def _listed(tensors):
    return {name: {"shape": x.shape.as_list(), "dtype": x.dtype.name} for name, x in tensors.items()}
