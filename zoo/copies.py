"""A callback that uses its model, called with a copy of the model that several devices train."""

import keras
from keras import ops


class OfCopy(keras.callbacks.Callback):
    """Calls another callback with a copy of the model on one device: this process may compute with it by itself.

    Args:
        callback: `keras.callbacks.Callback`, which needs no single batches.
        devices: `Devices`, which train the model.
    """

    def __init__(self, callback, devices):
        super().__init__()
        self.callback = callback
        self.devices = devices
        self.copy = None

    def set_params(self, params):
        super().set_params(params)
        self.callback.set_params(params)

    def on_train_begin(self, logs=None):
        self._call("on_train_begin", logs)

    def on_epoch_end(self, epoch, logs=None):
        self._call("on_epoch_end", epoch, logs)

    def on_train_end(self, logs=None):
        self._call("on_train_end", logs)

    def _call(self, name, *arguments):
        with self.devices.one():
            if self.copy is None:
                self.copy = _copy(self.model)
                self.callback.set_model(self.copy)
            pairs = [*zip(self.copy.weights, self.model.weights, strict=True)]
            for own, trained in [*pairs, (self.copy.optimizer.iterations, self.model.optimizer.iterations)]:
                own.assign(ops.convert_to_numpy(trained))
            getattr(self.callback, name)(*arguments)


def _copy(model):
    copy = type(model).from_config(model.get_config())
    copy.compile(type(model.optimizer).from_config(model.optimizer.get_config()))
    copy.build_from_config(model.get_build_config())
    return copy
