"""Generation: closed forms for weights set by hand, prompts, seeds, temperature."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import EVERY_OUTPUT, FEATURES, LATENT, LATENT_HERE, PAIRS_HERE, make, sequences
from tests.support import normal, path
from zf_keras import RNN, SRNN, STORN, VRNN, VariationalBiLSTM, ZForcing
from zf_keras.inference import latents

K = 1e-3  # small enough that the LSTM is linear
E = 1e-2  # small enough that a hidden unit, E * input + 1, is linear


def lstm(cell, factors, shift=0.0):
    """Weights of one unit, h_t = K * (factors . inputs + shift): input and output gates open, the forget gate shut."""
    kernel = np.zeros((len(factors), 4))
    kernel[:, 2] = K * np.array(factors)
    return {f"{cell}/kernel": kernel, f"{cell}/bias": [20.0, -20.0, K * shift, 20.0]}


def linear_gaussian(cls, rho, a, m, s, sigma, kappa=0.0, g=0.0, mu=0.0, s_b=1.0, missing=None):
    """z_t ~ N(m + kappa z_{t-1}, s^2), b_t ~ N(tanh mu, s_b^2), y_t ~ N(rho y_{t-1} + a z_t + g b_t, sigma^2)."""
    latent = {} if cls is RNN else {"latent_dim": 1, "hidden_units": 1}
    standard = {"prior": "standard_normal"} if cls in (VRNN, VariationalBiLSTM) and (m, s) == (0, 1) else {}
    model = cls(units=1, output="gaussian", output_network="linear", seed=0, missing=missing, **latent, **standard)
    model.build((None, None, 1))
    if cls is RNN:
        values, read = lstm("lstm/layer_0/lstm_cell", [rho]), [1 / K]
    elif cls is STORN:
        values, read = lstm("lstm/layer_0/lstm_cell", [rho, a]), [1 / K]
    elif cls is VRNN:  # features 1 + E x and 1 + E z
        values, read = lstm("cell", [rho / E, 0.0], shift=-rho / E), [a / E, 1 / K]
        values |= {
            "features_x/kernel": [[E]],
            "features_x/bias": [1],
            "features_z/kernel": [[E]],
            "features_z/bias": [1],
        }
    elif cls is SRNN:
        flags = [0.0] if missing else []
        values, read = lstm("lstm/layer_0/lstm_cell", [rho, *flags]), [a, 1 / K]
        values |= {"prior/hidden/kernel": [[E], [0]], "prior/hidden/bias": [1], "prior/linear/kernel": [[kappa / E, 0]]}
    elif cls is ZForcing:
        values, read = lstm("cell", [rho, a]), [1 / K]
    else:
        values, read = lstm("cell", [rho, a, 0.0]), [1 / K, g]
        values["auxiliary_decoder/network/linear/bias"] = [mu, 2 * np.log(s_b)]
    if cls not in (RNN, STORN) and not standard:
        values["prior/linear/bias"] = [m - kappa / E, 2 * np.log(s)]
    values["head/network/linear/kernel"] = np.stack([read, np.zeros(len(read))], axis=1)
    values["head/network/linear/bias"] = [-a / E if cls is VRNN else 0.0, 2 * np.log(sigma)]
    for weight in model.trainable_weights:
        weight.assign(values.pop(path(weight), np.zeros(weight.shape)))
    assert not values
    return model


@pytest.mark.parametrize(
    ("cls", "numbers"),
    [
        (RNN, {"rho": -0.6, "a": 0.0, "m": 0.0, "s": 1.0}),
        (STORN, {"rho": 0.8, "a": 1.5, "m": 0.0, "s": 1.0}),
        (VRNN, {"rho": 0.8, "a": 1.5, "m": 0.4, "s": 0.7}),
        (VRNN, {"rho": 0.8, "a": 1.5, "m": 0.0, "s": 1.0}),
        (SRNN, {"rho": 0.8, "a": 1.5, "m": 0.4, "s": 0.7, "kappa": 0.6}),
        (ZForcing, {"rho": 0.8, "a": 1.5, "m": 0.4, "s": 0.7}),
        (VariationalBiLSTM, {"rho": 0.8, "a": 1.5, "m": 0.4, "s": 0.7, "g": 0.5, "mu": 1.0, "s_b": 1.2}),
        (VariationalBiLSTM, {"rho": 0.8, "a": 1.5, "m": 0.0, "s": 1.0, "g": 0.5, "mu": 1.0, "s_b": 1.2}),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_generated_sequences_follow_the_model(cls, numbers):
    """Means, variances and covariances of a linear Gaussian model in closed form."""
    n, length, sigma = 40_000, 6, 0.5
    rho, a, m, s = (numbers[name] for name in ("rho", "a", "m", "s"))
    kappa, g, mu, s_b = (numbers.get(name, 0.0) for name in ("kappa", "g", "mu", "s_b"))
    y = linear_gaussian(cls, sigma=sigma, **numbers).generate(n, length, seed=1)[..., 0].astype("float64")
    # (z_t, y_t) = A (z_{t-1}, y_{t-1}) + noise
    transition = np.array([[kappa, 0.0], [a * kappa, rho]])
    drift = np.array([m, a * m + g * np.tanh(mu)])
    noise = np.array([[s**2, a * s**2], [a * s**2, a**2 * s**2 + g**2 * s_b**2 + sigma**2]])
    mean, covariance = np.zeros(2), np.zeros((2, 2))
    for t in range(length):
        lagged = (transition @ covariance)[1, 1]
        previous, covariance = covariance[1, 1], transition @ covariance @ transition.T + noise
        mean, variance = transition @ mean + drift, covariance[1, 1]
        error = np.sqrt(variance / n)
        np.testing.assert_allclose(y[:, t].mean(), mean[1], atol=5 * error)
        np.testing.assert_allclose(y[:, t].var(), variance, rtol=5 * np.sqrt(2 / n))
        if t:
            covariance_in_time = np.cov(y[:, t - 1], y[:, t])[0, 1]
            np.testing.assert_allclose(covariance_in_time, lagged, atol=10 * error * np.sqrt(previous))


@pytest.mark.parametrize("source", ["given", "posterior"])
@pytest.mark.parametrize("name", LATENT_HERE)
def test_the_step_is_that_of_inference(name, source):
    """Given the posterior's latents, or drawing them: parameters of every step, and the state after the last."""
    model, sequence = make(name), sequences(count=4)
    noise = ops.convert_to_tensor(normal(4, 5, model.noise_dim, seed=1))
    batch = model.sequences(sequence)
    x, y = model.embed(batch.inputs), model.embed(batch.targets)
    context = model.context(x, y, None, False)
    expected, last = model.infer(x, context, batch, noise, False)
    read = model.step_context(context)
    state = model.initial_state(4)
    weights = model.step_weights("prior" if source == "given" else "posterior")
    for t in range(5):
        chosen = {"latent": expected.latent[:, t]} if source == "given" else {"context": at(read, t)}
        steps, state = model.step(weights, state, x[:, t], noise[:, t], **chosen)
        np.testing.assert_allclose(steps.output, expected.output[:, t], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(steps.latent, expected.latent[:, t], rtol=1e-4, atol=1e-5)
        for gaussian in ("prior",) if source == "given" else ("prior", "posterior"):
            for actual, wanted in zip(getattr(steps, gaussian), getattr(expected, gaussian), strict=True):
                np.testing.assert_allclose(actual, wanted[:, t], rtol=1e-4, atol=1e-5)
    if source == "posterior" and isinstance(model, SRNN):  # its LSTM has run before, and is not run again
        state, last = state[1], last[1]
    for actual, wanted in zip(keras.tree.flatten(state), keras.tree.flatten(last), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


def at(nest, t):
    return keras.tree.map_structure(lambda x: x[:, t], nest)


def test_generation_needs_no_backward_lstm():
    for name in ("variational_bilstm", "variational_bilstm_options", "z_forcing"):
        model = make(name)
        before = model.generate(3, 6, seed=0)
        for weight in (*model.backward_encoder.weights, *getattr(model, "posterior", model.backward_encoder).weights):
            weight.assign(np.full(weight.shape, np.nan))
        np.testing.assert_array_equal(model.generate(3, 6, seed=0), before)


# Without options: what these change in a step is in the test above of every one.
@pytest.mark.parametrize(
    ("name", "output"), [case for case in PAIRS_HERE if case[0] in LATENT and case[0] in EVERY_OUTPUT]
)
def test_interpolate(name, output):
    model, x = make(name, output), sequences(output, 6)
    first, second = x[:3], x[3:]
    frames = model.interpolate(first, second, num_points=4, seed=1)
    assert frames.shape == (4, *first.shape)
    np.testing.assert_array_equal(frames, model.interpolate(first, second, num_points=4, seed=1))
    # The ends do not know of each other.
    alone = model.interpolate(first, first, num_points=1, seed=1)[0]
    np.testing.assert_allclose(frames[0], alone, rtol=1e-4, atol=1e-4)
    model.check_data(frames[2])
    samples = model.interpolate(first, second, decode="sample", seed=1)
    assert samples.shape == (11, *first.shape) and (samples[[0, -1]] != frames[[0, -1]]).any()


def test_interpolated_frames_are_modes_given_the_mixed_latents():
    model = linear_gaussian(ZForcing, rho=0.0, a=1.0, m=0.0, s=1.0, sigma=3.0)
    model.cell.posterior.linear.bias.assign([2.0, -20.0])
    start = np.zeros((1, 4, 1), "float32")
    frames = model.interpolate(start, start, num_points=3)
    np.testing.assert_allclose(frames, 2.0, atol=0.1)  # y_t = z_t, and every z_t is 2
    # z of the first sequence, 3 at every step of ones, and of the second, -1 at every step of zeros, as b_t says
    model = latents_of_ones_and_zeros()
    frames = model.interpolate(start + 1, start, num_points=5)
    np.testing.assert_allclose(frames[:, 0, :, 0], np.linspace(3, -1, 5)[:, None] * np.ones(4), atol=0.1)


def latents_of_ones_and_zeros():
    """y_t = z_t, and q says 3 at a one and -1 at a zero."""
    model = linear_gaussian(STORN, rho=0.0, a=1.0, m=0.0, s=1.0, sigma=3.0)
    model.recognition.layers[0].cell.kernel.assign([[0.0, 0.0, 100.0, 0.0]])
    model.recognition.layers[0].cell.bias.assign([20.0, -20.0, 0.0, 20.0])
    model.posterior.hidden.kernel.assign([[1.0]])
    model.posterior.linear.kernel.assign([[4 / np.tanh(1), 0.0]])
    model.posterior.linear.bias.assign([-1.0, -20.0])
    return model


def padded(value, lengths, time):
    mask = np.arange(time) < np.array(lengths)[:, None]
    return {"targets": np.where(mask, value, np.nan)[..., None].astype("float32"), "mask": mask}


def test_interpolated_lengths():
    """Where one sequence has ended, z_t is that of the other; the length is between both."""
    model = latents_of_ones_and_zeros()
    ones, zeros = padded(1.0, (4, 2), 6), padded(0.0, (1, 3), 3)
    frames = model.interpolate(ones, zeros, num_points=3)[..., 0]
    expected = [
        [[3, 3, 3, 3], [3, 3, 0, 0]],
        [[1, 3, 3, 0], [1, 1, -1, 0]],  # 2.5 steps each
        [[-1, 0, 0, 0], [-1, -1, -1, 0]],
    ]
    np.testing.assert_allclose(frames, expected, atol=0.1)
    np.testing.assert_array_equal(frames == 0, np.array(expected) == 0)
    swapped = model.interpolate(zeros, ones, num_points=3)[..., 0]
    np.testing.assert_allclose(swapped[::-1], expected, atol=0.1)
    whole = np.ones((1, 4, 1), "float32")  # one for all, without a mask
    frames = model.interpolate(whole, zeros, num_points=2)[..., 0]
    np.testing.assert_allclose(frames, [[[3, 3, 3, 3]] * 2, expected[2]], atol=0.1)


def test_the_ends_of_unequal_sequences():
    model, x = make("z_forcing", "categorical"), sequences("categorical", 2)
    first, second = x[:1, :3], x[1:]
    frames = model.interpolate(first, second, num_points=4, seed=1)
    assert frames.shape == (4, *second.shape) and not frames[0, :, 3:].any()
    alone = model.interpolate(first, first, num_points=1, seed=1)[0]
    np.testing.assert_array_equal(frames[0, :, :3], alone)
    alone = model.interpolate(second, second, num_points=2, seed=1)[1]
    np.testing.assert_array_equal(frames[-1], alone)
    # What stands in the padding, and how long it is, changes nothing.
    wild = np.concatenate([first, np.full_like(first, 99)], axis=1)
    mask = np.arange(6) < np.array([[3]])
    masked = model.interpolate({"targets": wild, "mask": mask}, {"targets": second}, num_points=4, seed=1)
    np.testing.assert_array_equal(masked, frames)


def test_the_likeliest_of_several_draws_is_kept(monkeypatch):
    """Against log p of each path, step by step, in NumPy; b̃_t is drawn anew for each."""
    model, x = make("variational_bilstm", "categorical"), sequences("categorical", 4)
    first, second = x[:2], x[2:, :2]
    drawn, real = [], latents.draw_frames

    def draw_frames(model, start, known, noise, frame_noise, temperature, z, **constants):
        result = real(model, start, known, noise, frame_noise, temperature, z, **constants)
        drawn.append([ops.convert_to_numpy(value)[:10, :5] for value in (noise, z, result[0])])
        return result

    monkeypatch.setattr(latents, "draw_frames", draw_frames)
    kept = model.interpolate(first, second, num_points=5, decode="sample", seed=2, top_k=3, num_draws=8)
    noise, z, y = map(np.concatenate, zip(*drawn, strict=True))
    state, inputs, log_probs, of_kept = model.initial_state(len(y)), model.start_frames(len(y)), [], []
    for t in range(5):
        steps, state = model.step(model.step_weights(), state, model.embed(inputs), noise[:, t], latent=z[:, t])
        logits, inputs = ops.convert_to_numpy(steps.output).astype("float64"), y[:, t]
        chosen = np.take_along_axis(logits, inputs[:, None], axis=1)
        assert ((logits > chosen).sum(axis=1) < 3).all()
        log_probs.append(chosen[:, 0] - np.log(np.exp(logits).sum(axis=1)))
        of_kept.append(chosen[:, 0] - np.log(np.exp(np.sort(logits)[:, -3:]).sum(axis=1)))
    log_probs, of_kept, y = (np.reshape(x, (8, 5, 2, 5)) for x in (np.stack(log_probs, 1), np.stack(of_kept, 1), y))
    valid = np.arange(5) < np.array([5, 4, 4, 3, 2])[:, None, None]  # 4.25, 3.5 and 2.75 rounded
    best = (log_probs * valid).sum(axis=-1).argmax(axis=0)
    for other in (log_probs, of_kept * valid):  # with steps past the end; of the likeliest three
        assert (best != other.sum(axis=-1).argmax(axis=0)).any()
    np.testing.assert_array_equal(kept, np.take_along_axis(y, best[None, ..., None], axis=0)[0] * valid)


def test_interpolate_errors():
    model, x = make("z_forcing"), sequences(count=2)
    for arguments, name in (
        ((x, x, 0), "num_points"),
        ((x, x, 2, "best"), "'mode', 'sample'"),
        ((x[0], x), "`first`: .*3 axes"),
        ((x, x * np.nan), "`second`: .*nan"),
        ((x, {"targets": x, "mask": np.zeros((2, 5))}), "`second`: .*`mask` has fewer valid steps"),
        ((x, {"inputs": x, "targets": x}), "`second` .*'inputs'"),
        ((x, np.concatenate([x, x[:1]])), "`first` and `second` .*2 and 3 sequences"),
        ((x, x, 2, "sample", 0, None, None, 0), "num_draws"),
        ((x, x, 2, "mode", 0, None, None, 2), "`num_draws` is for decode='sample'"),
        ((x, x, 2, "sample", 0, 3), "`top_k` is for tokens"),
        ((x, x, 2**20, "sample", 0, None, None, 2**20), "`num_points` and `num_draws` must be smaller"),
    ):
        with pytest.raises(ValueError, match=name):
            model.interpolate(*arguments)
    with pytest.raises(ValueError, match="`top_p` is for decode='sample'"):
        make("z_forcing", "categorical").interpolate(*sequences("categorical", 2)[:, None], top_p=0.5)
    for method in (make("rnn").encode, make("rnn").interpolate):
        with pytest.raises(ValueError, match="RNN has no latents"):
            method(x)


def test_forecast_continues_the_prompt():
    rho, a, m, s, sigma = 0.8, 1.5, 0.4, 0.7, 0.5
    model = linear_gaussian(ZForcing, rho, a, m, s, sigma)
    prompt = np.array([[[9.0], [3.0]], [[0.0], [-7.0]]], "float32")
    paths = model.forecast(prompt, horizon=2, num_samples=20_000, seed=2, batch_size=8000)
    assert paths.shape == (20_000, 2, 2, 1)
    one = rho * prompt[:, -1] + a * m
    np.testing.assert_allclose(paths.mean[:, 0], one, atol=0.05)
    np.testing.assert_allclose(paths.mean[:, 1], rho * one + a * m, atol=0.06)


def test_the_state_after_a_prompt_is_that_of_the_posterior():
    """With a posterior that always says z = 2, and a recurrence that adds up its latents."""
    model = linear_gaussian(ZForcing, 0.0, 1.0, 0.0, 1e-3, 1e-3)
    model.cell.bias.assign([20.0, 20.0, 0.0, 20.0])  # the forget gate open: c_t = c_{t-1} + K z_t
    model.cell.posterior.clip = model.cell.clip = None
    model.cell.posterior.linear.bias.assign([2.0, -20.0])
    y = model.generate(4, 6, prompt=np.zeros((1, 3, 1), "float32"), seed=0)
    np.testing.assert_allclose(y[:, 3:], 6.0, atol=0.2)


def test_temperature():
    model = linear_gaussian(ZForcing, 0.0, 0.0, 0.0, 1.0, 0.5)
    for temperature in (1.0, 0.2):
        y = model.generate(20_000, 1, temperature=temperature, seed=0)
        np.testing.assert_allclose(y.std(), 0.5 * temperature, rtol=0.03)


@pytest.mark.parametrize(("name", "output"), PAIRS_HERE)
def test_seed_prompt_and_length(name, output):
    model, prompt = make(name, output), sequences(output, 2, time=3)
    frame = () if output == "categorical" else (FEATURES,)
    a, b, other = (model.generate(2, 5, seed=seed) for seed in (1, 1, 2))
    assert a.shape == (2, 5, *frame)
    np.testing.assert_array_equal(a, b)
    assert (a != other).any()
    assert (model.generate(2, 5) != model.generate(2, 5)).any()
    model.check_data(a)  # what is generated is data
    given = model.generate(2, 5, prompt=prompt, seed=1)
    assert given.shape == (2, 5, *frame) and given.dtype == a.dtype
    np.testing.assert_array_equal(given[:, :3], prompt)
    assert model.generate(3, 5, prompt=prompt[:1]).shape == (3, 5, *frame)
    np.testing.assert_array_equal(model.forecast(prompt, 2, 1, seed=1)[0], given[:, 3:])


def test_the_likeliest_tokens_are_drawn():
    model = make("rnn", "categorical")
    greedy = model.generate(2, 6, seed=0, top_k=1)
    np.testing.assert_array_equal(greedy[0], greedy[1])
    np.testing.assert_array_equal(greedy, model.generate(2, 6, seed=3, top_p=1e-6))
    np.testing.assert_array_equal(greedy, model.generate(2, 6, seed=3, temperature=1e-3))
    assert (model.generate(2, 6, seed=0, top_k=3, top_p=0.9) != greedy).any()
    prompt = sequences("categorical", 2, time=3)
    paths = model.forecast(prompt, 4, 3, seed=0, top_k=1)
    np.testing.assert_array_equal(paths[0], paths[2])
    for arguments, message in (({"top_k": 0}, "top_k"), ({"top_p": 1.5}, "top_p"), ({"top_p": 0}, r"\(0, 1\]")):
        with pytest.raises(ValueError, match=message):
            model.generate(**arguments)
        with pytest.raises(ValueError, match=message):
            model.forecast(prompt, 1, 1, **arguments)
    with pytest.raises(ValueError, match="`top_k` is for tokens"):
        make("rnn").generate(top_k=2)


def test_errors():
    with pytest.raises(ValueError, match="not built"):
        ZForcing(4, 2, "gaussian").generate()
    model, x = make("z_forcing"), sequences(count=2)
    for arguments, name in (
        ({"batch_size": 0}, "batch_size"),
        ({"length": 0}, "length"),
        ({"temperature": 0.0}, "temperature"),
        ({"length": 5, "batch_size": 2, "prompt": x}, "prompt"),
        ({"length": 9, "batch_size": 3, "prompt": x}, "prompt"),
        ({"length": 9, "batch_size": 2, "prompt": x[..., :2]}, "prompt"),
        ({"length": 9, "batch_size": 2, "prompt": x * np.nan}, "prompt"),
        ({"length": 9, "batch_size": 2, "prompt": {"targets": x}}, "prompt"),
    ):
        with pytest.raises(ValueError, match=name):
            model.generate(**arguments)
    for arguments, name in (((x, 0, 1), "horizon"), ((x, 1, 0), "num_samples"), ((x[0], 1, 1), "`prompt`: .*3 axes")):
        with pytest.raises(ValueError, match=name):
            model.forecast(*arguments)
    apart = ZForcing(4, 2, "gaussian", beta=0)
    apart.build({"inputs": (None, None, 5), "targets": (None, None, 2)})
    with pytest.raises(ValueError, match="5 and targets of 2"):
        apart.generate()
