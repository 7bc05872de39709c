"""Every model in NumPy, one sequence and one step at a time: an oracle for tests.

Written from the equations at the top of the models' files; it shares no code with `zf_keras`. A sequence is cut
to its length before anything is computed, so that padding cannot matter. Letters are the papers': h_t and c_t
are the state of the recurrence, b_t or a_t that of a backward LSTM, z_t the latent; each is a vector. A Gaussian
is a pair, mean and log-variance. Indices start at 0 here: x_1 is x[0].
"""

from dataclasses import dataclass, fields

import numpy as np


def oracle(**defaults):
    """Decorator: from the steps of one sequence to the terms and steps of a batch.

    What is decorated takes `Networks`, x, y and noise of one sequence, and the model's own options; it returns
    a dict for each step: "output" (parameters), "z", "prior" and "posterior" where there is a latent, and "terms"
    of the model's own. `defaults` are options whose default differs from that of `Networks`. What it becomes:

    Args:
        weights: dict from path in the model to array.
        inputs: x, (batch, time, features) or (batch, time) of tokens, or `None`: y one step before.
        targets: y, as `inputs`, or `None`: x one step later.
        noise: (batch, time, noise_dim).
        mask: (batch, time), true where valid, padding on the right, or `None`.
        start_token: as in the model.
        options: fields of `Networks`, and the model's own.

    Returns:
        Terms: dict of sums over a sequence, arrays (batch,). Steps: dict of lists of an array (valid steps, ...) for
        each sequence: output, z, prior, posterior, and log_weight, log p(y_t) + log p(z_t) - log q(z_t).
    """

    def decorate(steps_of):
        def of_batch(weights, inputs, targets, noise, mask, start_token=0, **options):
            own = defaults | options
            net = Networks(weights, **{f.name: own.pop(f.name) for f in fields(Networks) if f.name in own})
            terms, steps = [], []
            for x, y, eps in cut(inputs, targets, noise, mask, start_token):
                of_sequence = steps_of(net, x, y, eps, **own)
                for t, step in enumerate(of_sequence):
                    shared, step["log_weight"] = net.shared_terms(step, y[t:])
                    step["terms"] = step.get("terms", {}) | shared
                terms.append(collect([step.pop("terms") for step in of_sequence], sum))
                steps.append(collect(of_sequence, np.array))
            return collect(terms, np.array), collect(steps, list)

        return of_batch

    return decorate


@oracle()
def rnn(net, x, y, eps):
    return [{"output": net.output_params("head", h)} for h in net.stack("lstm", net.embed(x))]


@oracle()
def storn(net, x, y, eps):
    steps = []
    for r, e in zip(net.stack("recognition", net.embed(y)), eps, strict=True):
        q = net.gaussian("posterior", r)
        z = draw(q, e)
        steps.append({"z": z, "prior": standard_normal(z), "posterior": q})
    x_z = np.concatenate([net.embed(x), [step["z"] for step in steps]], axis=1)
    for step, h in zip(steps, net.stack("lstm", x_z), strict=True):
        step["output"] = net.output_params("head", h)
    return steps


@oracle()
def vrnn(net, x, y, eps, prior="learned"):
    x, y = net.embed(x), net.embed(y)
    features_y = "features_x" if x.shape == y.shape else "features_y"
    steps, states = [], []
    h, c = net.start("cell")
    z = np.zeros(eps.shape[1])
    for x_t, y_t, e in zip(x, y, eps, strict=True):
        h, c = net.lstm("cell", (net.features("features_x", x_t), net.features("features_z", z)), h, c)
        q = net.gaussian("posterior", h, net.features(features_y, y_t))
        z = draw(q, e)
        p = net.gaussian("prior", h) if prior == "learned" else standard_normal(z)
        states.append(h)
        steps.append({"z": z, "prior": p, "posterior": q})
    for step, h in zip(steps, net.upper(states), strict=True):
        step["output"] = net.output_params("head", net.features("features_z", step["z"]), h)
    return steps


@oracle()
def srnn(net, x, y, eps, smoothing=True, residual_posterior=True):
    d = net.stack("lstm", net.embed(x))
    d_y = np.concatenate([d, net.embed(y)], axis=1)
    a = net.backward(d_y) if smoothing else [net.mlp("encoder", v) for v in d_y]
    steps, z = [], np.zeros(eps.shape[1])
    for t in range(len(y)):
        p = net.gaussian("prior", z, d[t])
        mean, log_variance = net.gaussian("posterior", z, a[t])
        q = (p[0] + mean if residual_posterior else mean), log_variance
        z = draw(q, eps[t])
        steps.append({"z": z, "prior": p, "posterior": q, "output": net.output_params("head", z, d[t])})
    return steps


