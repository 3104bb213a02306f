"""`run.json`: its keys are a contract; it is written when a run starts and when it ends, whatever ended it.

`status` is one of
  running      the run goes on, or its runner was killed (`opslib runs show` tells which)
  completed    every cell ran; `outcome` is the result's, or pass where the notebook gives none
  failed       a cell raised an exception
  interrupted  a signal stopped it
  timed_out    the time of a cell or of the run was over
  kernel_died  the kernel's process ended, or did not start
  broken       the runner or a library under it failed
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opslib.core.outcome import EXIT_CODE, ExitCode, Outcome

SCHEMA = 1
Status = Literal["running", "completed", "failed", "interrupted", "timed_out", "kernel_died", "broken"]
_PACKAGES = ("papermill", "nbclient", "ipykernel", "pandas", "numpy", "duckdb", "plotly")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its status, outcome and exit code, and one sentence with what to do next."""

    status: Status
    outcome: Outcome
    exit_code: int
    sentence: str
    hint: str = ""
    verdict: Mapping[str, Any] | None = None


def by_outcome(outcome: Outcome, sentence: str, verdict: Mapping[str, Any] | None) -> Ended:
    """Return the end of a run whose cells all ran."""
    return Ended("completed", outcome, int(EXIT_CODE[outcome]), sentence, verdict=verdict)


def outcome_of_exit(code: int) -> Outcome:
    """Return the outcome that an error's exit code stands for; what has no outcome of its own is `error`."""
    return next((o for o, exit_code in EXIT_CODE.items() if code == exit_code and code), Outcome.ERROR)


def versions() -> dict[str, str]:
    """Return the versions that a reader needs to repeat a run."""
    found = {"python": platform.python_version(), "opslib": _version("opslib-notebooks")}
    return found | {name: version for name in _PACKAGES if (version := _version(name))}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def started_record(
    run_id: str, notebook: str, parameters: Mapping[str, Any], environment: str | None, started: str
) -> dict[str, Any]:
    """Return run.json as it is when the run starts; `parameters` are already redacted."""
    return {
        "schema": SCHEMA,
        "id": run_id,
        "notebook": notebook,
        "parameters": dict(parameters),
        "environment": environment,
        "started": started,
        "ended": None,
        "status": "running",
        "exit_code": None,
        "verdict": None,
        "outcome": None,
        "versions": versions(),
    }


def ended_record(record: Mapping[str, Any], end: Ended, ended: str) -> dict[str, Any]:
    """Return run.json as it is when the run has ended."""
    return {
        **record,
        "ended": ended,
        "status": end.status,
        "exit_code": int(end.exit_code),
        "verdict": end.verdict,
        "outcome": str(end.outcome),
    }


def signal_exit(signum: int) -> int:
    """Return 128 + the signal: 129, 130 or 143."""
    return int(ExitCode(128 + signum))
