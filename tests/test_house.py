"""How the package is laid out: imports point down only."""

import ast
from pathlib import Path

import pytest

import zf_keras

ROOT = Path(zf_keras.__file__).parent
#: Rooms of a floor, the lowest first. What stands outside of a room is on the lowest floor.
FLOORS = (
    {"loops"},
    {"layers"},
    {"cells", "heads", "data"},
    {"datasets", "inference", "presets", "export"},
    {"models"},
    {"integrations"},
)


def floor(name):
    return next((number for number, rooms in enumerate(FLOORS) if name in rooms), 0)


def imported(path):
    """Modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            within = node.module == "zf_keras"
            yield from (f"zf_keras.{alias.name}" for alias in node.names) if within else [node.module]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(ROOT.rglob("*.py")) if path.name not in ("__main__.py",) and path != ROOT / "__init__.py"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_imports_point_down(path):
    parts = path.relative_to(ROOT).parts
    own = floor(parts[0]) if len(parts) > 1 else 0
    for name in imported(path):
        package, *rooms = name.split(".")
        assert package not in ("zoo", "tuning")
        if package == "zf_keras" and rooms:
            assert floor(rooms[0]) <= own, f"{path.relative_to(ROOT)} imports {name}, which is above it"
