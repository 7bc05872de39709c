"""The models as plain PyTorch loops, to compare with where PyTorch is installed; zf_keras itself never needs it.

Sizes, terms and weights of the loss are those of zf_keras by default. LSTMs that depend on no latent are `nn.LSTM`; the
networks of a step run inside a loop in Python, as they do in the released code.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from zf_keras.activations import BOUND, SLOPE

ALPHA, BETA, CLIP, SKIP = 0.005, 0.005, 8.0, 0.5


def activation(x):
    return functional.leaky_relu(x, SLOPE).clamp(-BOUND, BOUND)


class Network(nn.Module):
    """One hidden layer, on its inputs side by side."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.hidden, self.linear = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, *inputs):
        return self.linear(activation(self.hidden(torch.cat(inputs, -1))))


class Gaussian(Network):
    """A network to mean and log-variance."""

    def __init__(self, inputs, hidden, dim):
        super().__init__(inputs, hidden, 2 * dim)

    def forward(self, *inputs):
        return super().forward(*inputs).clamp(-CLIP, CLIP).chunk(2, -1)


def draw(mean, log_variance):
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def log_normal(x, mean, log_variance):
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean) ** 2 * torch.exp(-log_variance)).sum(-1)


def kl(q_mean, q_log_variance, p_mean, p_log_variance):
    ratio = torch.exp(q_log_variance - p_log_variance) + (q_mean - p_mean) ** 2 * torch.exp(-p_log_variance)
    return 0.5 * (ratio - 1 + p_log_variance - q_log_variance).sum(-1)


def backwards(lstm, x):
    return lstm(x.flip(1))[0].flip(1)