@oracle(output_network="linear")
def z_forcing(
    net,
    x,
    y,
    eps,
    alpha=0.005,
    beta=0.005,
    auxiliary="z",
    auxiliary_cost="gaussian",
    inputs_to_latent=False,
    latent_units=None,
):
    embedded, b = net.embed(x), net.backward(net.embed(y))
    steps, states = [], []
    h, c = net.start("cell")
    for t in range(len(y)):
        seen = [embedded[t]] if inputs_to_latent else []
        p = net.gaussian("prior", h, *seen)
        q = net.gaussian("cell/posterior", h, b[t], *seen)
        z = draw(q, eps[t])

        terms = {}
        if alpha > 0:
            seen = [z] if auxiliary == "z" else [h, z]
            if auxiliary_cost == "l2":
                mean = np.tanh(net.clipped(net.mlp("auxiliary_decoder/network", *seen)))
                terms["aux_nll"] = np.sum((b[t] - mean) ** 2)
            else:
                terms["aux_nll"] = -gaussian_log_prob(b[t], net.decoded("auxiliary_decoder", *seen))
        if beta > 0:
            terms["backward_nll"] = -net.log_prob(net.output_params("backward_head", b[t]), x[t])

        h, c = net.lstm("cell", (embedded[t], z if latent_units is None else net.dense("cell/projection", z)), h, c)
        states.append(h)
        steps.append({"z": z, "prior": p, "posterior": q, "terms": terms})
    for step, h in zip(steps, net.upper(states), strict=True):
        step["output"] = net.output_params("head", h)
    return steps


@oracle()
def variational_bilstm(net, x, y, eps, alpha=1.0, beta=1.0, gamma=0.0, prior="learned"):
    embedded = net.embed(x)
    b = net.backward([embedded[0], *net.embed(y)])
    steps, states, drawn = [], [], []
    h, c = net.start("cell")
    for t in range(len(y)):
        q = net.gaussian("posterior", h, b[t])
        z = draw(q, eps[t, : -len(h)])
        p = net.gaussian("prior", h) if prior == "learned" else standard_normal(z)
        decoded = net.decoded("auxiliary_decoder", z)
        drawn.append(draw(decoded, eps[t, -len(h) :]))

        terms = {"aux_nll": -gaussian_log_prob(b[t], decoded)} if alpha > 0 else {}
        if beta > 0:
            terms["state_nll"] = -gaussian_log_prob(h, net.decoded("state_decoder", z))

        h, c = net.lstm("cell", (embedded[t], z, drawn[t]), h, c)
        if gamma > 0:
            terms["activity"] = np.sum(h**2)
        states.append(h)
        steps.append({"z": z, "prior": p, "posterior": q, "terms": terms})
    for step, h, b_drawn in zip(steps, net.upper(states), drawn, strict=True):
        step["output"] = net.output_params("head", h, b_drawn)
    return steps


# Data and results


def cut(inputs, targets, noise, mask, start_token):
    """The valid steps of x, y and noise, sequence by sequence."""
    if targets is None:
        inputs, targets = inputs[:, :-1], inputs[:, 1:]
        mask = None if mask is None else mask[:, 1:]
    elif inputs is None:
        first = np.full_like(targets[:, :1], start_token if targets.ndim == 2 else 0)
        inputs = np.concatenate([first, targets[:, :-1]], axis=1)
    for i in range(len(targets)):
        length = targets.shape[1] if mask is None else np.count_nonzero(mask[i])
        yield inputs[i, :length], targets[i, :length], noise[i, :length]


def collect(results, gather):
    """From dicts with the same names to one of what `gather` makes of each name's values."""
    return {name: gather([r[name] for r in results]) for name in results[0]}


# Networks


