"""The deterministic baseline."""

from zf_keras.models.rnn.rnn import RNN
