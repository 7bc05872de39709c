"""Z-Forcing as a plain PyTorch loop, to compare with where PyTorch is installed; zf_keras itself never needs it.

Sizes, terms and weights of the loss are those of `zf_keras.ZForcing` by default. The backward LSTM is `nn.LSTM`; the
networks of a step run inside a loop in Python, as they do in the released code.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from zf_keras.activations import BOUND, SLOPE

ALPHA, BETA, CLIP = 0.005, 0.005, 8.0


class Gaussian(nn.Module):
    """A network to mean and log-variance."""

    def __init__(self, inputs, hidden, dim):
        super().__init__()
        self.hidden, self.linear = nn.Linear(inputs, hidden), nn.Linear(hidden, 2 * dim)

    def forward(self, *inputs):
        hidden = functional.leaky_relu(self.hidden(torch.cat(inputs, -1)), SLOPE).clamp(-BOUND, BOUND)
        return self.linear(hidden).clamp(-CLIP, CLIP).chunk(2, -1)


def log_normal(x, mean, log_variance):
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean) ** 2 * torch.exp(-log_variance)).sum(-1)


def kl(q_mean, q_log_variance, p_mean, p_log_variance):
    ratio = torch.exp(q_log_variance - p_log_variance) + (q_mean - p_mean) ** 2 * torch.exp(-p_log_variance)
    return 0.5 * (ratio - 1 + p_log_variance - q_log_variance).sum(-1)


class ZForcing(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size, units = size, size.units
        outputs = size.features * (2 if size.output == "gaussian" else 1)
        self.backward_lstm = nn.LSTM(size.features, units, batch_first=True)
        self.cell = nn.LSTMCell(size.features + size.latent, units)
        self.posterior = Gaussian(2 * units, size.hidden, size.latent)
        self.prior = Gaussian(units, size.hidden, size.latent)
        self.auxiliary = Gaussian(size.latent, size.hidden, units)
        self.output, self.backward_output = nn.Linear(units, outputs), nn.Linear(units, outputs)

    def log_prob(self, params, values):
        if self.size.output == "gaussian":
            return log_normal(values, *params.chunk(2, -1))
        return -functional.binary_cross_entropy_with_logits(params, values, reduction="none").sum(-1)

    def forward(self, y):
        """The loss of a batch (batch, time, features), nats a sequence."""
        x = functional.pad(y[:, :-1], (0, 0, 1, 0))
        b = self.backward_lstm(y.flip(1))[0].flip(1)
        h = c = y.new_zeros(len(y), self.size.units)
        states, loss = [], 0
        for t in range(y.shape[1]):
            q, p = self.posterior(h, b[:, t]), self.prior(h)
            z = q[0] + torch.exp(0.5 * q[1]) * torch.randn_like(q[0])
            mean, log_variance = self.auxiliary(z)
            loss = loss + kl(*q, *p) - ALPHA * log_normal(b[:, t].detach(), torch.tanh(mean), log_variance)
            h, c = self.cell(torch.cat([x[:, t], z], -1), (h, c))
            states.append(h)
        log_p = self.log_prob(self.output(torch.stack(states, 1)), y)
        log_p = log_p + BETA * self.log_prob(self.backward_output(b), x)
        return (loss - log_p.sum(1)).mean()


MODELS = {"ZForcing": ZForcing}


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
