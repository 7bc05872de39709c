"""A program: trains models by several devices, and prints what came of it; and the same by one device."""

import json
import sys

import keras
import numpy as np
from keras import ops

from zf_keras import RNN, KLAnnealing, ZForcing
from zf_keras.data.batches import Batches
from zf_keras.models.base import SequenceModel
from zoo.devices import started

#: Thirteen sequences in batches of 5, 5 and 3.
LENGTHS = (4, 2, 5, 3, 3, 5, 1, 2, 4, 5, 1, 3, 2)


def noise_of_rows(self, batch_size, time, generator):
    """Noise (batch_size, time, noise_dim), a function of the number of a row in the whole batch."""
    first = 0
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()  # none where the model is built
        first = context.replica_id_in_sync_group * batch_size if context else 0
    rows = ops.reshape(ops.cast(first + ops.arange(batch_size), "float32"), (-1, 1, 1))
    steps = ops.reshape(ops.cast(ops.arange(time), "float32"), (1, -1, 1))
    return ops.sin(13 * rows + 7 * steps + 3 * ops.arange(self.noise_dim, dtype="float32"))


def models():
    aids = {"kl_weight": KLAnnealing(0.1, 0.05), "num_samples": 2}
    return {"RNN": RNN(4, "gaussian", seed=1), "ZForcing": ZForcing(4, 2, "gaussian", seed=1, **aids)}


def trained(devices, names, updates=4):
    """Metrics of each batch, history and weights by the name of a model, trained by `Devices`."""
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(time, 3)).astype("float32") for time in LENGTHS]
    results = {}
    for name in names:
        with devices.scope():
            model = models()[name]
            # Traced is the small one.
            eagerly = keras.config.backend() == "tensorflow" and name != "RNN"
            model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.5), run_eagerly=eagerly)
        of_batches = []
        log = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, to=of_batches: to.append(dict(logs))
        )
        batches = [Batches(data, 5, shuffle=shuffle, replicas=devices.replicas) for shuffle in (True, False)]
        train, valid = (devices.stream(model, x, training=x.shuffle) for x in batches)
        settings = {"steps_per_epoch": updates, "validation_steps": 3, "shuffle": False, "verbose": 0}
        with devices.fitting():
            history = model.fit(train, validation_data=valid, callbacks=[log], **settings).history
        weights = [ops.convert_to_numpy(weight).tolist() for weight in model.trainable_weights]
        of_batches = [{key: float(value) for key, value in logs.items()} for logs in of_batches]
        results[name] = {"batches": of_batches, "history": history, "weights": weights}
    return results


def seeds(devices):
    """Whether replicas draw different noise, and go on together."""
    with devices.scope():
        model = models()["ZForcing"]
        model.build((None, None, 3))
    drawn = devices.strategy.run(lambda: [model.draw_noise(2, 3, model.seed_generator) for _ in range(2)])
    values = [x.numpy() for of_one in drawn for x in devices.strategy.experimental_local_results(of_one)]
    states = [x.numpy().tolist() for x in devices.strategy.experimental_local_results(model.seed_generator.state.value)]
    return {"draws": len({x.tobytes() for x in values}), "states": states}


def main(count, *names):
    draw_noise, SequenceModel.draw_noise = SequenceModel.draw_noise, noise_of_rows
    with started(int(count)) as devices:
        results = trained(devices, names)
        SequenceModel.draw_noise = draw_noise
        found = seeds(devices) if keras.config.backend() == "tensorflow" else None
    json.dump({"results": results, "seeds": found}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
