"""`python -m benchmarks gpu`: its plan, its time, its parts on the CPU without TensorFlow, and its wheels."""

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import __main__, gpu, gpu_plan, gpu_run, training_step, wheels
from benchmarks.gpu_plan import PLAN, Part

ON_JAX = pytest.mark.skipif(keras.config.backend() != "jax", reason="about JAX")
#: Parts for `run_part`: what each does after it wrote a row.
PROGRAMS = {
    "late": "import time; time.sleep(60)",
    "cut": "print('{', end='', file=rows, flush=True); import time; time.sleep(60)",
    "good": "",
    "failing": "raise ValueError('so it is')",
}


@pytest.fixture
def programs(monkeypatch):
    """Parts run these programs instead of those of `gpu_parts`."""

    def finish(command, allowed, environment, log):
        *_, function, arguments, file = command
        code = f"rows = open({file!r}, 'a'); print({arguments!r}, file=rows, flush=True); {PROGRAMS[function]}"
        return real([sys.executable, "-I", "-S", "-c", code], allowed, environment, log)

    real = gpu_run.finish
    monkeypatch.setattr(gpu_run, "finish", finish)


def test_each_part_of_the_plan_has_what_it_needs():
    functions = (Path(gpu_plan.__file__).parent / "gpu_parts.py").read_text()
    assert len({part.name for part in PLAN}) == len(PLAN)
    for part in PLAN:
        assert f"\ndef {part.function}(" in functions
        for size in (part.arguments.get("size"), *part.arguments.get("sizes", ())):
            assert size is None or size in training_step.ALL_SIZES
    measured = [part.arguments["size"] for part in PLAN if part.function == "steps" and not part.environment]
    assert set(measured) == {"A", "B", *training_step.PAPERS}
    units = {name: size.units for name, size in training_step.PAPERS.items()}
    assert units == {"TIMIT": 1024, "Blizzard": 2048, "MNIST": 1024}


def test_a_part_gets_its_share_of_what_remains():
    parts = [Part("a", "f", 1), Part("b", "f", 2), Part("c", "f", 1)]
    assert gpu_plan.limit(parts[0], 80, parts[1:]) == 20
    assert gpu_plan.limit(parts[1], 72, parts[2:]) == 48  # the first took 8 alone
    assert gpu_plan.limit(parts[2], 24, []) == 24


def test_a_part_that_fails_or_is_late_keeps_its_rows(programs):
    written = []
    plan = [
        Part(name, name, share, {"n": i}) for i, (name, share) in enumerate(zip(PROGRAMS, (1, 1, 5, 5), strict=True))
    ]
    results = gpu_run.run_plan(plan, 12, {}, {"tiny": True}, lambda results: written.append(len(results)))
    assert [each["status"] for each in results] == ["out of time", "out of time", "done", "failed"]
    assert [each["rows"] for each in results] == [[{"n": i, "tiny": True}] for i in range(4)]
    assert "so it is" in results[3]["error"] and written == [1, 2, 3, 4]
    assert [gpu.is_bad(each) for each in results] == [False, False, False, True]


def test_without_the_machine_nothing_else_runs(monkeypatch):
    monkeypatch.setattr(gpu_run, "finish", lambda *_: _[-1].write_text("no GPU") and gpu_run.FAILED)
    (result,) = gpu_run.run_plan(PLAN, 60, {}, {}, lambda _: None)
    assert (result["part"], result["status"], result["error"]) == ("machine", "failed", "no GPU")


def test_a_process_of_a_part_is_ended_with_its_children(tmp_path):
    sleep = f"import time; open({str(tmp_path / 'alive')!r}, 'w').close(); time.sleep(3); open('{tmp_path}/late', 'w')"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleep!r}])"
    assert gpu_run.finish([sys.executable, "-c", code], 1, {}, tmp_path / "log") == "out of time"
    time.sleep(3)
    assert (tmp_path / "alive").exists() and not (tmp_path / "late").exists()


