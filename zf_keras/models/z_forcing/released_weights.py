"""The authors' released checkpoints (PyTorch, speech and text), read into `ZForcing`.

Their names: `emb_mod` the embedding, `bwd_mod` the backward LSTM, `fwd_mod` the forward cell, `gen_mod` the linear
layer between z_t and that cell, `pri_mod`, `inf_mod` and `aux_mod` the networks of prior, posterior and auxiliary,
`fwd_out_mod` and `bwd_out_mod` the outputs.
"""

import numpy as np

from zf_keras.arguments import check_choice
from zf_keras.models.z_forcing.z_forcing import ZForcing


def from_released_weights(arrays, output, auxiliary="z", **kwargs):
    """A `ZForcing` with the weights of a released checkpoint; all sizes are read off them.

    Args:
        arrays: mapping from the names of the PyTorch state_dict to NumPy arrays.
        output: `"gaussian"` or `"categorical"`, as the checkpoint was trained.
        auxiliary: `"z"` or `"zh"`: what its auxiliary network saw. (With `"z"` the released one saw zeros in h's
            place.) Defaults to `"z"`.
        **kwargs: further arguments of `ZForcing`, such as `alpha`, `beta` and `kl_weight`.

    Returns:
        A built `ZForcing`.

    Raises:
        ValueError: unknown `output` or `auxiliary`, or arrays that are missing or do not fit each other.

    Example:

    >>> arrays = np.load("checkpoint.npz")  # np.savez(..., **{k: v.numpy() for k, v in state_dict.items()})
    >>> model = from_released_weights(arrays, output="gaussian", auxiliary="zh")
    """
    check_choice("output", output, ("gaussian", "categorical"))
    check_choice("auxiliary", auxiliary, ("z", "zh"))
    values = keras_weights(arrays, output, auxiliary)
    tokens = output == "categorical"
    latent_dim, latent_units = values["cell/projection/kernel"].shape
    embedding_name = "embedding/embeddings" if tokens else "embedding/kernel"
    features, embedding_dim = values[embedding_name].shape
    model = ZForcing(
        units=len(values["cell/recurrent_kernel"]),
        latent_dim=latent_dim,
        output=output,
        hidden_units=len(values["prior/linear/kernel"]),
        auxiliary=auxiliary,
        latent_units=latent_units,
        embedding_dim=embedding_dim,
        num_classes=features if tokens else None,
        **{"alpha": 1.0, "beta": 1.0, **kwargs},
    )
    model.build((None, None) if tokens else (None, None, features))
    weights = {weight.path.split("/", 1)[1]: weight for weight in model.trainable_weights}
    for path, weight in weights.items():
        if weight.shape != values[path].shape:
            raise ValueError(
                f"The arrays do not fit each other: {path} would be of shape {values[path].shape}, where the others "
                f"make it {weight.shape}."
            )
        weight.assign(values[path])
    return model


def keras_weights(arrays, output, auxiliary):
    """The weights of `ZForcing`, by their path in the model, from the released ones, in which they are linear."""

    def get(name):
        if name not in arrays:
            raise ValueError(f"`arrays` has no {name!r}, which a released checkpoint holds.")
        return np.asarray(arrays[name])

    def linear(path, name):
        # torch.nn.Linear holds (out, in).
        return {f"{path}/kernel": get(f"{name}.weight").T, f"{path}/bias": get(f"{name}.bias")}

    def network(path, name):
        return {**linear(f"{path}/hidden", f"{name}.0"), **linear(f"{path}/linear", f"{name}.2")}

    units, latent_units = get("fwd_mod.weight_hh").shape[0], get("gen_mod.weight").shape[0]
    # The released forward cell reads [z_t, x_t]; ours [x_t, z_t].
    kernel = np.roll(get("fwd_mod.weight_ih"), -latent_units, axis=0)
    values = {
        "backward_encoder/lstm/layer_0/lstm_cell/kernel": get("bwd_mod.weight_ih_l0").T,
        "backward_encoder/lstm/layer_0/lstm_cell/recurrent_kernel": get("bwd_mod.weight_hh_l0").T,
        "backward_encoder/lstm/layer_0/lstm_cell/bias": get("bwd_mod.bias_ih_l0") + get("bwd_mod.bias_hh_l0"),
        "cell/kernel": kernel,
        "cell/recurrent_kernel": get("fwd_mod.weight_hh"),
        "cell/bias": get("fwd_mod.bias_ih") + get("fwd_mod.bias_hh"),
        **linear("cell/projection", "gen_mod"),
        **network("cell/posterior", "inf_mod"),
        **network("prior", "pri_mod"),
        **network("auxiliary_decoder/network", "aux_mod"),
        **linear("head/network/linear", "fwd_out_mod"),
        **linear("backward_head/network/linear", "bwd_out_mod"),
    }
    if output == "categorical":
        values["embedding/embeddings"] = get("emb_mod.0.weight")
    else:
        values.update(linear("embedding", "emb_mod.0"))
    if auxiliary == "z":
        hidden = "auxiliary_decoder/network/hidden/kernel"
        values[hidden] = values[hidden][units:]
    return values
