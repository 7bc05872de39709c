"""The command line, called in this process."""

import contextlib
import io
import types

import pytest

from zoo.__main__ import main


def command(*arguments):
    """Status, output and errors of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit:
            status = exit.code
    return types.SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


def done(*arguments):
    result = command(*arguments)
    assert result.status == 0 and not result.err, result.err
    return result.out


def refused(*arguments):
    """The message of a command that can't be done: one line, without a traceback."""
    result = command(*arguments)
    assert result.status == 1 and "Traceback" not in result.out + result.err
    (line,) = result.err.strip().splitlines()
    prefix = f"python -m zoo {arguments[0]}: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


@contextlib.contextmanager
def inside(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield patch
