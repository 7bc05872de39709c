"""MNIST in its file format, its binarisations, the fixed binarisation, and the picture of samples."""

import gzip
import struct

import numpy as np
import pytest
from matplotlib import image

from zf_keras.datasets import Batches, binarized_mnist, fashion_mnist, mnist
from zf_keras.datasets.images import measures, write_samples

RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.integers(0, 256, size=(12, 28, 28), dtype="uint8"), RNG.integers(0, 256, (3, 28, 28), dtype="uint8")
BITS = {split: RNG.integers(0, 2, size=(count, 784), dtype="uint8") for split, count in (("train", 4), ("valid", 2))}
BITS["test"] = 1 - BITS["train"][:1]


def idx(images, magic=0x00000803):
    return struct.pack(">4I", magic, *images.shape) + images.tobytes()


def write_idx(folder, train=None, test=None, compressed=True):
    folder.mkdir(exist_ok=True)
    for name, data in (("train", train or idx(TRAIN)), ("t10k", test or idx(TEST))):
        path = folder / f"{name}-images-idx3-ubyte{'.gz' if compressed else ''}"
        path.write_bytes(gzip.compress(data) if compressed else data)
    return folder


def prepared(folder, **kwargs):
    """The folder in which the images of `TRAIN` and `TEST` are prepared."""
    mnist.prepare(write_idx(folder / "in"), folder / "out", valid=4, verbose=False, **kwargs)
    return folder / "out"


def stack(part):
    return np.stack([part[i] for i in range(len(part))])


# Files


@pytest.mark.parametrize("compressed", [True, False])
def test_idx(tmp_path, compressed):
    for module in (mnist, fashion_mnist):
        out = tmp_path / module.__name__
        manifest = module.prepare(write_idx(tmp_path / "in", None, None, compressed), out, valid=4, verbose=False)
        assert manifest["frame"] == {"shape": [28], "dtype": "uint8"}
        splits = module.load_data(out, binarization="threshold", frames="rows", verify=True)
        for part, expected in zip(splits, (TRAIN[:8], TRAIN[8:], TEST), strict=True):
            np.testing.assert_array_equal(stack(part), expected >= 128)
    with pytest.raises(ValueError, match="the data set 'fashion_mnist', not 'mnist'"):
        mnist.load_data(out)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(TEST)[:-1], "truncated: it ends in image 2 of 3"),
        (idx(TEST)[:16], "truncated: it ends in image 0 of 3"),
        (idx(TEST)[:10], "starts with 16 bytes, this one has 10"),
        (idx(TEST, magic=0x00000D03), "0x00000803, this one with 0x00000d03"),
        (struct.pack(">2I", 0x00000801, 10) + bytes(10), "0x00000803, this one with 0x00000801"),  # labels
        (idx(TEST) + b"\0", "more data than the 3 images"),
        (idx(TEST[:0]), r"no images: shape \(0, 28, 28\)"),
        (b"an image", "16 bytes, this one has 8"),
    ],
)
def test_wrong_idx(tmp_path, content, message):
    for i, compressed in enumerate((True, False)):
        with pytest.raises(ValueError, match=message):
            mnist.prepare(
                write_idx(tmp_path / f"test{i}", None, content, compressed), tmp_path / f"out{i}", 4, verbose=False
            )
        assert not (tmp_path / f"out{i}" / "manifest.json").exists()


@pytest.mark.parametrize("content", [idx(TRAIN)[:-1], idx(TRAIN)[:10], idx(TRAIN, 0x00000801)])
def test_wrong_training_images(tmp_path, content):
    with pytest.raises(ValueError, match=r"truncated|16 bytes|0x00000801"):
        mnist.prepare(write_idx(tmp_path / "in", train=content), tmp_path / "out", valid=4, verbose=False)


def test_trailing_data_of_the_training_images(tmp_path):
    with pytest.raises(ValueError, match="more data than the 12 images"):
        mnist.prepare(write_idx(tmp_path / "in", train=idx(TRAIN) + b"\0"), tmp_path / "out", 4, verbose=False)


def test_a_gzip_file_that_is_cut(tmp_path):
    folder = write_idx(tmp_path / "in")
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz: truncated"):
        mnist.prepare(folder, tmp_path / "out", valid=4, verbose=False)
    assert not (tmp_path / "out" / "manifest.json").exists()
    write_idx(tmp_path / "in")
    mnist.prepare(folder, tmp_path / "out", valid=4, verbose=False)  # mended, it goes on
    assert len(mnist.load_data(tmp_path / "out").test) == 3


def test_images_that_are_left_out_are_counted(tmp_path):
    """Where the test file breaks off, none of it is used."""
    folder = write_idx(tmp_path / "in", test=idx(TEST)[:-1])
    with pytest.raises(ValueError, match="sources of 'test' hold no sequence"):
        mnist.prepare(folder, tmp_path / "out", valid=4, verbose=False, on_error="skip")


