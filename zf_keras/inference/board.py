"""A callback for `fit` that draws from the model as it trains, for TensorBoard."""

import warnings
from pathlib import Path

import keras
import numpy as np

from zf_keras import pictures
from zf_keras.arguments import (
    check_choice,
    check_finite,
    check_non_negative_int,
    check_positive_int,
    check_seed,
    check_size,
    is_int,
)
from zf_keras.data.batches import Batches
from zf_keras.inference import diagnostics, events
from zf_keras.inference.generation import check_can_generate

RUN = "samples"
ACTIVE = 0.01  # variance of the posterior mean from which on a dimension is active


class TensorBoardSamples(keras.callbacks.Callback):
    """Writes what a model draws while it trains, for TensorBoard.

    At the end of every few epochs, and of the last: generated sequences beside real ones, as a figure, audio and text;
    of a model with latents also the paths of the latents of the real ones, the KL by dimension, and an interpolation
    between the first two. They are in the folder `samples` of `log_dir`, a run of that name in TensorBoard, each at
    its number of updates.

    All draws have a given seed: training is the same to the bit with and without the callback. Everything is drawn
    once, to be thrown away, as `fit` begins, or after the first update if that builds the model: what can't be drawn is
    an error then. What fails later is a warning, and training goes on.

    Args:
        log_dir: path.
        data: array (count, time, features) or (count, time) of tokens, or a list of sequences of any length. Real ones.
        figure: function or `None`. From a dict of groups, such as `{"real": ..., "generated": ...}`, to a matplotlib
            figure: `zf_keras.pictures.images`, or `functools.partial(pictures.waveforms, sample_rate=16000)`.
            Defaults to `None`.
        audio: function or `None`. From a sequence to its sound, a pair of samples (int16) and how many are a second.
            Defaults to `None`.
        text: function or `None`. From a sequence to a str. Defaults to `None`.
        every: int. Epochs between two writings; the last of `fit` is written in any case. Defaults to `10`.
        num_samples: int. How many sequences are generated, and at most how many of `data` are used. Defaults to `8`.
        length: int or `None`. Steps of the generated sequences, and at most of the real ones. Defaults to `None`, those
            of the first of `data`.
        prompt_steps: int or `None`. So many first steps of the generated sequences are those of the real ones.
            Defaults to `None`, 1 where the first frame is given, else 0.
        key: `"targets"`, or `"inputs"` where the first frame is given and not predicted. Defaults to `"targets"`.
        seed: int. Of all draws. Defaults to `0`.

    Raises:
        ValueError: names what is wrong with an argument; from `fit`, that the model can't generate, or what can't be
            drawn.
        ImportError: tensorboard is not there.

    Example:

    >>> from zf_keras import pictures
    >>> x = np.zeros((8, 4, 4))
    >>> model = RNN(units=8, output="bernoulli")
    >>> model.compile(optimizer="adam")
    >>> samples = TensorBoardSamples("logs", x, figure=pictures.images, every=5)
    >>> history = model.fit(x, epochs=2, verbose=0, callbacks=[samples])  # tensorboard --logdir logs
    """

    def __init__(
        self,
        log_dir,
        data,
        figure=None,
        audio=None,
        text=None,
        every=10,
        num_samples=8,
        length=None,
        prompt_steps=None,
        key="targets",
        seed=0,
    ):
        super().__init__()
        events.tensorboard("summary.writer.record_writer")  # an error now if it is not there
        self.functions = {"figure": figure, "audio": audio, "text": text}
        for name, function in self.functions.items():
            if function is not None and not callable(function):
                raise ValueError(f"`{name}` must be a function or None. Received: {name}={function!r}.")
        self.log_dir = Path(log_dir) / RUN
        self.every = check_positive_int("every", every)
        self.num_samples = check_size("num_samples", num_samples)
        self.key = check_choice("key", key, ("targets", "inputs"))
        self.seed = check_seed("seed", seed)
        real = _first(data, self.num_samples)
        self.length = len(real[0]) if length is None else check_positive_int("length", length)
        if prompt_steps is None:
            prompt_steps = int(key == "inputs")
        self.prompt_steps = check_non_negative_int("prompt_steps", prompt_steps)
        shortest = min(map(len, real))
        if self.prompt_steps > shortest or self.prompt_steps >= self.length:
            raise ValueError(
                f"`prompt_steps` must be less than length={self.length}, and at most the {shortest} steps of the "
                f"shortest of `data`. Received: prompt_steps={prompt_steps}."
            )
        self.real = [x[: self.length] for x in real]

    def on_train_begin(self, logs=None):
        model = self.model
        if not hasattr(model, "generate"):
            raise ValueError(f"TensorBoardSamples is for models of zf_keras. Received: {type(model).__name__}.")
        if not (model.noise_dim or any(self.functions.values())):
            raise ValueError(f"Give `figure`, `audio` or `text`: {type(model).__name__} has no latents to draw.")
        if model.built or not model.lagged:
            check_can_generate(model)
        self.tried = self.written = False
        if model.built:
            self._try(model)
        else:
            _ = [*self._shown("real", {"real": self.real}), *self._sounds("real", self.real)]
        self.file = events.EventFile(self.log_dir)

    def on_train_batch_end(self, batch, logs=None):
        if not self.tried:  # TensorFlow has built it by its first update
            self._try(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.written = (epoch + 1) % self.every == 0
        if self.written:
            self._draw()

    def on_train_end(self, logs=None):
        if self.tried and not self.written:
            self._draw()

    def _try(self, model):
        for part in self._parts(model):
            list(part(model))
        self.tried = True

    def _draw(self):
        model, values = self.model, []
        step = int(model.updates if hasattr(model, "updates") else model.optimizer.iterations)
        for part in self._parts(model):
            try:
                values += part(model)
            except Exception as error:  # of drawing alone: a training of days goes on
                name = part.__name__.strip("_")
                warnings.warn(f"TensorBoardSamples can't draw all of {name!r} at update {step}: {error}", stacklevel=2)
        self.file.add(step, values)

    # What is drawn, each a function from the model to values of `events`.

    def _parts(self, model):
        parts = [self._generated] if any(self.functions.values()) else []
        if model.noise_dim:
            parts += [self._latents]
            if len(self.real) > 1 and (self.functions["figure"] or self.functions["text"]):
                parts += [self._interpolation]
        return parts

    def _generated(self, model):
        prompt = None
        if self.prompt_steps:
            rows = np.resize(np.arange(len(self.real)), self.num_samples)
            prompt = np.stack([self.real[i][: self.prompt_steps] for i in rows])
        sequences = list(model.generate(self.num_samples, self.length, prompt, seed=self.seed))
        yield from self._shown("generated", {"real": self.real, "generated": sequences})
        yield from self._sounds("generated", sequences)

    def _latents(self, model):
        batch = Batches(self.real, len(self.real), key=self.key)[0]
        means = model.encode(batch, seed=self.seed, verbose=0).mean
        mask = batch.get("mask")
        if mask is not None:
            mask = mask[:, -means.shape[1] :]  # without the frame that is given
        yield events.image("latents/paths", pictures.latent_paths(means, mask))
        divergence = diagnostics.kl(model, batch, seed=self.seed, verbose=0).by_dimension
        active = diagnostics.active_units(model, batch, ACTIVE, seed=self.seed, verbose=0).variance > ACTIVE
        yield events.image("latents/kl_by_dimension", pictures.kl_by_dimension(divergence, active))

    def _interpolation(self, model):
        time = min(map(len, self.real[:2]))
        first, second = (x[None, :time] for x in self.real[:2])
        points = model.interpolate(first, second, seed=self.seed)
        shares = np.linspace(0, 1, len(points))
        yield from self._shown("interpolation", {f"{a:.1f}": list(x) for a, x in zip(shares, points, strict=True)})

    def _shown(self, name, groups):
        if self.functions["figure"]:
            figure = self._called("figure", groups)
            if not hasattr(figure, "savefig"):
                raise ValueError(f"`figure` must return a matplotlib figure. It returned: {figure!r}.")
            yield events.image(f"{name}/figure", figure)
        if self.functions["text"]:
            rows = []
            for title, sequences in groups.items():
                texts = [self._called("text", x) for x in sequences]
                wrong = [text for text in texts if not isinstance(text, str)]
                if wrong:
                    raise ValueError(f"`text` must return a str. It returned: {wrong[0]!r}.")
                rows += [(title, text) for text in texts]
            yield events.table(f"{name}/text", rows)

    def _sounds(self, name, sequences):
        if not self.functions["audio"]:
            return
        sounds = [self._called("audio", sequence) for sequence in sequences]
        for sound in sounds:
            if not _is_sound(sound):
                raise ValueError(
                    f"`audio` must return samples (count,), int16, and their rate. It returned: {sound!r}."
                )
        yield events.audio(f"{name}/audio", sounds)

    def _called(self, name, value):
        try:
            return self.functions[name](value)
        except Exception as error:
            raise ValueError(f"`{name}` failed with {type(error).__name__}: {error}") from error


def _is_sound(sound):
    try:
        samples, rate = sound
        return samples.dtype == "int16" and samples.ndim == 1 and is_int(rate) and rate > 0
    except (AttributeError, TypeError, ValueError):
        return False


def _first(data, count):
    """The first sequences of `data`, a list of arrays.

    Raises:
        ValueError: they are no sequences.
    """
    accepted = "an array (count, time, features) or (count, time) of tokens, or a list of sequences"
    if isinstance(data, dict) or not hasattr(data, "__getitem__") or not hasattr(data, "__len__") or not len(data):
        raise ValueError(f"`data` must be {accepted}. Received: {type(data).__name__}, or it is empty.")
    sequences = [np.asarray(data[i]) for i in range(min(count, len(data)))]
    shapes = [x.shape for x in sequences]
    if any(len(shape) not in (1, 2) or shape[0] < 1 or shape[1:] != shapes[0][1:] for shape in shapes):
        raise ValueError(f"`data` must be {accepted}. Received: sequences of the shapes {shapes}.")
    for sequence in sequences:
        check_finite("data", sequence)
    return sequences
