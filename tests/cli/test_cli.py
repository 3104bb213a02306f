"""The command line: exit codes and words of errors, JSON alone on stdout, no traceback at anybody."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from opslib import cli
from opslib.core.errors import RefusedError

Run = Callable[..., int]


@pytest.fixture
def opslib_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call `opslib ARGS` in an empty folder and return its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> int:
        with pytest.raises(SystemExit) as leave:
            cli.main(list(args))
        return int(leave.value.code or 0)

    return run


def test_help_names_every_command(opslib_in: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert opslib_in("--help") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli._COMMANDS)


@pytest.mark.parametrize("command", list(cli._COMMANDS))
def test_every_command_has_help(opslib_in: Run, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert opslib_in(command, "--help") == 0
    assert "Usage: opslib " + command in capsys.readouterr().out


def test_the_help_of_inject_names_the_scenarios(opslib_in: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert opslib_in("lab", "inject", "--help") == 0
    assert "edge-delay" in capsys.readouterr().out


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("diagnose",),
        ("diagnose", "x", "--environment", "lab"),
        ("diagnose", "--environment", "lab", "--start", "2026-01-31T03:00:00Z"),
        ("diagnose", "--environment", "nowhere"),
        ("diagnose", "no-such-folder"),
        ("capture", "show", "no-such-folder"),
        ("lab", "inject", "risk-cpu"),
        ("lab", "status"),
        ("lab", "up", "--load", "payment"),
        ("lab", "up", "--telemetry", "servers"),
        ("run", "no-such-notebook"),
        ("runs", "show", "no-such-run"),
    ],
)
def test_bad_usage_exits_2_with_a_hint_and_no_traceback(
    opslib_in: Run, args: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert opslib_in(*args) == 2
    err = capsys.readouterr().err
    assert "error: " in err
    assert "  try: " in err
    assert "Traceback" not in err


def test_with_json_an_error_is_json_on_stdout(opslib_in: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert opslib_in("diagnose", "--environment", "lab", "--json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "EnvironmentNotFoundError"
    assert error["hint"] == "start one: opslib lab up"
    assert error["exit_code"] == 2


def raising(error: BaseException) -> Callable[..., None]:
    def stub(**_: object) -> None:
        raise error

    return stub


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RefusedError("locked by alice", hint="wait"), 3, "locked by alice"),
        (KeyError("oops"), 4, "KeyError: 'oops'"),
        (RuntimeError("token=hunter2hunter2"), 4, "token=[redacted]"),
        (RuntimeError("a\x1b[2Jb"), 4, "a\ufffd[2Jb"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_end_with_their_code_and_leak_nothing(
    opslib_in: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: BaseException, code: int, text: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("opslib.run.list_runs", lambda _: raising(error)())

    assert opslib_in("runs", "list") == code
    err = capsys.readouterr().err
    assert text in err
    assert "hunter2" not in err
    assert "Traceback" not in err


def test_a_person_who_debugs_gets_the_traceback(
    opslib_in: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPSLIB_DEBUG", "1")
    monkeypatch.setattr("opslib.run.list_runs", lambda _: raising(KeyError("oops"))())

    assert opslib_in("runs", "list") == 4
    assert "Traceback" in capsys.readouterr().err


def test_no_runs_is_an_answer(opslib_in: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert opslib_in("runs", "list") == 0
    assert opslib_in("runs", "list", "--json") == 0
    assert capsys.readouterr().out.endswith("[]\n")
