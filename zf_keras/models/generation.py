"""Samples and forecasts, the same for all models: their generative step in a loop.

x_1 a start frame;  params_t, state_t = generate_step(state_{t-1}, x_t, noise_t);  y_t ~ p(params_t);  x_{t+1} = y_t

All noise is drawn before the loop.
"""

import numpy as np
from keras import ops

from zf_keras.arguments import check_numbers, check_positive, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.probability import float32, given
from zf_keras.recurrence import scan


class Generation:
    """The part of `SequenceModel` that draws from a model."""

    def generate(self, batch_size=1, length=100, prompt=None, temperature=1.0, seed=None):
        """Draws sequences from the model.

        Args:
            batch_size: int. How many. Defaults to `1`.
            length: int. Steps of each, those of the prompt included. Defaults to `100`.
            prompt: array (batch_size, steps, features) or (batch_size, steps) of tokens, or one such sequence
                for all (1, ...); the first frames of the result. The state after it is drawn from the posterior
                given the prompt. Defaults to `None`.
            temperature: positive float. Divides the output's logits and multiplies its standard
                deviations. Defaults to `1.0`.
            seed: int or `None`. The same seed gives the same draws; `None` goes on with the model's own.

        Returns:
            NumPy array (batch_size, length, features), or (batch_size, length) of tokens.

        Raises:
            ValueError: names what is wrong with an argument, or the model is not built.
        """
        check_positive_int("batch_size", batch_size)
        check_positive_int("length", length)
        check_positive("temperature", temperature)
        self._check_can_generate()
        self.head.check_temperature(temperature)
        numbers = batch_size * max(length * (self.noise_dim + self.head.width), self.units)
        check_numbers(numbers, batch_size=batch_size, length=length)
        generator = self._generator(seed)
        if prompt is None:
            x, state, known = self._start(batch_size), self.initial_state(batch_size), None
        else:
            known = self._check_frames("prompt", prompt)
            if len(known) == 1:
                known = np.repeat(known, batch_size, axis=0)
            if len(known) != batch_size or known.shape[1] >= length:
                raise ValueError(
                    f"`prompt` must be of 1 or batch_size={batch_size} sequences, shorter than length={length}. "
                    f"Received: shape={known.shape}."
                )
            noise = self.draw_noise(*known.shape[:2], generator)
            state = self._state_after(ops.convert_to_tensor(known), noise)
            x = self.head.as_values(known[:, -1])
            length = length - known.shape[1]
        noise = self.draw_noise(batch_size, length, generator)
        frame_noise = self.head.noise((batch_size, length), generator)
        frames = ops.convert_to_numpy(self._generate(state, x, noise, frame_noise, float32(temperature)))
        return frames if known is None else np.concatenate([known.astype(frames.dtype), frames], axis=1)

    def forecast(self, prompt, horizon, num_samples, temperature=1.0, seed=None):
        """Draws what may come after each of some sequences.

        Args:
            prompt: array (batch, steps, features) or (batch, steps) of tokens.
            horizon: int. Steps to forecast.
            num_samples: int. Sample paths for each sequence.
            temperature: positive float. As for `generate`.
            seed: int or `None`. As for `generate`.

        Returns:
            NumPy array (num_samples, batch, horizon, features), or (num_samples, batch, horizon) of tokens.

        Raises:
            ValueError: names what is wrong with an argument, or the model is not built.
        """
        check_positive_int("horizon", horizon)
        check_size("num_samples", num_samples)
        self._check_can_generate()
        prompt = self._check_frames("prompt", prompt)
        count, steps = prompt.shape[:2]
        numbers = num_samples * count * (steps + horizon) * (self.noise_dim + self.head.width)
        check_numbers(numbers, num_samples=num_samples, horizon=horizon)
        prompts = np.concatenate([prompt] * num_samples)
        paths = self.generate(len(prompts), steps + horizon, prompts, temperature, seed)
        return paths[:, steps:].reshape(num_samples, count, horizon, *prompt.shape[2:])

    def _check_can_generate(self):
        if not self.built:
            raise ValueError("The model is not built: fit it, load it, or call it on a batch before it generates.")
        if self.features["inputs"] != self.features["targets"]:
            raise ValueError(
                "A model generates where its inputs are its targets a step earlier. This one was built for "
                f"inputs of {self.features['inputs']} and targets of {self.features['targets']} features."
            )

    def _check_frames(self, name, frames):
        if isinstance(frames, dict):
            raise ValueError(f"`{name}` must be one array: its sequences are of one length. Received: a dict.")
        try:
            self.check_data(frames)
        except ValueError as error:
            raise ValueError(f"`{name}`: {error}") from error
        return ops.convert_to_numpy(frames)

    def _start(self, batch_size):
        """x_1 where none is given."""
        if self.tokens:
            return self.head.as_values(ops.full((batch_size,), self.start_token))
        return self.head.as_values(ops.zeros((batch_size, self.features["targets"])))

    @compiled
    def _state_after(self, prompt, noise):
        inputs, targets, _ = self.sequences(prompt)
        return self.infer(self.embed(inputs), self.embed(targets), None, noise, False)[1]

    @compiled
    def _generate(self, state, x, noise, frame_noise, temperature, decode="sample", latents="prior"):
        """Frames (batch, time, ...). noise, frame_noise: of `draw_noise` and of the head's `noise`."""
        generate_step = self.make_generate_step(given) if latents == "given" else self.make_generate_step()

        def step(state, inputs):
            (state, x), (noise, *frame_noise) = state, inputs
            params, state = generate_step(state, self.embed(x), noise)
            y = self.head.mode(params) if decode == "mode" else self.head.draw(params, *frame_noise, temperature)
            return (state, y), y

        inputs = [ops.swapaxes(each, 0, 1) for each in (noise, *frame_noise)]
        return ops.swapaxes(scan(step, (state, x), inputs)[1], 0, 1)
