"""What may have been where values are missing."""

import numpy as np
from keras import ops

from zf_keras.arguments import check_numbers, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.data.padding import drawn
from zf_keras.inference.passes import arrays, count_and_time, generator, passes


def impute(model, data, num_samples=1, seed=None, batch_size=128, verbose="auto"):
    """Draws of what is missing, given what is there before and, by the posterior, after it; what is there is kept.

    z_t ~ q(z_t | ...), y_t ~ p(y_t | z_t, ...), of a mixture given what is observed of the frame. A model without
    latents knows only what came before. In the place of earlier gaps the networks read the model's means, whatever is
    drawn there.

    Args:
        data: array or dict, with NaN or false in `observed` where it is missing.
        num_samples: int. Draws of each sequence. Defaults to `1`.
        seed: int or `None`. The same seed gives the same draws; `None` continues the model's own.
        batch_size: int. How many (sequence, sample) pairs are computed at a time. Defaults to `128`.
        verbose: `"auto"`, 0 or 1. As for `log_likelihood`.

    Returns:
        NumPy array (num_samples, batch, time, features); zero at masked steps.

    Raises:
        ValueError: the model was made without `missing="skip"`, or names what is wrong with an argument.

    Example:

    >>> model = ZForcing(units=8, latent_dim=2, output="gaussian", missing="skip")
    >>> model.build((None, None, 1))
    >>> x = np.array([1.0, np.nan, 3.0]).reshape(1, 3, 1)
    >>> draws = model.impute(x, num_samples=100, seed=0)
    >>> draws.shape, draws[0, 0, 2, 0]
    ((100, 1, 3, 1), np.float32(3.0))
    """
    check_size("num_samples", num_samples)
    check_positive_int("batch_size", batch_size)
    if not model.missing:
        raise ValueError("`impute` needs a model that was made with missing='skip'.")
    data = arrays(model, data)
    count, time = count_and_time(data)
    check_numbers(count * num_samples * time * (model.head.features or 1), num_samples=num_samples)
    random, parts = generator(model, seed), []
    rows = np.repeat(np.arange(count), num_samples)
    for batch, noise, context in passes(model, data, rows, random, batch_size, verbose, contexts=True):
        frame_noise = drawn(lambda *shape: model.head.noise(shape, random), len(noise), time)
        parts.append(ops.convert_to_numpy(_filled(model, batch, noise, context, tuple(frame_noise))))
    frames = np.concatenate(parts)[: len(rows), :time]
    return np.swapaxes(frames.reshape(count, num_samples, *frames.shape[1:]), 0, 1)


@compiled
def _filled(model, data, noise, context, frame_noise):
    """The targets, (batch, time, features), with draws where they are missing."""
    sequences, head = model.sequences(data), model.head
    targets, observed = head.as_values(sequences.targets), sequences.observed
    params = model.steps(sequences, noise, context, training=False).output
    params = head.given_observed(params, targets, observed)
    return ops.where(observed, targets, head.as_values(head.draw(params, *frame_noise)))