def test_valid_and_missing_files(tmp_path):
    folder = write_idx(tmp_path / "in")
    for valid, message in (
        (12, "less than the 12 training images. Received: valid=12"),
        (13, "valid=13"),
        (0, "positive integer"),
    ):
        with pytest.raises(ValueError, match=message):
            mnist.prepare(folder, tmp_path / "out", valid=valid, verbose=False)
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no t10k-images-idx3-ubyte\.gz or t10k-images-idx3-ubyte"):
        mnist.prepare(folder, tmp_path / "out", valid=4, verbose=False)


# Binarisation


def draws(sequences, passes, shuffle=True):
    """Each image in each pass: (passes, images, 784), in the order of the images."""
    batches = Batches(sequences, 3, shuffle=shuffle, seed=5)
    found = np.empty((passes, len(sequences), 784))
    for number in range(passes):
        order = batches.order(number)
        for position, indices in enumerate(order):
            found[number, indices] = batches[number * len(batches) + position]["targets"][..., 0]
    return found


def test_stochastic_binarisation(tmp_path):
    splits = mnist.load_data(prepared(tmp_path))
    anew = draws(splits.train, 200)
    assert set(np.unique(anew)) == {0, 1}
    differ = (anew[0] != anew[1]).mean(axis=1)
    assert (differ > 0.2).all()  # each image, and two thirds of p (1 - p) in general
    # Each grey level is a probability: 200 draws of a mean p are within five standard deviations.
    p = TRAIN[:8].reshape(8, 784) / 255
    error = (anew.mean(axis=0) - p) / np.sqrt(np.maximum(p * (1 - p), 1e-3) / 200)
    assert np.abs(error).max() < 5.5 and abs(error.mean()) < 0.06
    np.testing.assert_array_equal(draws(splits.train, 2), anew[:2])  # of the seed, not of the moment
    fixed = draws(splits.train, 3, shuffle=False)
    assert (fixed == fixed[0]).all()  # to evaluate on
    np.testing.assert_array_equal(fixed[0], stack(splits.train)[..., 0])
    for part in splits[1:]:
        found = draws(part, 3)
        assert (found == found[0]).all()
        np.testing.assert_array_equal(found[0], stack(part)[..., 0])


def test_static_binarisation(tmp_path):
    out = prepared(tmp_path)
    splits, again = (mnist.load_data(out, binarization="static") for _ in range(2))
    for part, other, grey in zip(splits, again, (TRAIN[:8], TRAIN[8:], TEST), strict=True):
        found = draws(part, 2)
        assert (found == found[0]).all()
        np.testing.assert_array_equal(stack(part), stack(other))
        assert abs(stack(part).mean() - grey.mean() / 255) < 0.03
        assert (stack(part)[..., 0] != (grey.reshape(-1, 784) >= 128)).any()
    assert (splits.train[0] != splits.train[1]).mean() > 0.3  # no draw in common


def test_black_and_white_are_certain(tmp_path):
    images = np.zeros((3, 28, 28), "uint8")
    images[:, ::3] = 255
    folder = write_idx(tmp_path / "in", idx(images), idx(images))
    mnist.prepare(folder, tmp_path / "out", valid=1, verbose=False)
    for binarization in ("stochastic", "static", "threshold"):
        splits = mnist.load_data(tmp_path / "out", binarization, frames="rows")
        batch = Batches(splits.train, 2, shuffle=True)[7]["targets"]
        np.testing.assert_array_equal(batch, images[:2] / 255)
        np.testing.assert_array_equal(stack(splits.test), images / 255)


def test_threshold(tmp_path):
    levels = np.full((3, 28, 28), 127, "uint8")
    levels[:, 0, 5] = 128
    folder = write_idx(tmp_path / "in", idx(levels), idx(levels))
    mnist.prepare(folder, tmp_path / "out", valid=1, verbose=False)
    found = mnist.load_data(tmp_path / "out", "threshold").test[0]
    assert np.argwhere(found).tolist() == [[5, 0]] and found.dtype == "float32"


def test_rows_and_pixels_are_the_same_images(tmp_path):
    out = prepared(tmp_path)
    for binarization in ("static", "threshold", "stochastic"):
        pixels, rows = (mnist.load_data(out, binarization, frames) for frames in ("pixels", "rows"))
        for a, b in zip(pixels, rows, strict=True):
            assert a[0].shape == (784, 1) and b[0].shape == (28, 28)
            np.testing.assert_array_equal(stack(a).reshape(-1, 28, 28), stack(b))
            assert a.lengths.tolist() == [784] * len(a) and b.lengths.tolist() == [28] * len(b)
    a, b = (Batches(splits.train, 8, shuffle=True)[3]["targets"] for splits in (pixels, rows))
    np.testing.assert_array_equal(a.reshape(-1, 28, 28), b)
    for arguments, message in (({"frames": "columns"}, "'columns'"), ({"binarization": "none"}, "'none'")):
        with pytest.raises(ValueError, match=message):
            mnist.load_data(out, **arguments)


# The fixed binarisation


def write_amat(folder, bits=BITS, newline="\n"):
    folder.mkdir(exist_ok=True)
    for split, images in bits.items():
        lines = [" ".join(map(str, row)) + newline for row in images]
        (folder / f"binarized_mnist_{split}.amat").write_bytes("".join(lines).encode())
    return folder