def test_flags_of_a_part(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a=1")
    part = next(part for part in PLAN if part.name == "command buffers on")
    found = gpu_run.merged(gpu.of_processes("cuda", "packages"), part.environment)
    assert (
        found["XLA_FLAGS"].startswith("--a=1 --xla_gpu_enable_command_buffer=FUSION,") and "WHILE" in found["XLA_FLAGS"]
    )
    assert (found["KERAS_BACKEND"], found["JAX_PLATFORMS"]) == ("jax", "cuda,cpu")
    assert found["PYTHONPATH"].split(":")[0] == "packages"


PARTS = """
import json, sys
from benchmarks import gpu_parts
from benchmarks.gpu_plan import PLAN
for part in {part.function: part for part in PLAN}.values():
    arguments = json.dumps({**part.arguments, "tiny": True, "repeats": 1})
    gpu_parts.main([part.function, arguments, f"{sys.argv[1]}/{part.function}"])
"""


@ON_JAX
@pytest.mark.usefixtures("lean_children")
def test_each_function_runs_on_the_cpu_without_tensorflow(tmp_path):
    run = subprocess.run([sys.executable, "-c", PARTS, str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    functions = {part.function for part in PLAN}
    rows = {name: [json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in functions}
    assert rows["machine"][0]["platform"] == "cpu"
    assert [(row["precision"], row["agrees"]) for row in rows["correctness"]] == [
        ("float32", True),
        ("mixed_bfloat16", True),
    ]
    (step,) = rows["steps"]
    assert step["ratio"] == pytest.approx(step["step_seconds"] / step["plain_seconds"]) and step["model"] == "RNN"
    assert [row["calls_cudnn"] for row in rows["cudnn"]] == [False, False]
    (epoch,) = rows["epoch"]
    assert epoch["scaled"] and epoch["updates_of_an_epoch"] == 25_000 and "synthetic" in epoch["data"]
    assert epoch["epoch_seconds"] == pytest.approx(epoch["seconds"] / epoch["updates"] * 25_000)
    for name, given in rows.items():
        for row in given:
            shown = {"skipped"} if "skipped" in row else set(gpu.COLUMNS.get(name, ())) - {"note"}
            assert shown <= row.keys()


@ON_JAX
@pytest.mark.usefixtures("lean_children")
def test_the_command(tmp_path, capsys):
    output = tmp_path / "gpu.json"
    arguments = ["gpu", "--tiny", "--platform", "cpu", "--parts", "machine", "--output", str(output)]
    assert __main__.main(arguments) == 0
    document = json.loads(output.read_text())
    (machine,) = document["parts"]
    assert machine["rows"][0]["platform"] == "cpu" and machine["status"] == "done"
    assert document["command"].startswith("python -m benchmarks gpu --tiny")
    assert 8 * 60 - 5 < machine["limit_seconds"] <= 8 * 60
    assert "machine: done" in capsys.readouterr().out


@ON_JAX
def test_agreement(monkeypatch):
    from benchmarks import agreement

    rng = np.random.default_rng(0)
    right = {"nll": rng.normal(size=4), "kl": rng.normal(size=4)}, {"w": rng.normal(size=(3, 4)), "b": np.zeros(4)}
    wrong = {}  # by kind and name, what is added to it

    def values(name, precision):
        return tuple({n: x + wrong.get(n, 0.0) for n, x in of.items()} for of in right)

    monkeypatch.setattr(agreement, "in_new_process", lambda *_, environment: {"RNN": right})
    monkeypatch.setattr(agreement, "values", values)
    found = []
    for wrong in ({}, {"w": 1e-3}, {"b": 0.1}, {"kl": 0.5 * right[0]["kl"]}, {"w": np.nan}):  # noqa: B007, read in `values`
        rows = list(agreement.agreement(["RNN"]))
        found.append([row["agrees"] for row in rows])
    assert found == [[True, True], [False, True], [False, False], [False, False], [False, False]]
    assert rows[0]["worst of gradients"] == "w" and rows[0]["precision"] == "float32"


def test_report():
    row = {"model": "RNN", "precision": "float32", "error of terms": 1.0, "limit": 0.1, "agrees": False}
    result = {"part": "correctness", "status": "done", "seconds": 3.0, "limit_seconds": 9.0, "rows": [row]}
    assert gpu.is_bad(result) and not gpu.is_bad({**result, "rows": [{**row, "agrees": True}]})
    state, heads, line = gpu.lines_of(result, gpu.COLUMNS["correctness"])
    assert state == "\ncorrectness: done, 3 of 9 s" and "limit" in heads and line.split()[-1] == "False"
    skipped = {**result, "status": "skipped", "rows": [{"skipped": "no PyTorch"}]}
    assert list(gpu.lines_of(skipped, gpu.COLUMNS["pytorch"]))[1:] == ["no PyTorch"]


def wheel(folder, name, version="1.0"):
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", f"version = {version!r}\n")
        info = f"{name}-{version}.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


def test_wheels(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no wheels in"):
        wheels.missing(tmp_path)
    for name in ("not_here_at_all", "numpy", "keras", "tensorflow_probability"):
        wheel(tmp_path, name)
    # NumPy is here; Keras is installed all the same, in the version that zf_keras requires.
    found = [each.name.split("-")[0] for each in wheels.missing(tmp_path)]
    assert found == ["keras", "not_here_at_all", "tensorflow_probability"]
    installed = wheels.install(tmp_path, tmp_path / "packages")
    assert len(installed) == 3 and (tmp_path / "packages" / "not_here_at_all.py").exists()
    assert not (tmp_path / "packages" / "numpy.py").exists()
    wheel(tmp_path, "keras", "2.0")
    with pytest.raises(ValueError, match=r"two wheels of one package, keras-1.0.*keras-2.0"):
        wheels.missing(tmp_path)


def test_download_of_wheels(tmp_path, monkeypatch, capsys):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command) or wheel(tmp_path, "keras"))
    __main__.main(["wheels", str(tmp_path), "--python-version", "3.12"])
    (command,) = commands
    assert command[command.index("--python-version") + 1] == "3.12" and "manylinux_2_28_x86_64" in command
    assert any(each.startswith("keras>=") for each in command) and not any("jax" in each for each in command)
    assert capsys.readouterr().out.startswith("1 wheels")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--minutes", "0"],
        ["--minutes", "nan"],
        ["--parts", "steps Z"],
        ["--output", "no/such/file"],
        ["--wheels", "no"],
    ],
)
def test_refused_before_anything_runs(arguments, capsys):
    with pytest.raises(SystemExit):
        __main__.main(["gpu", *arguments])
    assert arguments[0] in capsys.readouterr().err
