"""A plain recipe, a tiny one, and recipes written to files."""

import re

from zoo import recipes

PLAIN = """\
title = "a test"
[data]
dataset = "digits"
frames = "rows"
[model]
class = "STORN"
units = 4
latent_dim = 2
output = "bernoulli"
[optimizer]
class = "Adam"
learning_rate = 0.01
[schedule]
kl_weight = { initial = 0.2, increment = 0.001 }
[training]
epochs = 6
[evaluation]
num_samples = 2
[small]
model.units = 3
training.epochs = 2
"""

TINY = """
title = "tiny"
[data]
dataset = "digits"
frames = "rows"
[model]
class = "RNN"
units = 4
output = "bernoulli"
[optimizer]
class = "Adam"
learning_rate = 0.01
[training]
batch_size = 50
steps_per_epoch = 3
epochs = 3
samples_every = 0
[evaluation]
batch_size = 250
"""


def write(folder, text, **others):
    """A recipe, and others beside it; the path to load it by."""
    for name, other in {"recipe": text, **others}.items():
        (folder / f"{name}.toml").write_text(other)
    return str(folder / "recipe.toml")


def load(folder, text, *settings, small=False, **others):
    return recipes.load(write(folder, text, **others), small, settings)


def without(table):
    """The plain recipe without a table."""
    return re.sub(rf"\[{table}\]\n([^\[]*\n)*", "", PLAIN)


def line_of(text, start):
    return 1 + next(i for i, line in enumerate(text.splitlines()) if line.startswith(start))
