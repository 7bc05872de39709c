"""Z-Forcing and the deterministic RNN in NumPy, one sequence and one step at a time: an oracle for tests.

Written from the equations (Sordoni et al. 2017, eq. 4-10); it shares no code with `zf_keras`. A sequence is
cut to its length before anything is computed, so that padding cannot matter. Letters are the paper's: h_t and
c_t are the forward state, b_t the backward state, z_t the latent; each is a vector.
"""

import numpy as np


def z_forcing(
    weights,
    inputs,
    targets,
    noise,
    mask=None,
    *,
    output,
    alpha,
    beta,
    free_nats=0.0,
    auxiliary="z",
    auxiliary_cost="gaussian",
    inputs_to_latent=False,
    output_network="linear",
    latent_units=None,
    clip=8.0,
    embedding_dim=None,
    num_components=None,
    num_classes=None,
    start_token=0,
):
    """Terms of the bound for given noise.

    Args:
        weights: dict from path in the model to array.
        inputs: x, (batch, time, features) or (batch, time) of tokens, or `None`: y one step before.
        targets: y, as `inputs`, or `None`: x one step later.
        noise: (batch, time, latent).
        mask: (batch, time), true where valid, padding on the right, or `None`.
        output: name of the density of y_t.
        alpha: number. 0 leaves the auxiliary cost out.
        beta: number. 0 leaves the backward output out.
        free_nats: number. 0 leaves `kl_cost` out.
        auxiliary: as in `ZForcing`, and so are the arguments below.

    Returns:
        Dict of sums over a sequence, arrays (batch,): nll, kl, kl_cost, aux_nll, backward_nll, log_pz,
        log_qz; and of steps, lists of an array (valid steps, ...) for each sequence: h, b, z, means and
        log-variances of prior and posterior, parameters of the output.
    """

    def embed(frame):
        return embedded(weights, frame, embedding_dim, num_classes)

    def clipped(v):
        return v if clip is None else np.clip(v, -clip, clip)

    def gaussian(name, v):
        mean, log_variance = np.split(mlp(weights, name, v), 2)
        return clipped(mean), clipped(log_variance)

    units = weights["cell/recurrent_kernel"].shape[0]
    results = []
    for x, y, eps in cut(inputs, targets, mask, start_token, noise):
        T = len(y)
        r = {}

        # b_t = LSTM_b(y_t, b_{t+1}), b_{T+1} = 0
        b, b_next, c_next = [None] * T, np.zeros(units), np.zeros(units)
        for t in reversed(range(T)):
            b_next, c_next = lstm(weights, "backward_encoder/lstm/lstm_cell", embed(y[t]), b_next, c_next)
            b[t] = b_next

        h, c = np.zeros(units), np.zeros(units)
        for t in range(T):
            x_t = embed(x[t])
            seen = [x_t] if inputs_to_latent else []
            p_mean, p_log_var = gaussian("prior", np.concatenate([h, *seen]))
            q_mean, q_log_var = gaussian("cell/posterior", np.concatenate([h, b[t], *seen]))
            z = q_mean + np.exp(q_log_var / 2) * eps[t]

            kl = gaussian_kl(q_mean, q_log_var, p_mean, p_log_var)
            add(r, "kl", kl)
            if free_nats:
                add(r, "kl_cost", max(free_nats, kl))
            add(r, "log_pz", gaussian_log_prob(z, p_mean, p_log_var))
            add(r, "log_qz", gaussian_log_prob(z, q_mean, q_log_var))

            if alpha > 0:
                params = mlp(weights, "auxiliary_decoder/network", z if auxiliary == "z" else np.append(h, z))
                if auxiliary_cost == "l2":
                    add(r, "aux_nll", np.sum((b[t] - np.tanh(clipped(params))) ** 2))
                else:
                    mean, log_var = np.split(params, 2)
                    add(r, "aux_nll", -gaussian_log_prob(b[t], np.tanh(clipped(mean)), clipped(log_var)))
            if beta > 0:
                params = output_params(weights, "backward_head", b[t], output_network)
                add(r, "backward_nll", -log_prob(output, params, x[t], num_components))

            # h_t = LSTM_f([x_t, z_t], h_{t-1}), and y_t sees h_t alone
            z_seen = z if latent_units is None else dense(weights, "cell/projection", z)
            h, c = lstm(weights, "cell", np.append(x_t, z_seen), h, c)
            params = output_params(weights, "head", h, output_network)
            add(r, "nll", -log_prob(output, params, y[t], num_components))

            step = {"h": h, "b": b[t], "z": z, "output": params}
            step |= {"prior_mean": p_mean, "posterior_mean": q_mean}
            step |= {"prior_log_variance": p_log_var, "posterior_log_variance": q_log_var}
            for name, v in step.items():
                r.setdefault(name, []).append(v)
        results.append(r)
    return collect(results)