def test_amat_and_npz_are_equal(tmp_path):
    sources = {"amat": write_amat(tmp_path / "amat"), "crlf": write_amat(tmp_path / "crlf", newline=" \r\n")}
    packed = {split: np.packbits(bits, axis=-1) for split, bits in BITS.items()}
    for name, arrays in (("packed", packed), ("plain", BITS), ("bool", {s: b.astype(bool) for s, b in BITS.items()})):
        sources[name] = tmp_path / name
        sources[name].mkdir()
        np.savez_compressed(sources[name] / "binarized_mnist.npz", **arrays)
    for name, source in sources.items():
        binarized_mnist.prepare(source, tmp_path / "out" / name, verbose=False)
        pixels, rows = (binarized_mnist.load_data(tmp_path / "out" / name, f, verify=True) for f in ("pixels", "rows"))
        for split, bits in BITS.items():
            found = stack(getattr(pixels, split))
            assert found.dtype == "float32"
            np.testing.assert_array_equal(found[..., 0], bits)
            np.testing.assert_array_equal(stack(getattr(rows, split)), bits.reshape(-1, 28, 28))


def test_wrong_amat(tmp_path):
    good = b" ".join([b"0"] * 784)
    for i, line in enumerate((good[:-2], good + b" 1", good[:-1] + b"2", b"", good[:-1] + b"0.5", b"<html>")):
        folder = write_amat(tmp_path / f"{i}")
        (folder / "binarized_mnist_valid.amat").write_bytes(b"\n".join([good, good, line, good]))
        with pytest.raises(
            ValueError, match=r"binarized_mnist_valid\.amat, valid: line 3 is not of 784 numbers 0 or 1"
        ):
            binarized_mnist.prepare(folder, tmp_path / f"out{i}", verbose=False)
    (folder / "binarized_mnist_valid.amat").unlink()
    with pytest.raises(FileNotFoundError, match=r"binarized_mnist_valid\.amat"):
        binarized_mnist.prepare(folder, tmp_path / "out", verbose=False)


def test_wrong_npz(tmp_path):
    path = tmp_path / "binarized_mnist.npz"
    for arrays, message in (
        ({"train": BITS["train"], "test": BITS["test"]}, r"no array 'valid' but \['test', 'train'\]"),
        (BITS | {"valid": BITS["valid"][:, :783]}, r"'valid' must be .*shape=\(2, 783\)"),
        (BITS | {"valid": BITS["valid"] + 1}, "'valid' must be"),
        (BITS | {"valid": np.array([None])}, "allow_pickle"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=message):
            binarized_mnist.prepare(tmp_path, tmp_path / message[:5], verbose=False)
    np.savez(path, **BITS)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"not a whole \.npz file"):
        binarized_mnist.prepare(tmp_path, tmp_path / "cut", verbose=False)
    path.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    with pytest.raises(ValueError, match=r"not a whole \.npz file: Bad CRC"):
        binarized_mnist.prepare(tmp_path, tmp_path / "damaged", verbose=False)


# Measures and samples


def test_measures():
    # A fair coin for each pixel has one bit a pixel.
    nats = np.full(5, -784 * np.log(2))
    for shape in ((5, 784, 1), (5, 28, 28)):
        assert measures(nats, np.zeros(shape)) == {"bits a pixel": pytest.approx(1.0)}
    assert measures(np.array([-10.0, -30.0]), np.zeros((2, 4, 1))) == {"bits a pixel": pytest.approx(5 / np.log(2))}


@pytest.mark.parametrize("frames", ["pixels", "rows"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_picture_of_samples(tmp_path, frames, count):
    samples = RNG.integers(0, 2, size=(count, 28, 28)).astype("float32")
    (path,) = write_samples(samples.reshape(count, 784, 1) if frames == "pixels" else samples, tmp_path, manifest=None)
    assert path == tmp_path / "samples.png"
    picture = image.imread(path)[..., :3]
    columns = {1: 1, 3: 2, 4: 2}[count]
    assert picture.shape == (columns * 120, columns * 120, 3)
    small = picture[::4, ::4]
    np.testing.assert_array_equal(small.repeat(4, 0).repeat(4, 1), picture)  # a pixel is a square of 4 by 4
    assert (small == small[..., :1]).all()  # grey
    for i, sample in enumerate(samples):
        row, column = divmod(i, columns)
        tile = small[30 * row : 30 * row + 30, 30 * column : 30 * column + 30, 0]
        np.testing.assert_array_equal(tile[1:-1, 1:-1], sample)
        np.testing.assert_allclose([tile[0], tile[-1], tile[:, 0], tile[:, -1]], 0.3, atol=0.01)
    if count == 3:
        np.testing.assert_allclose(small[30:, 30:], 0.3, atol=0.01)  # there is no fourth


def test_a_picture_is_square(tmp_path):
    with pytest.raises(ValueError, match=r"`length` must give square pictures\. Received: 1 steps, 8 pixels"):
        write_samples(np.zeros((2, 1, 8)), tmp_path, manifest=None)
    assert not list(tmp_path.iterdir())
