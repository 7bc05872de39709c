"""What an exported model can be asked, as functions of TensorFlow tensors whose noise may be given.

An endpoint is one function of named tensors. A SavedModel holds it with whatever may be left out drawn or filled in;
ONNX and LiteRT, where nothing is drawn, take every input.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from zf_keras.inference import generation, latents, likelihood

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


def endpoints(model):
    """The endpoints of a built model: a dict name -> `Endpoint`."""
    scores, streams = _scores(model), _streams(model)
    if not model.noise_dim:
        del scores["encode"]  # an RNN has no latents
    if not model.is_autoregressive:
        return {**scores, **{name: streams[name] for name in ("initial_state", "score_step")}}
    return {**scores, **_generation(model), **streams}


def _frames(model, name, *axes):
    """Spec of inputs or targets with leading `axes`."""
    return tf.TensorSpec(axes, tf.int32) if model.tokens else _floats(*axes, model.features[name])


def _floats(*shape):
    return tf.TensorSpec(shape, tf.float32)


def _count():
    return tf.TensorSpec((), tf.int32)


def _with_width(**inputs):
    """The inputs but for those that hold nothing."""
    return {name: spec for name, spec in inputs.items() if isinstance(spec, dict) or 0 not in spec.shape}


# The raw ops: those of tf.random would keep the seed of the process that exports.


def _normal(*shape):
    return tf.raw_ops.RandomStandardNormal(shape=tf.stack(shape), dtype=tf.float32)


def _uniform(*shape):
    return tf.raw_ops.RandomUniform(shape=tf.stack(shape), dtype=tf.float32)


def _leading(x, count=2):
    """Sizes of the first axes."""
    return tf.unstack(tf.shape(x)[:count])


def is_left_out(x):
    """Whether an input of a SavedModel's method is its default, which is empty on each axis of any size."""
    sizes = [i for i, n in enumerate(x.shape) if n is None]
    return tf.reduce_all(tf.gather(tf.shape(x), sizes) == 0)


def _scores(model):
    """Scores and latents of whole sequences."""
    dim = model.noise_dim

    def given(targets, mask, inputs, noise):
        noise = tf.zeros((*_leading(targets), 0)) if noise is None else noise
        return model, {"targets": targets, "mask": mask, "inputs": inputs}, tf.cast(noise, model.compute_dtype)

    def elbo(targets, mask, inputs, noise=None):
        return {"elbo": likelihood.elbo(*given(targets, mask, inputs, noise))}

    def log_likelihood(targets, mask, inputs, noise=None):
        num_samples = 1 if noise is None else tf.shape(noise)[1]
        targets, mask, inputs = (tf.repeat(x, num_samples, axis=0) for x in (targets, mask, inputs))
        if noise is not None:
            noise = tf.reshape(noise, (*_leading(targets), dim))
        log_weights = likelihood.log_weight(*given(targets, mask, inputs, noise))
        return {"log_likelihood": likelihood.log_mean_exp(tf.reshape(log_weights, (-1, num_samples)))}

    def encode(targets, mask, inputs, noise):
        return latents.Encoding(*latents.posterior(*given(targets, mask, inputs, noise)))._asdict()

    inputs = {
        "targets": _frames(model, "targets", None, None),
        "mask": tf.TensorSpec((None, None), tf.bool),
        "inputs": _frames(model, "inputs", None, None),
    }
    left_out = {
        "mask": lambda given: tf.fill(_leading(given["targets"]), True),
        "inputs": lambda given: model.sequences({"targets": given["targets"]}).inputs,
    }
    if not model.is_autoregressive:
        del left_out["inputs"]
    one_draw = {"noise": Drawn(_normal, lambda given: (*_leading(given["targets"]), dim))}

    def shape_of_draws(given):
        batch, time = _leading(given["targets"])
        num_samples, noise = given["num_samples"], given.get("noise")
        if noise is not None:
            num_samples = tf.where(is_left_out(noise), num_samples, tf.maximum(1, tf.shape(noise)[1]))
        return batch, num_samples, time, dim

    weighted = _with_width(num_samples=_count(), noise=_floats(None, None, None, dim))
    return {
        "elbo": Endpoint(
            elbo,
            _with_width(**inputs, noise=_floats(None, None, dim)),
            {**left_out, **one_draw},
            "ELBO, with the KL in closed form: (batch,) nats.",
        ),
        "log_likelihood": Endpoint(
            log_likelihood,
            {**inputs, **weighted},
            {**left_out, "noise": Drawn(_normal, shape_of_draws), "num_samples": 1},
            "Importance-weighted bound of num_samples draws (those of the noise, if given), exact without latents: "
            "(batch,) nats.",
        ),
        "encode": Endpoint(
            encode,
            {**inputs, "noise": _floats(None, None, dim)},
            {**left_out, **one_draw},
            "Mean and sample of the posterior: (batch, time, latent_dim) each.",
        ),
    }