def rnn(
    weights,
    inputs,
    targets,
    mask=None,
    *,
    output,
    output_network="mlp",
    embedding_dim=None,
    num_components=None,
    num_classes=None,
    start_token=0,
):
    """Exact negative log-likelihood of the deterministic RNN; arguments and results as for `z_forcing`."""
    units = weights["lstm/lstm_cell/recurrent_kernel"].shape[0]
    results = []
    for x, y in cut(inputs, targets, mask, start_token):
        r, h, c = {}, np.zeros(units), np.zeros(units)
        for t in range(len(y)):
            x_t = embedded(weights, x[t], embedding_dim, num_classes)
            h, c = lstm(weights, "lstm/lstm_cell", x_t, h, c)
            params = output_params(weights, "head", h, output_network)
            add(r, "nll", -log_prob(output, params, y[t], num_components))
            r.setdefault("output", []).append(params)
        results.append(r)
    return collect(results)


# Data and results


def cut(inputs, targets, mask, start_token, *others):
    """The valid steps of x, y and others, sequence by sequence."""
    if targets is None:
        inputs, targets = inputs[:, :-1], inputs[:, 1:]
        mask = None if mask is None else mask[:, 1:]
    elif inputs is None:
        first = np.full_like(targets[:, :1], start_token if targets.ndim == 2 else 0)
        inputs = np.concatenate([first, targets[:, :-1]], axis=1)
    for i in range(len(targets)):
        length = targets.shape[1] if mask is None else np.count_nonzero(mask[i])
        yield tuple(a[i, :length] for a in (inputs, targets, *others))


def add(result, name, nats):
    result[name] = result.get(name, 0.0) + nats


def collect(results):
    """Sums as arrays (batch,), steps as a list of arrays (valid steps, ...)."""
    collected = {}
    for name, first in results[0].items():
        values = [np.array(r[name]) for r in results]
        collected[name] = values if isinstance(first, list) else np.stack(values)
    return collected


# Networks


def dense(weights, name, v):
    return v @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def mlp(weights, name, v):
    """One hidden layer, leaky ReLU of slope 1/3 clipped to +-3, and a linear one."""
    a = dense(weights, f"{name}/hidden", v)
    a = np.where(a > 0, a, a / 3)
    return dense(weights, f"{name}/linear", np.clip(a, -3, 3))


def output_params(weights, name, h, output_network):
    if output_network == "mlp":
        return mlp(weights, f"{name}/network", h)
    return dense(weights, f"{name}/network/linear", h)


def embedded(weights, frame, embedding_dim, num_classes):
    """A frame (features,) or token () as the LSTMs read it."""
    token = np.ndim(frame) == 0
    if embedding_dim is None:
        return np.eye(num_classes)[frame] if token else np.asarray(frame, "float64")
    return weights["embedding/embeddings"][frame] if token else dense(weights, "embedding", frame)


def lstm(weights, name, v, h, c):
    a = v @ weights[f"{name}/kernel"] + h @ weights[f"{name}/recurrent_kernel"] + weights[f"{name}/bias"]
    i, f, g, o = np.split(a, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def sigmoid(a):
    return 0.5 * (1 + np.tanh(a / 2))


# Densities, in nats


def gaussian_log_prob(v, mean, log_variance):
    return -0.5 * np.sum(np.log(2 * np.pi) + log_variance + (v - mean) ** 2 / np.exp(log_variance))


def gaussian_kl(q_mean, q_log_var, p_mean, p_log_var):
    """KL(q || p) of diagonal Gaussians."""
    squares = np.exp(q_log_var) + (q_mean - p_mean) ** 2
    return 0.5 * np.sum(p_log_var - q_log_var + squares / np.exp(p_log_var) - 1)


def log_sum_exp(a):
    return np.max(a) + np.log(np.sum(np.exp(a - np.max(a))))


def log_prob(output, params, frame, num_components):
    """log p(frame), summed over features."""
    if output == "gaussian":
        mean, log_variance = np.split(params, 2)
        return gaussian_log_prob(frame, mean, log_variance)
    if output == "gaussian_mixture":
        K, F = num_components, len(frame)
        logits, means, log_variances = np.split(params, [K, K + K * F])
        joint = np.zeros(K)  # log p(component k, frame), up to log_sum_exp(logits)
        for k in range(K):
            of_k = slice(k * F, (k + 1) * F)
            joint[k] = logits[k] + gaussian_log_prob(frame, means[of_k], log_variances[of_k])
        return log_sum_exp(joint) - log_sum_exp(logits)
    if output == "bernoulli":
        return np.sum(frame * params - np.logaddexp(0, params))
    if output == "categorical":
        return params[frame] - log_sum_exp(params)
    raise ValueError(output)
