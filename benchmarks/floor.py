"""The arithmetic floor of a training step: its matrix products alone, each as one large product over time and batch.

Of each kernel W (in, out): x W, and the gradients dy W^T and x^T dy. A kernel is counted once a step of the sequence,
also where a model multiplies by it twice, and with the gradient of its input, also where that is data.
"""

import keras
from keras import ops

from zf_keras.compiled import compiled


def kernel_shapes(model):
    """(in, out) of those trainable weights of a built model that are matrices."""
    return [tuple(weight.shape) for weight in model.trainable_weights if len(weight.shape) == 2]


def operations(shapes, size):
    """Multiplications and additions of the products of kernels of these shapes in a training step."""
    rows = size.batch * size.time
    return sum(3 * 2 * rows * inputs * outputs for inputs, outputs in shapes)


class Products(keras.layers.Layer):
    """The three products of a kernel."""

    def __init__(self, shape):
        super().__init__()
        self.kernel = self.add_weight(shape=shape)

    @compiled
    def take(self, x, dy):
        return ops.matmul(x, self.kernel), ops.matmul(dy, ops.transpose(self.kernel)), ops.matmul(ops.transpose(x), dy)


def floor_step(shapes, size):
    """A function that takes all products of a training step, kernel by kernel."""
    rows = size.batch * size.time
    products = [Products(shape) for shape in shapes]
    widths = {width for shape in shapes for width in shape}
    values = {width: keras.random.normal((rows, width), seed=0) for width in widths}

    def step():
        for each in products:
            x, dy = (values[width] for width in each.kernel.shape)
            for result in each.take(x, dy):
                ops.convert_to_numpy(result[0, 0])  # waits for it

    return step