def _generation(model):
    """Draws of whole sequences. noise: the standard-normal numbers of latent and frame, one after the other."""
    dim = model.noise_dim

    def draw(state, x, noise, temperature):
        latent_noise, normal, uniform = noise
        frames = generation.draw_frames(model, state, x, latent_noise, (normal, uniform), temperature)
        return {"frames": frames}

    def generate(temperature, noise=None, uniform=None):
        noise = _step_noise(model, noise, uniform)
        batch = tf.shape(noise[0])[0]
        return draw(model.initial_state(batch), generation.start_frame(model, batch), noise, temperature)

    def continue_sequence(prompt, temperature, prompt_noise=None, noise=None, uniform=None):
        state, x = state_after(prompt, prompt_noise), model.head.as_values(prompt[:, -1])
        return draw(state, x, _step_noise(model, noise, uniform), temperature)

    def state_after(prompt, noise):
        noise = tf.zeros((*_leading(prompt), 0)) if noise is None else noise
        return generation.state_after(model, prompt, tf.cast(noise, model.compute_dtype))

    def noise_of(shape):
        return {
            "temperature": 1.0,
            "noise": Drawn(_normal, lambda given: (*shape(given), dim + model.head.normal_dim)),
            "uniform": Drawn(_uniform, lambda given: (*shape(given), model.head.uniform_dim)),
        }

    inputs = _with_width(
        temperature=_floats(),
        noise=_floats(None, None, dim + model.head.normal_dim),
        uniform=_floats(None, None, model.head.uniform_dim),
    )
    prompt = _frames(model, "targets", None, None)
    prompt_noise = _with_width(prompt_noise=_floats(None, None, dim))
    of_prompt = {"prompt_noise": Drawn(_normal, lambda given: (*_leading(given["prompt"]), dim))}
    return {
        "generate": Endpoint(
            generate,
            {"batch_size": _count(), "length": _count(), **inputs},
            noise_of(lambda given: (given["batch_size"], given["length"])),
            "Sequences drawn from the model: (batch, length, features), or (batch, length) of tokens.",
        ),
        "continue_sequence": Endpoint(
            continue_sequence,
            {"prompt": prompt, "horizon": _count(), **inputs, **prompt_noise},
            {
                **noise_of(lambda given: (tf.shape(given["prompt"])[0], given["horizon"])),
                **of_prompt,
            },
            "What may come after each prompt: (batch, horizon, features), or (batch, horizon) of tokens.",
        ),
        "state_after": Endpoint(
            lambda prompt, prompt_noise=None: {"state": _named(state_after(prompt, prompt_noise))},
            {"prompt": prompt, **prompt_noise},
            of_prompt,
            "State after a prompt, its latents drawn from the posterior; the next x is the prompt's last frame.",
        ),
    }


def _step_noise(model, noise, uniform):
    """The latents' noise, and the normal and uniform numbers of the frames."""
    one = uniform if noise is None else noise  # every head draws
    leading = _leading(one, one.shape.rank - 1)
    noise = tf.zeros((*leading, 0)) if noise is None else noise
    uniform = tf.zeros((*leading, 0)) if uniform is None else uniform
    latent_noise, normal = tf.split(noise, (model.noise_dim, model.head.normal_dim), axis=-1)
    return tf.cast(latent_noise, model.compute_dtype), normal, uniform


def _named(state):
    return {f"state_{i}": tensor for i, tensor in enumerate(keras.tree.flatten(state))}


def _streams(model):
    """One step, the state given and given back: a dict of tensors (rows, ...)."""
    dim = model.noise_dim

    def step(state, x, noise):
        state = keras.tree.pack_sequence_as(model.initial_state(1), [state[name] for name in specs])
        steps, state = model.step(model.step_weights(), state, model.embed(x), noise)
        return steps.output, _named(state)

    def score_step(state, x, y, noise=None):
        noise = tf.zeros((*_leading(x, 1), 0)) if noise is None else noise
        params, state = step(state, x, tf.cast(noise, model.compute_dtype))
        return {"log_prob": model.head.log_prob(params, y), "state": state}

    def generate_step(state, x, temperature, noise=None, uniform=None):
        latent_noise, *frame_noise = _step_noise(model, noise, uniform)
        params, state = step(state, x, latent_noise)
        return {"y": model.head.draw(params, *frame_noise, temperature), "state": state}

    start = _named(model.initial_state(1))
    specs = {name: tf.TensorSpec((None, *x.shape[1:]), x.dtype) for name, x in start.items()}
    stream = {"state": specs, "x": _frames(model, "inputs", None)}
    width, uniform_dim = dim + model.head.normal_dim, model.head.uniform_dim
    return {
        "initial_state": Endpoint(
            lambda batch_size: {"state": _named(model.initial_state(batch_size))},
            {"batch_size": _count()},
            {},
            "State before the first step.",
        ),
        "score_step": Endpoint(
            score_step,
            _with_width(**stream, y=_frames(model, "targets", None), noise=_floats(None, dim)),
            {"noise": Drawn(_normal, lambda given: (*_leading(given["x"], 1), dim))},
            "log p(y_t | z_t, state) with z_t drawn from the prior, (rows,) nats, and the state after the step.",
        ),
        "generate_step": Endpoint(
            generate_step,
            _with_width(
                **stream, temperature=_floats(), noise=_floats(None, width), uniform=_floats(None, uniform_dim)
            ),
            {
                "temperature": 1.0,
                "noise": Drawn(_normal, lambda given: (*_leading(given["x"], 1), width)),
                "uniform": Drawn(_uniform, lambda given: (*_leading(given["x"], 1), uniform_dim)),
            },
            "A frame y_t drawn from the model, which is the next x, and the state after the step.",
        ),
    }


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
