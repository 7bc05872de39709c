"""What an exported model can be asked, as functions of TensorFlow tensors whose noise may be given."""

import keras
import tensorflow as tf

from zf_keras.data.sequences import sequences_of
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
    specs_of_covariates,
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

    def given(data, noise):
        noise = tf.zeros((*leading_sizes(data["targets"]), 0)) if noise is None else noise
        return model, data, tf.cast(noise, model.compute_dtype)

    def elbo(noise=None, **data):
        return {"elbo": likelihood.elbo(*given(data, noise))}

    def log_likelihood(noise=None, **data):
        num_samples = 1 if noise is None else tf.shape(noise)[1]
        data = {name: tf.repeat(x, num_samples, axis=0) for name, x in data.items()}
        if noise is not None:
            noise = tf.reshape(noise, (*leading_sizes(data["targets"]), dim))
        log_weights = likelihood.log_weight(*given(data, noise))
        return {"log_likelihood": likelihood.log_mean_exp(tf.reshape(log_weights, (-1, num_samples)))}

    def encode(noise, **data):
        return latents.Encoding(*latents.posterior(*given(data, noise)))._asdict()

    def step_scores(num_particles, seeds, **data):
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
        **specs_of_covariates(model, None, None),
    }
    left_out = {
        "mask": lambda given: tf.fill(leading_sizes(given["targets"]), True),
        "inputs": lambda given: sequences_of(given["targets"], model.start).inputs,
    }
    if not model.is_autoregressive:
        del left_out["inputs"]
    elif model.missing:  # it reads its own means in the place of gaps
        del inputs["inputs"], left_out["inputs"]
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

    def draw(start, beside, noise, temperature):
        latent_noise, normal, uniform = noise
        time = tf.shape(latent_noise)[1]
        if "covariates" in beside:
            tf.debugging.assert_equal(tf.shape(beside["covariates"])[1], time, "covariates must be of every step.")
        known = model.known(beside, time, None if start.scale is None else start.scale[:, None])
        frames = generation.draw_frames(model, start, known, latent_noise, (normal, uniform), temperature)
        return {"frames": frames}

    def generate(temperature, noise=None, uniform=None, **beside):
        noise = _step_noise(model, noise, uniform)
        batch = tf.shape(noise[0])[0]
        return draw(prompts.Start(model.initial_state(batch), model.start_frames(batch)), beside, noise, temperature)

    def continue_sequence(prompt, prompt_mask, temperature, prompt_noise=None, noise=None, uniform=None, **beside):
        noise, of_prompt, after = _step_noise(model, noise, uniform), dict(beside), dict(beside)
        if "covariates" in beside:
            covariates, steps = beside["covariates"], tf.shape(prompt)[1]
            future = tf.reduce_sum(tf.cast(prompt_mask, tf.int32), axis=1, keepdims=True)
            future += tf.range(tf.shape(noise[0])[1])
            tf.debugging.assert_equal(
                tf.shape(covariates)[1], steps + tf.shape(noise[0])[1], "covariates must be of prompt and horizon."
            )
            of_prompt["covariates"] = covariates[:, :steps]
            after["covariates"] = tf.gather(covariates, future, batch_dims=1)
        return draw(start_after(prompt, prompt_mask, prompt_noise, of_prompt), after, noise, temperature)

    def start_after(prompt, mask, noise, beside):
        noise = tf.zeros((*leading_sizes(prompt), 0)) if noise is None else noise
        noise = tf.cast(noise, model.compute_dtype)

        def start(data):
            data = {"targets": prompt, **beside, **data}
            end = prompts.end_of_prompt(model, data)
            return keras.tree.flatten(prompts.state_after(model, data, noise)), end

        # Prompts of one length need no loop of single steps.
        state, end = tf.cond(tf.reduce_all(mask), lambda: start({}), lambda: start({"mask": mask}))
        return prompts.Start(keras.tree.pack_sequence_as(model.initial_state(1), state), **end)

    def state_after(prompt, prompt_mask, prompt_noise=None, **beside):
        start = start_after(prompt, prompt_mask, prompt_noise, beside)._asdict()
        further = {"frame": model.missing, "observed": model.missing, "scale": start["scale"] is not None}
        return {"state": _named(start["state"]), **{name: start[name] for name in further if further[name]}}

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
    prompt = {
        "prompt": spec_of_frames(model, "targets", None, None),
        "prompt_mask": tf.TensorSpec((None, None), tf.bool),
    }
    prompt_noise = with_width(prompt_noise=spec_of_floats(None, None, dim)) | specs_of_covariates(model, None, None)
    of_prompt = {
        "prompt_mask": lambda given: tf.fill(leading_sizes(given["prompt"]), True),
        "prompt_noise": Drawn(draw_normal, lambda given: (*leading_sizes(given["prompt"]), dim)),
    }
    sizes = {"batch_size": spec_of_count(), "length": spec_of_count()}
    endpoints = {
        "generate": Endpoint(
            generate,
            {**sizes, **inputs, **specs_of_covariates(model, None, None)},
            noise_of(lambda given: (given["batch_size"], given["length"])),
            "Sequences drawn from the model: (batch, length, features), or (batch, length) of tokens.",
        ),
        "continue_sequence": Endpoint(
            continue_sequence,
            {**prompt, "horizon": spec_of_count(), **inputs, **prompt_noise},
            {
                **noise_of(lambda given: (tf.shape(given["prompt"])[0], given["horizon"])),
                **of_prompt,
            },
            "What may come after each prompt, as long as prompt_mask is true: (batch, horizon, features), or (batch, "
            "horizon) of tokens. Covariates are of prompt and horizon.",
        ),
        "state_after": Endpoint(
            state_after,
            {**prompt, **prompt_noise},
            of_prompt,
            "State after a prompt, its latents drawn from the posterior; the next x is the prompt's last frame.",
        ),
    }
    if model.scaling is not None and model.scaling.by_sequence:
        del endpoints["generate"]  # only a prompt tells the scale
    return endpoints


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

    def step(state, x, noise, observed=None, scale=None, covariates=None, **beside):
        state = keras.tree.pack_sequence_as(model.initial_state(1), [state[name] for name in specs])
        if covariates is not None:
            beside["covariates"] = covariates[:, None]
        known = model.known(beside, 1, None if scale is None else scale[:, None])
        x = model.read_frames(x, None if known is None else known[:, 0], scale, observed)
        steps, state = model.step(model.step_weights(), state, x, noise)
        return model.in_units(steps.output, scale), _named(state)

    def score_step(state, x, y, noise=None, **beside):
        noise = tf.zeros((*leading_sizes(x, 1), 0)) if noise is None else noise
        params, state = step(state, x, tf.cast(noise, model.compute_dtype), **beside)
        if not model.missing:
            return {"log_prob": model.head.log_prob(params, y), "state": state}
        log_prob = model.head.log_prob(params, y, ~tf.math.is_nan(y))
        return {"log_prob": log_prob, "mean": model.head.mean(params), "state": state}

    def generate_step(state, x, temperature, noise=None, uniform=None, **beside):
        latent_noise, *frame_noise = _step_noise(model, noise, uniform)
        params, state = step(state, x, latent_noise, **beside)
        return {"y": model.head.draw(params, *frame_noise, temperature), "state": state}

    start = _named(model.initial_state(1))
    specs = {name: tf.TensorSpec((None, *x.shape[1:]), x.dtype) for name, x in start.items()}
    stream = {"state": specs, "x": spec_of_frames(model, "inputs", None), **specs_of_covariates(model, None)}
    if model.missing:
        stream["observed"] = tf.TensorSpec((None, model.features["targets"]), tf.bool)
    if model.scaling is not None and model.scaling.by_sequence:
        stream["scale"] = spec_of_floats(None, model.features["targets"])
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
