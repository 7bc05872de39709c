"""Variational Bi-LSTM (Shabanian et al. 2017)."""

from zf_keras.models.variational_bilstm.variational_bilstm import VariationalBiLSTM
