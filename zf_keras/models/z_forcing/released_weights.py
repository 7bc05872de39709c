"""The authors' released checkpoints (PyTorch, speech and text), read into `ZForcing`.

Their names: `emb_mod` the embedding, `bwd_mod` the backward LSTM, `fwd_mod` the forward cell, `gen_mod` the linear
layer between z_t and that cell, `pri_mod`, `inf_mod` and `aux_mod` the networks of prior, posterior and auxiliary,
`fwd_out_mod` and `bwd_out_mod` the outputs.
"""

import os
import zipfile
from pathlib import Path

import numpy as np

from zf_keras.arguments import check_choice
from zf_keras.extras import optional_import
from zf_keras.models.z_forcing.z_forcing import ZForcing


def from_released_weights(arrays, output, auxiliary="z", **kwargs):
    """A `ZForcing` with the weights of a released checkpoint; all sizes are read off them.

    Args:
        arrays: mapping from the names of the PyTorch state_dict to NumPy arrays, or the path of an `.npz` or
            `.safetensors` file of them. Names may have a prefix, such as `"module."`.
        output: `"gaussian"` or `"categorical"`, as the checkpoint was trained.
        auxiliary: `"z"` or `"zh"`: what its auxiliary network saw. (With `"z"` the released one saw zeros in h's
            place.) Defaults to `"z"`.
        **kwargs: further arguments of `ZForcing`, such as `alpha`, `beta` and `kl_weight`.

    Returns:
        A built `ZForcing`.

    Raises:
        ImportError: safetensors is not installed.
        ValueError: unknown `output` or `auxiliary`, a file that can't be read, or arrays that are missing or do not fit
            each other.

    Example:

    >>> # where torch is: np.savez("checkpoint.npz", **{k: v.numpy() for k, v in state_dict.items()})
    >>> model = from_released_weights("checkpoint.npz", output="gaussian", auxiliary="zh")
    >>> model.save_to_preset("z_forcing_released")
    """
    check_choice("output", output, ("gaussian", "categorical"))
    check_choice("auxiliary", auxiliary, ("z", "zh"))
    if isinstance(arrays, (str, os.PathLike)):
        arrays = read_arrays(arrays)
    values = keras_weights(_without_prefix(arrays), output, auxiliary)
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


def read_arrays(path):
    """The arrays of an `.npz` or `.safetensors` file, by name, in float32; no pickle is read.

    Raises:
        ImportError: safetensors is not installed.
        ValueError: the file is neither, damaged, or holds what is no array of finite numbers.
    """
    suffix = Path(path).suffix
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"`arrays` must be the path of an .npz or a .safetensors file. Received: {path}.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    arrays = _read_npz(path) if suffix == ".npz" else _read_safetensors(path)
    for name, array in arrays.items():
        # bfloat16, of ml_dtypes, is none of NumPy's kinds.
        if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
            raise ValueError(f"{path}: {name} is not an array of real numbers. Received: dtype={array.dtype}.")
        arrays[name] = array.astype("float32")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path}: {name} holds numbers that are not finite.")
    return arrays


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (AttributeError, EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} can't be read as .npz: {error}.") from error


def _read_safetensors(path):
    safetensors = optional_import("safetensors", "presets", "A .safetensors file")
    try:
        return optional_import("safetensors.numpy", "presets", "A .safetensors file").load_file(path)
    except (safetensors.SafetensorError, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        # The last ones where a dtype is not of NumPy.
        raise ValueError(
            f"{path} can't be read as .safetensors: {error!r}. Save it in float32 if that is a dtype."
        ) from error


def _without_prefix(arrays):
    """The arrays without what stands before all their names, such as "module." of torch.nn.DataParallel."""
    prefixes = {name.partition("fwd_mod.")[0] for name in arrays if "fwd_mod.weight_hh" in name}
    if len(prefixes) != 1:
        return arrays
    (prefix,) = prefixes
    return {name.removeprefix(prefix): array for name, array in arrays.items()}


def keras_weights(arrays, output, auxiliary):
    """The weights of `ZForcing`, by their path in the model, from the released ones, in which they are linear."""

    def get(name):
        if name not in arrays:
            raise ValueError(f"`arrays` has no {name!r}, which a released checkpoint holds.")
        array = np.asarray(arrays[name])
        if array.ndim != (1 if "bias" in name else 2):
            raise ValueError(f"`arrays` must hold {name!r} with another number of axes. Received: shape={array.shape}.")
        return array

    def linear(path, name):
        # torch.nn.Linear holds (out, in).
        return {f"{path}/kernel": get(f"{name}.weight").T, f"{path}/bias": get(f"{name}.bias")}

    def network(path, name):
        return {**linear(f"{path}/hidden", f"{name}.0"), **linear(f"{path}/linear", f"{name}.2")}

    if output == "categorical" and "emb_mod.0.bias" in arrays:
        raise ValueError("`arrays` has 'emb_mod.0.bias', as a checkpoint of output='gaussian' has, not 'categorical'.")
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
