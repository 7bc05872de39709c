"""What an exported model can be asked, as functions of TensorFlow tensors whose noise may be given."""

import keras
import tensorflow as tf

from zf_keras.export.endpoint import (
    Drawn,
    Endpoint,
    draw_normal,
    draw_seeds,
    draw_uniform,
    is_left_out,
    leading_sizes,
    spec_of_count,
    spec_of_floats,
    spec_of_frames,
    with_width,
)
from zf_keras.inference import generation, latents, likelihood, prompts
from zf_keras.inference.particles import filtered
from zf_keras.inference.passes import context_of


def endpoints(model):
    """The endpoints of a built model: a dict name -> `Endpoint`."""
    scores, streams = _scores(model), _streams(model)
    if not model.noise_dim:
        del scores["encode"]  # an RNN has no latents
    if not model.is_autoregressive:
        return {**scores, **{name: streams[name] for name in ("initial_state", "score_step")}}
    return {**scores, **_generation(model), **streams}


def _scores(model):
    """Scores and latents of whole sequences."""
    dim = model.noise_dim

    def given(targets, mask, inputs, noise):
        noise = tf.zeros((*leading_sizes(targets), 0)) if noise is None else noise
        return model, {"targets": targets, "mask": mask, "inputs": inputs}, tf.cast(noise, model.compute_dtype)

    def elbo(targets, mask, inputs, noise=None):
        return {"elbo": likelihood.elbo(*given(targets, mask, inputs, noise))}

    def log_likelihood(targets, mask, inputs, noise=None):
        num_samples = 1 if noise is None else tf.shape(noise)[1]
        targets, mask, inputs = (tf.repeat(x, num_samples, axis=0) for x in (targets, mask, inputs))
        if noise is not None:
            noise = tf.reshape(noise, (*leading_sizes(targets), dim))
        log_weights = likelihood.log_weight(*given(targets, mask, inputs, noise))
        return {"log_likelihood": likelihood.log_mean_exp(tf.reshape(log_weights, (-1, num_samples)))}

    def encode(targets, mask, inputs, noise):
        return latents.Encoding(*latents.posterior(*given(targets, mask, inputs, noise)))._asdict()

    def step_scores(targets, mask, inputs, num_particles, seeds):
        data = {"targets": targets, "mask": mask, "inputs": inputs}
        proposal = "posterior" if dim else "prior"
        context = context_of(model, data) if dim else ()
        settings = {"proposal": proposal, "resample_below": 0.5, "resampling": "systematic", "by_feature": False}
        with tf.control_dependencies([tf.debugging.Assert(num_particles >= 1, ["num_particles must be at least 1."])]):
            num_particles = tf.identity(num_particles) if dim else 1
        return {"scores": filtered(model, data, context, seeds, num_particles=num_particles, **settings)}

    inputs = {
        "targets": spec_of_frames(model, "targets", None, None),
        "mask": tf.TensorSpec((None, None), tf.bool),
        "inputs": spec_of_frames(model, "inputs", None, None),
    }
    left_out = {
        "mask": lambda given: tf.fill(leading_sizes(given["targets"]), True),
        "inputs": lambda given: model.sequences({"targets": given["targets"]}).inputs,
    }
    if not model.is_autoregressive:
        del left_out["inputs"]
    one_draw = {"noise": Drawn(draw_normal, lambda given: (*leading_sizes(given["targets"]), dim))}

    def shape_of_draws(given):
        batch, time = leading_sizes(given["targets"])
        num_samples, noise = given["num_samples"], given.get("noise")
        if noise is not None:
            num_samples = tf.where(is_left_out(noise), num_samples, tf.maximum(1, tf.shape(noise)[1]))
        return batch, num_samples, time, dim

    weighted = with_width(num_samples=spec_of_count(), noise=spec_of_floats(None, None, None, dim))
    return {
        "elbo": Endpoint(
            elbo,
            with_width(**inputs, noise=spec_of_floats(None, None, dim)),
            {**left_out, **one_draw},
            "ELBO, with the KL in closed form: (batch,) nats.",
        ),
        "log_likelihood": Endpoint(
            log_likelihood,
            {**inputs, **weighted},
            {**left_out, "noise": Drawn(draw_normal, shape_of_draws), "num_samples": 1},
            "Importance-weighted bound of num_samples draws (those of the noise, if given), exact without latents: "
            "(batch,) nats.",
        ),
        "step_scores": Endpoint(
            step_scores,
            {**inputs, "num_particles": spec_of_count(), "seeds": tf.TensorSpec((None, 2), tf.int32)},
            {
                **left_out,
                "num_particles": 64,
                "seeds": Drawn(draw_seeds, lambda given: (leading_sizes(given["targets"])[1], 2)),
            },
            "log p(y_t | y_1..y_{t-1}) of every step by a particle filter, exact without latents: (batch, time) nats.",
        ),
        "encode": Endpoint(
            encode,
            {**inputs, "noise": spec_of_floats(None, None, dim)},
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
        noise = tf.zeros((*leading_sizes(prompt), 0)) if noise is None else noise
        return prompts.state_after(model, prompt, tf.cast(noise, model.compute_dtype))

    def noise_of(shape):
        return {
            "temperature": 1.0,
            "noise": Drawn(draw_normal, lambda given: (*shape(given), dim + model.head.normal_dim)),
            "uniform": Drawn(draw_uniform, lambda given: (*shape(given), model.head.uniform_dim)),
        }

    inputs = with_width(
        temperature=spec_of_floats(),
        noise=spec_of_floats(None, None, dim + model.head.normal_dim),
        uniform=spec_of_floats(None, None, model.head.uniform_dim),
    )
    prompt = spec_of_frames(model, "targets", None, None)
    prompt_noise = with_width(prompt_noise=spec_of_floats(None, None, dim))
    of_prompt = {"prompt_noise": Drawn(draw_normal, lambda given: (*leading_sizes(given["prompt"]), dim))}
    return {
        "generate": Endpoint(
            generate,
            {"batch_size": spec_of_count(), "length": spec_of_count(), **inputs},
            noise_of(lambda given: (given["batch_size"], given["length"])),
            "Sequences drawn from the model: (batch, length, features), or (batch, length) of tokens.",
        ),
        "continue_sequence": Endpoint(
            continue_sequence,
            {"prompt": prompt, "horizon": spec_of_count(), **inputs, **prompt_noise},
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
    leading = leading_sizes(one, one.shape.rank - 1)
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
        noise = tf.zeros((*leading_sizes(x, 1), 0)) if noise is None else noise
        params, state = step(state, x, tf.cast(noise, model.compute_dtype))
        return {"log_prob": model.head.log_prob(params, y), "state": state}

    def generate_step(state, x, temperature, noise=None, uniform=None):
        latent_noise, *frame_noise = _step_noise(model, noise, uniform)
        params, state = step(state, x, latent_noise)
        return {"y": model.head.draw(params, *frame_noise, temperature), "state": state}

    start = _named(model.initial_state(1))
    specs = {name: tf.TensorSpec((None, *x.shape[1:]), x.dtype) for name, x in start.items()}
    stream = {"state": specs, "x": spec_of_frames(model, "inputs", None)}
    width, uniform_dim = dim + model.head.normal_dim, model.head.uniform_dim
    return {
        "initial_state": Endpoint(
            lambda batch_size: {"state": _named(model.initial_state(batch_size))},
            {"batch_size": spec_of_count()},
            {},
            "State before the first step.",
        ),
        "score_step": Endpoint(
            score_step,
            with_width(**stream, y=spec_of_frames(model, "targets", None), noise=spec_of_floats(None, dim)),
            {"noise": Drawn(draw_normal, lambda given: (*leading_sizes(given["x"], 1), dim))},
            "log p(y_t | z_t, state) with z_t drawn from the prior, (rows,) nats, and the state after the step.",
        ),
        "generate_step": Endpoint(
            generate_step,
            with_width(
                **stream,
                temperature=spec_of_floats(),
                noise=spec_of_floats(None, width),
                uniform=spec_of_floats(None, uniform_dim),
            ),
            {
                "temperature": 1.0,
                "noise": Drawn(draw_normal, lambda given: (*leading_sizes(given["x"], 1), width)),
                "uniform": Drawn(draw_uniform, lambda given: (*leading_sizes(given["x"], 1), uniform_dim)),
            },
            "A frame y_t drawn from the model, which is the next x, and the state after the step.",
        ),
    }