class Model(nn.Module):
    """`loss(x, y)` is that of each sequence (batch,), nats."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.outputs = size.features * (2 if size.output == "gaussian" else 1)

    def lstm(self, inputs):
        return nn.LSTM(inputs, self.size.units, batch_first=True)

    def gaussian(self, inputs, dim=None):
        return Gaussian(inputs, self.size.hidden, dim or self.size.latent)

    def network(self, inputs):
        return Network(inputs, self.size.hidden, self.outputs)

    def nll(self, params, values):
        """Of each sequence (batch,), of all its steps."""
        if self.size.output == "gaussian":
            return -log_normal(values, *params.chunk(2, -1)).sum(1)
        return functional.binary_cross_entropy_with_logits(params, values, reduction="none").sum((1, 2))

    def zeros(self, y, dim):
        return y.new_zeros(len(y), dim)

    def forward(self, y):
        """The loss of a batch (batch, time, features), nats a sequence."""
        return self.loss(functional.pad(y[:, :-1], (0, 0, 1, 0)), y).mean()


class RNN(Model):
    def __init__(self, size):
        super().__init__(size)
        self.recurrence, self.output = self.lstm(size.features), self.network(size.units)

    def loss(self, x, y):
        return self.nll(self.output(self.recurrence(x)[0]), y)


class STORN(Model):
    def __init__(self, size):
        super().__init__(size)
        self.recognition, self.recurrence = self.lstm(size.features), self.lstm(size.features + size.latent)
        self.posterior, self.output = self.gaussian(size.units), self.network(size.units)

    def loss(self, x, y):
        q = self.posterior(self.recognition(y)[0])
        h = self.recurrence(torch.cat([x, draw(*q)], -1))[0]
        zeros = torch.zeros_like(q[0])
        return self.nll(self.output(h), y) + kl(*q, zeros, zeros).sum(1)


class VRNN(Model):
    def __init__(self, size):
        super().__init__(size)
        self.features, self.features_z = nn.Linear(size.features, size.hidden), nn.Linear(size.latent, size.hidden)
        self.cell = nn.LSTMCell(2 * size.hidden, size.units)
        self.prior, self.posterior = self.gaussian(size.units), self.gaussian(size.units + size.hidden)
        self.output = self.network(size.hidden + size.units)

    def loss(self, x, y):
        h = c = self.zeros(y, self.size.units)
        of_z, seen, loss = activation(self.features_z(self.zeros(y, self.size.latent))), [], 0
        for t in range(y.shape[1]):
            h, c = self.cell(torch.cat([activation(self.features(x[:, t])), of_z], -1), (h, c))
            p, q = self.prior(h), self.posterior(h, activation(self.features(y[:, t])))
            of_z = activation(self.features_z(draw(*q)))
            loss = loss + kl(*q, *p)
            seen.append(torch.cat([of_z, h], -1))
        return loss + self.nll(self.output(torch.stack(seen, 1)), y)


class SRNN(Model):
    def __init__(self, size):
        super().__init__(size)
        self.recurrence, self.backward_lstm = self.lstm(size.features), self.lstm(size.units + size.features)
        self.prior, self.posterior = (self.gaussian(size.latent + size.units) for _ in range(2))
        self.output = self.network(size.latent + size.units)

    def loss(self, x, y):
        d = self.recurrence(x)[0]
        a = backwards(self.backward_lstm, torch.cat([d, y], -1))
        z, seen, loss = self.zeros(y, self.size.latent), [], 0
        for t in range(y.shape[1]):
            p, (residual, log_variance) = self.prior(z, d[:, t]), self.posterior(z, a[:, t])
            q = p[0] + residual, log_variance
            z = draw(*q)
            loss = loss + kl(*q, *p)
            seen.append(torch.cat([z, d[:, t]], -1))
        return loss + self.nll(self.output(torch.stack(seen, 1)), y)


class ZForcing(Model):
    def __init__(self, size):
        super().__init__(size)
        self.backward_lstm = self.lstm(size.features)
        self.cell = nn.LSTMCell(size.features + size.latent, size.units)
        self.prior, self.posterior = self.gaussian(size.units), self.gaussian(2 * size.units)
        self.auxiliary = self.gaussian(size.latent, size.units)
        self.output, self.backward_output = (nn.Linear(size.units, self.outputs) for _ in range(2))

    def loss(self, x, y):
        b = backwards(self.backward_lstm, y)
        h = c = self.zeros(y, self.size.units)
        states, loss = [], 0
        for t in range(y.shape[1]):
            q, p = self.posterior(h, b[:, t]), self.prior(h)
            z = draw(*q)
            mean, log_variance = self.auxiliary(z)
            loss = loss + kl(*q, *p) - ALPHA * log_normal(b[:, t].detach(), torch.tanh(mean), log_variance)
            h, c = self.cell(torch.cat([x[:, t], z], -1), (h, c))
            states.append(h)
        return loss + self.nll(self.output(torch.stack(states, 1)), y) + BETA * self.nll(self.backward_output(b), x)


class VariationalBiLSTM(Model):
    def __init__(self, size):
        super().__init__(size)
        units = size.units
        self.backward_lstm = self.lstm(size.features)
        self.cell = nn.LSTMCell(size.features + size.latent + units, units)
        self.prior, self.posterior = self.gaussian(units), self.gaussian(2 * units)
        self.auxiliary, self.state_decoder = (self.gaussian(size.latent, units) for _ in range(2))
        self.output = self.network(2 * units)

    def loss(self, x, y):
        b = backwards(self.backward_lstm, torch.cat([x[:, :1], y], 1))
        h = c = self.zeros(y, self.size.units)
        skip = torch.rand(*y.shape[:2], 1, device=y.device) < SKIP
        seen, loss = [], 0
        for t in range(y.shape[1]):
            read_h, read_b = (torch.where(skip[:, t], state.detach(), state) for state in (h, b[:, t]))
            p, q = self.prior(read_h), self.posterior(read_h, read_b)
            z = draw(*q)
            mean, log_variance = self.auxiliary(z)
            drawn = draw(torch.tanh(mean), log_variance)
            loss = loss + kl(*q, *p) - ALPHA * log_normal(b[:, t], torch.tanh(mean), log_variance)
            mean, log_variance = self.state_decoder(z)
            loss = loss - BETA * log_normal(h, torch.tanh(mean), log_variance)
            h, c = self.cell(torch.cat([x[:, t], z, drawn], -1), (h, c))
            seen.append(torch.cat([h, drawn], -1))
        return loss + self.nll(self.output(torch.stack(seen, 1)), y)


MODELS = {cls.__name__: cls for cls in (RNN, STORN, VRNN, SRNN, ZForcing, VariationalBiLSTM)}


def device():
    return "cuda" if torch.cuda.is_available() else "cpu"


def train_step(name, frames, size, graph=False):
    """A function that takes one step, by Adam, and returns the loss; on a GPU also by replaying a CUDA graph."""
    model, y = MODELS[name](size).to(device()), torch.from_numpy(frames).to(device())
    optimizer = torch.optim.Adam(model.parameters(), capturable=graph)

    def step():
        optimizer.zero_grad()
        loss = model(y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    take = captured(step) if graph else step
    return lambda: take().item()  # waits for it


def captured(step, warm_up=3):
    """A step as a CUDA graph, which has to have run before on a stream beside the default one."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(warm_up):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss

    return replay
