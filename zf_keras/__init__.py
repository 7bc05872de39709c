"""Stochastic recurrent networks for sequences, in Keras 3."""

from zf_keras import _backend  # isort: skip  (first: a clear error before anything else is imported)
from zf_keras import datasets, pictures, presets
from zf_keras.callbacks import ElboStopping
from zf_keras.cells.stochastic_lstm import StochasticLSTMCell
from zf_keras.heads import DistributionHead
from zf_keras.heads.bernoulli import BernoulliHead
from zf_keras.heads.beta import BetaHead
from zf_keras.heads.categorical import CategoricalHead
from zf_keras.heads.gaussian import GaussianHead
from zf_keras.heads.gaussian_mixture import GaussianMixtureHead
from zf_keras.heads.log_normal import LogNormalHead
from zf_keras.heads.logistic_mixture import LogisticMixtureHead
from zf_keras.heads.mixed import MixedHead
from zf_keras.heads.negative_binomial import NegativeBinomialHead
from zf_keras.heads.poisson import PoissonHead
from zf_keras.heads.student_t import StudentTHead
from zf_keras.heads.truncated_gaussian import TruncatedGaussianHead
from zf_keras.heads.zero_inflated import ZeroInflatedHead
from zf_keras.inference import diagnostics
from zf_keras.inference.board import TensorBoardSamples
from zf_keras.inference.forecasts import Forecast
from zf_keras.layers.auxiliary_decoder import AuxiliaryDecoder
from zf_keras.layers.backward_encoder import BackwardEncoder
from zf_keras.layers.scaling import Scaling
from zf_keras.models.base import SequenceModel
from zf_keras.models.rnn.rnn import RNN
from zf_keras.models.srnn.srnn import SRNN
from zf_keras.models.storn.storn import STORN
from zf_keras.models.variational_bilstm.variational_bilstm import VariationalBiLSTM
from zf_keras.models.vrnn.vrnn import VRNN
from zf_keras.models.z_forcing.z_forcing import ZForcing
from zf_keras.schedules import DividedAfter, KLAnnealing
from zf_keras.version import __version__
