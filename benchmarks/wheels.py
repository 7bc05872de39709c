"""Wheels for a machine that reaches no package index: `python -m benchmarks wheels FOLDER` downloads them.

They are what zf_keras requires, and what that requires. JAX is not among them: with CUDA it is some GB, and machines
with a GPU have it. On such a machine `python -m benchmarks gpu --wheels FOLDER` installs those that are missing there,
without an index, into a folder of its own.
"""

import argparse
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: pip matches each number exactly.
PLATFORMS = tuple(f"manylinux{version}_{{}}" for version in ("_2_28", "_2_27", "_2_26", "_2_17", "2014"))


def requirements():
    """Of zf_keras, as pyproject.toml has them."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def download(folder, python_version, machine):
    """Puts wheels of the requirements, and of theirs, into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--python-version", python_version, "--implementation", "cp"]
    for platform in PLATFORMS:
        command += ["--platform", platform.format(machine)]
    subprocess.run([*command, *requirements()], check=True)


def distribution(name):
    """As packages are compared: of a wheel's name, or of a requirement."""
    for end in "-<>=!~[; ":
        name = name.split(end)[0]
    return name.lower().replace(".", "_")


def missing(folder):
    """The wheels of a folder that this Python has no package of, and those that zf_keras itself requires.

    Raises:
        ValueError: there are no wheels, or several of a package.
    """
    wheels = {}
    for wheel in sorted(Path(folder).glob("*.whl")):
        name = distribution(wheel.name)
        if name in wheels:
            raise ValueError(f"{folder} has two wheels of one package, {wheels[name].name} and {wheel.name}: keep one.")
        wheels[name] = wheel
    if not wheels:
        raise ValueError(f"There are no wheels in {folder}: python -m benchmarks wheels {folder}")
    own = {distribution(each.replace("-", "_")) for each in requirements()} - {"numpy"}
    return [wheel for name, wheel in wheels.items() if name in own or not installed(name)]


def installed(name):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def install(folder, target):
    """Installs the missing wheels of a folder into another, which is to be on the path."""
    wheels = missing(folder)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", str(target), *map(str, wheels)], check=True)
    return [wheel.name for wheel in wheels]


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks wheels", description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python-version", default=here, help=f"of the other machine (default: {here})")
    parser.add_argument("--machine", default="x86_64", help="its processor (default: x86_64)")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    download(args.folder, args.python_version, args.machine)
    wheels = list(args.folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 2**20
    print(f"{len(wheels)} wheels, {size:.0f} MiB, in {args.folder}")
