"""An exported model on a sequence as it comes: how surprising a frame is, and what may come next.

Particles: states that each draw their own latents from the prior and count by how well they foresaw the frames (the
bootstrap filter of Gordon et al. 1993). The weighted mean of their p(y_t | ...) estimates p(y_t | y_1..y_{t-1}).

Of zf_keras nothing is needed but this file, which reads an export by TensorFlow.
"""

import json
from pathlib import Path

import numpy as np


class Stream:
    """Scores and forecasts of one sequence, a frame at a time, from a model exported as a SavedModel.

    The posterior of most models reads the future, which a stream does not have; so latents are drawn from the prior.
    A model without latents needs one particle, and is exact.

    Args:
        folder: path of an export.
        num_particles: int. Defaults to `256`.
        seed: int or `None`. The same seed gives the same scores. Defaults to `None`, others at each time.
        resample_below: float in [0, 1]. The share of particles below which the effective sample size leads to
            resampling. Defaults to `0.5`.
        static, categories: arrays (features,) and (columns,), of a model that reads them. Default to `None`.
        scale: array (features,), of a model that scales each sequence, such as `state_after` gives. Defaults to `None`.

    Raises:
        ValueError: the folder is no SavedModel of zf_keras, or an argument is wrong.

    Example:

    >>> model = ZForcing(units=8, latent_dim=2, output="gaussian")
    >>> model.build((None, None, 3))
    >>> model.export("streamed")
    >>> stream = Stream("streamed", num_particles=16)
    >>> scores = [stream.score(frame) for frame in np.zeros((5, 3))]
    >>> stream.forecast(4).shape
    (16, 4, 3)
    """

    def __init__(
        self, folder, num_particles=256, seed=None, resample_below=0.5, static=None, categories=None, scale=None
    ):
        import tensorflow as tf

        if not isinstance(num_particles, int) or num_particles < 1:
            raise ValueError(f"`num_particles` must be a positive integer. Received: {num_particles}.")
        if not 0 <= resample_below <= 1:
            raise ValueError(f"`resample_below` must be in [0, 1]. Received: {resample_below}.")
        try:
            description = json.loads((Path(folder) / "endpoints.json").read_text(encoding="utf-8"))
            self._inputs = {name: endpoint["inputs"] for name, endpoint in description["endpoints"].items()}
            start, format = description["start"], description["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder} is no export of zf_keras: {error}.") from error
        if format != "tf_saved_model":
            raise ValueError(f"{folder} must be an export of format 'tf_saved_model'. It is of {format!r}.")
        self._exported = tf.saved_model.load(str(folder))
        self.num_particles = num_particles
        self.resample_below = resample_below
        self._random = np.random.default_rng(seed)
        self._log_weights = np.full(num_particles, -np.log(num_particles))
        # Where values may be missing, a row more goes on without noise: it says what a gap is filled with.
        self._fills = "observed" in self._inputs["score_step"]
        self._rows = num_particles + self._fills
        self._state = self._exported.initial_state(self._rows)
        spec = self._inputs["score_step"]["x"]
        self._x = np.full((self._rows, *spec["shape"][1:]), start, spec["dtype"])
        self._of_sequence = self._beside(static=static, categories=categories, scale=scale)
        if self._fills:
            self._of_sequence["observed"] = self._all_observed()

    def score(self, y, x=None, covariates=None):
        """log p(y | all frames before) in nats; then y is one of those.

        Args:
            y: array (features,), or a token. Where one of its numbers is NaN it is not scored, and the particles go
                on with draws of their own in the place of what is missing; those of a model with `missing="skip"` with
                its mean, and what is there of the frame is scored.
            x: array (features,), what a model reads whose inputs are not its targets a step earlier. Defaults to
                `None`.
            covariates: array (features,), of this step, of a model that reads them. Defaults to `None`.

        Returns:
            float; NaN where y is not scored.
        """
        generates, spec = "generate_step" in self._inputs, self._inputs["score_step"]["y"]
        if generates and x is not None:
            raise ValueError("`x` must be left out: the model reads its own frames.")
        if not generates and x is None:
            raise ValueError("`x` must be given: the model reads inputs that are not its targets a step earlier.")
        frame, shape = np.asarray(y), tuple(spec["shape"][1:])
        if frame.shape != shape:
            raise ValueError(f"`y` must be of shape {shape}. Received: shape={frame.shape}.")
        missing = np.isnan(frame) if frame.dtype.kind == "f" else np.zeros(shape, bool)
        beside = self._beside(covariates=covariates)
        if x is not None:
            self._x = self._repeated(x, self._inputs["score_step"]["x"]["dtype"])
        if missing.any() and generates and not self._fills:
            step = self._step("generate_step", {"temperature": np.float32(1.0), **beside})
            self._x = np.where(missing, step["y"], self._repeated(np.where(missing, 0.0, frame), spec["dtype"]))
            self._state = step["state"]
            return float("nan")
        # Whatever stands for what is missing, the state of other models does not read it.
        known = frame if self._fills else np.where(missing, 0.0, frame)
        step = self._step("score_step", {"y": self._repeated(known, spec["dtype"]), **beside})
        self._state, score = step["state"], float("nan")
        if generates:
            read = np.where(missing, np.asarray(step["mean"])[-1], frame) if self._fills else frame
            self._x = self._repeated(read, spec["dtype"])
        if self._fills and generates:
            self._of_sequence["observed"] = self._repeated(~missing, bool)
        if not (missing.all() if self._fills and shape else missing.any()):
            log_weights = self._log_weights + np.asarray(step["log_prob"], "float64")[: self.num_particles]
            score = float(np.logaddexp.reduce(log_weights))
            if np.isfinite(score):  # else no particle explains the frame at all, and they go on as they were
                self._log_weights = log_weights - score
            if np.exp(-np.logaddexp.reduce(2 * self._log_weights)) < self.resample_below * self.num_particles:
                self._resample()
        return score

    def forecast(self, horizon, covariates=None):
        """Frames that may come next: an array (num_particles, horizon, ...). The stream stays where it is.

        Args:
            horizon: int. Steps.
            covariates: array (horizon, features), of a model that reads them. Defaults to `None`.
        """
        if "generate_step" not in self._inputs:
            raise ValueError("The model reads inputs that are not its targets a step earlier: it can't forecast.")
        if covariates is not None and len(covariates) != horizon:
            raise ValueError(f"`covariates` must be of horizon={horizon} steps. Received: {len(covariates)}.")
        kept = self._state, self._x, self._log_weights, dict(self._of_sequence)
        self._resample()
        frames = []
        for t in range(horizon):
            beside = self._beside(covariates=None if covariates is None else covariates[t])
            step = self._step("generate_step", {"temperature": np.float32(1.0), **beside})
            self._state, self._x = step["state"], step["y"].numpy()
            if self._fills:
                self._of_sequence["observed"] = self._all_observed()
            frames.append(self._x[: self.num_particles])
        self._state, self._x, self._log_weights, self._of_sequence = kept
        return np.stack(frames, axis=1)

    def _beside(self, **given):
        """What a step reads beside its frame, for each row."""
        beside = {}
        for name, x in given.items():
            spec = self._inputs["score_step"].get(name)
            if (x is None) != (spec is None):
                what = "left out: the model does not read it" if spec is None else "given: the model reads it"
                raise ValueError(f"`{name}` must be {what}.")
            if spec is not None:
                x = np.asarray(x)
                if x.shape != tuple(spec["shape"][1:]):
                    raise ValueError(f"`{name}` must be of shape {tuple(spec['shape'][1:])}. Received: {x.shape}.")
                beside[name] = self._repeated(x, spec["dtype"])
        return beside

    def _all_observed(self):
        return np.ones((self._rows, *self._inputs["score_step"]["observed"]["shape"][1:]), bool)

    def _step(self, endpoint, given):
        draws = {"noise": self._random.standard_normal, "uniform": self._random.random}
        for name, draw in draws.items():
            if name in self._inputs[endpoint]:
                given[name] = draw((self._rows, *self._inputs[endpoint][name]["shape"][1:]), "float32")
                if self._fills and name == "noise":
                    given[name][-1] = 0
        return getattr(self._exported, endpoint)(state=self._state, x=self._x, **self._of_sequence, **given)

    def _repeated(self, frame, dtype):
        return np.repeat(np.asarray(frame, dtype)[None], self._rows, axis=0)

    def _resample(self):
        """Systematic: as many points as particles, at equal distances on the sums of their weights."""
        points = (np.arange(self.num_particles) + self._random.random()) / self.num_particles
        sums = np.cumsum(np.exp(self._log_weights))
        chosen = np.minimum(np.searchsorted(sums / sums[-1], points, side="right"), self.num_particles - 1)
        chosen = np.append(chosen, np.arange(self.num_particles, self._rows))
        self._state = {name: np.asarray(x)[chosen] for name, x in self._state.items()}
        self._x = np.asarray(self._x)[chosen]
        self._log_weights = np.full(self.num_particles, -np.log(self.num_particles))