@dataclass
class Networks:
    """Weights by path, and the options that all models share."""

    weights: dict
    output: str
    output_network: str = "mlp"
    embedding_dim: int | None = None
    num_components: int | None = None
    num_classes: int | None = None
    num_layers: int = 1
    clip: float | None = 8.0
    free_nats: float = 0.0
    num_samples: int = 1
    bag_of_words: float = 0.0

    def embed(self, frames):
        """Frames (time, features) or tokens (time,) as the LSTMs read them."""
        if frames.ndim == 2:
            return np.float64(frames) if self.embedding_dim is None else self.dense("embedding", frames)
        return np.eye(self.num_classes)[frames] if self.embedding_dim is None else self["embedding/embeddings"][frames]

    def __getitem__(self, path):
        return self.weights[path]

    def dense(self, name, v):
        return v @ self[f"{name}/kernel"] + self[f"{name}/bias"]

    def features(self, name, v):
        """Leaky ReLU of slope 1/3, clipped to +-3."""
        a = self.dense(name, v)
        return np.clip(np.where(a > 0, a, a / 3), -3, 3)

    def mlp(self, name, *seen):
        return self.dense(f"{name}/linear", self.features(f"{name}/hidden", np.concatenate(seen)))

    def clipped(self, v):
        return v if self.clip is None else np.clip(v, -self.clip, self.clip)

    def gaussian(self, name, *seen):
        mean, log_variance = np.split(self.mlp(name, *seen), 2)
        return self.clipped(mean), self.clipped(log_variance)

    def decoded(self, name, *seen):
        """The Gaussian of an LSTM state."""
        mean, log_variance = self.gaussian(f"{name}/network", *seen)
        return np.tanh(mean), log_variance

    def start(self, name):
        zeros = np.zeros(len(self[f"{name}/recurrent_kernel"]))
        return zeros, zeros

    def lstm(self, name, seen, h, c):
        a = np.concatenate(seen) @ self[f"{name}/kernel"] + h @ self[f"{name}/recurrent_kernel"] + self[f"{name}/bias"]
        i, f, g, o = np.split(a, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def stack(self, name, sequence, num_layers=None):
        """The states of the last of `num_layers` LSTMs, one on the other."""
        for layer in range(self.num_layers if num_layers is None else num_layers):
            cell = f"{name}/layer_{layer}/lstm_cell"
            (h, c), states = self.start(cell), []
            for v in sequence:
                h, c = self.lstm(cell, (v,), h, c)
                states.append(h)
            sequence = states
        return sequence

    def backward(self, sequence):
        """At t, the state that has read the sequence from its end to t."""
        return self.stack("backward_encoder/lstm", sequence[::-1])[::-1]

    def upper(self, states):
        """What the layers above a stochastic recurrence make of its states."""
        return self.stack("upper", states, self.num_layers - 1)

    def output_params(self, name, *seen):
        if self.output_network == "mlp":
            return self.mlp(f"{name}/network", *seen)
        return self.dense(f"{name}/network/linear", np.concatenate(seen))

    def log_prob(self, params, frame):
        """log p(frame), summed over features."""
        if self.output == "gaussian":
            return gaussian_log_prob(frame, np.split(params, 2))
        if self.output == "gaussian_mixture":
            K, F = self.num_components, len(frame)
            logits, means, log_variances = np.split(params, [K, K + K * F])
            components = zip(means.reshape(K, F), log_variances.reshape(K, F), strict=True)
            joint = logits + [gaussian_log_prob(frame, component) for component in components]
            return log_sum_exp(joint) - log_sum_exp(logits)
        if self.output == "bernoulli":
            return np.sum(frame * params - np.logaddexp(0, params))
        if self.output == "categorical":
            return params[frame] - log_sum_exp(params)
        raise ValueError(self.output)

    def shared_terms(self, step, rest):
        """The terms that all models have, and the log-weight; `rest` is y from this step on."""
        log_weight = self.log_prob(step["output"], rest[0])
        terms = {"nll": -log_weight}
        if "z" in step:
            z, p, q = step["z"], step["prior"], step["posterior"]
            ratio = gaussian_log_prob(z, q) - gaussian_log_prob(z, p)
            log_weight -= ratio
            terms["kl"] = gaussian_kl(q, p)
            if self.free_nats:
                terms["kl_cost"] = max(self.free_nats, terms["kl"])
            if self.num_samples > 1:
                terms["sampled_kl"] = ratio
            if self.bag_of_words:
                words = self.mlp("bag_of_words", z)
                terms["bow_nll"] = -np.mean([self.log_prob(words, y) for y in rest])
        return terms, log_weight


def sigmoid(a):
    return 0.5 * (1 + np.tanh(a / 2))


# Densities, in nats


def standard_normal(z):
    return np.zeros_like(z), np.zeros_like(z)


def draw(gaussian, eps):
    mean, log_variance = gaussian
    return mean + np.exp(log_variance / 2) * eps


def gaussian_log_prob(v, gaussian):
    mean, log_variance = gaussian
    return -0.5 * np.sum(np.log(2 * np.pi) + log_variance + (v - mean) ** 2 / np.exp(log_variance))


def gaussian_kl(q, p):
    """KL(q || p)."""
    (q_mean, q_log_variance), (p_mean, p_log_variance) = q, p
    squares = np.exp(q_log_variance) + (q_mean - p_mean) ** 2
    return 0.5 * np.sum(p_log_variance - q_log_variance + squares / np.exp(p_log_variance) - 1)


def log_sum_exp(a):
    return np.max(a) + np.log(np.sum(np.exp(a - np.max(a))))
