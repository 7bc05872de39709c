"""An export as a SavedModel: endpoints as methods and as signatures, what is left out drawn or filled in."""

from inspect import Parameter, Signature

import numpy as np
import tensorflow as tf

from zf_keras.export.endpoint import COUNTS, Drawn, counts, flat_function, flat_specs, is_left_out
from zf_keras.heads.bernoulli import BernoulliHead


def write_saved_model(model, table, folder):
    """Writes a SavedModel with the endpoints of a table as methods and as signatures; returns the outputs of each."""
    module, signatures, outputs = tf.Module(), {}, {}
    module.model_variables = [variable.value for variable in model.variables]
    for name, endpoint in table.items():
        run, outputs[name] = _completed(model, endpoint)
        setattr(module, name, _method(name, endpoint, run))
        signatures[name] = _signature(endpoint, run)
    signatures["serving_default"] = signatures["elbo"]  # what servers ask for by themselves
    tf.saved_model.save(module, str(folder), signatures)
    return outputs


def _completed(model, endpoint):
    """An endpoint as a function of a dict of inputs to a dict of outputs, what is left out filled in; and these."""
    computed = {name: spec for name, spec in endpoint.inputs.items() if name not in counts(endpoint)}

    @tf.function(input_signature=[computed], autograph=False)
    def compute(given):
        with tf.control_dependencies(_checks(model, given)):
            return endpoint.function(**tf.nest.map_structure(tf.identity, given))

    compute = compute.get_concrete_function()  # traced once for all callers

    def run(given):
        optional = {name: fill for name, fill in endpoint.left_out.items() if name in endpoint.inputs}
        for name, fill in optional.items():
            if name not in given and not callable(fill):
                given[name] = tf.constant(fill, endpoint.inputs[name].dtype)
        checks = [
            tf.debugging.Assert(given[name] >= 1, [f"{name} must be at least 1."]) for name in COUNTS if name in given
        ]
        with tf.control_dependencies(checks):
            for name, fill in optional.items():
                if not callable(fill):
                    continue
                shape = tf.stack(fill.shape(given)) if isinstance(fill, Drawn) else None
                given[name] = tf.ensure_shape(_filled(given, name, fill), endpoint.inputs[name].shape)
                if shape is not None:
                    found = tf.shape(given[name])
                    message = [f"{name} must be of the shape", shape, "and is", found]
                    checks.append(tf.debugging.Assert(tf.reduce_all(found == shape), message))
        with tf.control_dependencies(checks):
            return compute({name: given[name] for name in computed})

    return run, compute.structured_outputs


def _filled(given, name, fill):
    """An input, or what stands for it where it is left out."""
    x = given.get(name)
    return fill(given) if x is None else tf.cond(is_left_out(x), lambda: fill(given), lambda: x)


def _method(name, endpoint, run):
    """An endpoint as a `tf.function` of one trace: what is left out is an empty tensor there."""

    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        outputs = run(bound.arguments)
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def parameter(key):
        default = endpoint.left_out.get(key, Parameter.empty)
        if callable(default) and default is not Parameter.empty:
            spec = endpoint.inputs[key]
            default = np.zeros([n or 0 for n in spec.shape], spec.dtype.as_numpy_dtype)
        return Parameter(key, Parameter.POSITIONAL_OR_KEYWORD, default=default)

    def order(key):
        return key in endpoint.left_out, callable(endpoint.left_out.get(key))

    call.__signature__ = signature = Signature([parameter(key) for key in sorted(endpoint.inputs, key=order)])
    call.__name__ = name
    method = tf.function(call, autograph=False)
    method.get_concrete_function(**endpoint.inputs)
    return method


def _signature(endpoint, run):
    """An endpoint as a concrete function of the flat inputs that can't be left out, and of the mask: for serving."""
    filled = [name for name, fill in endpoint.left_out.items() if callable(fill) and name != "mask"]
    specs = flat_specs(endpoint, filled)
    return tf.function(flat_function(endpoint, run, specs), autograph=False).get_concrete_function(**specs)


def _checks(model, given):
    """Assertions on what is computed with: a message in the place of a NaN."""
    mask, checks = given.get("mask", given.get("prompt_mask")), []

    def check(right, message):
        checks.append(tf.debugging.Assert(tf.reduce_all(right), [message]))

    if mask is not None:
        check(mask[:, :-1] | ~mask[:, 1:], "mask must be padded on the right: true, then false.")
        check(mask[:, :1], "mask must have a valid step in every row.")
    for name in ("targets", "inputs", "prompt", "x", "y"):
        if name not in given:
            continue
        x = given[name]
        if name in ("targets", "prompt"):
            check(tf.shape(x)[1] > 0, f"{name} must have at least one step.")
        if mask is not None:
            check(tf.shape(x)[:2] == tf.shape(mask), f"{name} must have the batch and time of mask.")
            x = tf.where(mask if model.tokens else mask[..., None], x, tf.zeros_like(x))
        if model.tokens:
            check((x >= 0) & (x < model.head.num_classes), f"{name} must be tokens in [0, {model.head.num_classes}).")
        elif isinstance(model.head, BernoulliHead) and name in ("targets", "prompt", "y"):
            missing = tf.math.is_nan(x) if model.missing else False
            check((x == 0) | (x == 1) | missing, f"{name} must be 0 or 1.")
        elif model.missing and name in ("targets", "prompt", "y"):
            check(~tf.math.is_inf(x), f"{name} must be finite, or NaN where it is missing.")
        else:
            check(tf.math.is_finite(x), f"{name} must be finite.")
    if "categories" in given:
        check((given["categories"] >= 0) & (given["categories"] < model.cardinalities), "categories must be known ids.")
    for name in ("noise", "prompt_noise", "uniform", "state", "covariates", "static", "scale"):
        for x in tf.nest.flatten(given.get(name, [])):
            check(tf.math.is_finite(x), f"{name} must be finite.")
    if "temperature" in given:
        check((given["temperature"] > 0) & tf.math.is_finite(given["temperature"]), "temperature must be > 0.")
        if not model.head.tempers:
            check(given["temperature"] == 1, f"temperature must be 1 for a {type(model.head).__name__}.")
    return checks
