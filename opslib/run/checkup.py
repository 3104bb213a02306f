"""`opslib doctor`: can this installation run notebooks, and can this environment answer questions?

Each check stands alone: one that fails, or breaks, leaves the others to tell.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from opslib.core.checks import Check
from opslib.core.errors import OpslibError
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment, Settings, load_environment

MIN_PYTHON = (3, 11)
# Package -> the extra that brings it.
NEEDED = {
    "pandas": "",
    "duckdb": "",
    "plotly": "",
    "papermill": "notebooks",
    "nbclient": "notebooks",
    "ipykernel": "notebooks",
    "ipywidgets": "notebooks",
    "anywidget": "notebooks",
    "junitparser": "notebooks",
}
# What a later question may need; its absence is told, and is no fault.
CLIENTS = {"kubernetes": ("cluster", "kubectl"), "docker": ("images", "docker")}
KERNEL_START_S = 60

Preflight = Callable[[str, Settings], Sequence[Check]]


def doctor(environment: str, settings: Settings, *, preflight: Preflight | None = None) -> tuple[Check, ...]:
    """Check python, packages, the kernel, the environment and its sources, and the clients of later rooms.

    `preflight(environment, settings)` asks the sources; by default the investigation room's.
    """
    checks = [check_python(), *check_packages(), _safely("kernel", check_kernel)]
    resolved = check_environment(environment, settings)
    checks.append(resolved)
    if resolved.outcome is Outcome.PASS:
        checks += _asked("sources", preflight or investigation_preflight, environment, settings)
        checks += _asked("systems", systems_preflight, environment, settings)
        checks += _asked("cluster", cluster_preflight, environment, settings)
    return (*checks, *(check_client(name) for name in CLIENTS))


def _safely(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except OpslibError as error:
        return Check(name, Outcome.ERROR, str(error), error.hint)
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        return Check(name, Outcome.ERROR, f"{type(error).__name__}: {error}")


def check_python() -> Check:
    found = f"Python {platform.python_version()} at {sys.executable}"
    if sys.version_info < MIN_PYTHON:
        return Check(
            "python", Outcome.FAIL, found, f"install Python {'.'.join(map(str, MIN_PYTHON))} or later"
        )
    return Check("python", Outcome.PASS, found)


def check_packages() -> list[Check]:
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        extras = sorted({NEEDED[name] for name in absent} - {""})
        what = f"pip install -e '.[{','.join(extras)}]'" if extras else "install opslib again"
        return [Check("packages", Outcome.FAIL, f"absent: {', '.join(absent)}", what)]
    versions = (f"{name} {importlib.metadata.version(name)}" for name in NEEDED)
    return [Check("packages", Outcome.PASS, ", ".join(versions))]


def check_kernel() -> Check:
    """Start a kernel of this interpreter, see that it loads opslib, and end it."""
    from opslib.run.kernels import try_kernel  # noqa: PLC0415 - starts a process

    took_s = try_kernel(KERNEL_START_S)
    return Check("kernel", Outcome.PASS, f"a kernel of this Python starts in {took_s:.1f} s and loads opslib")


def check_environment(name: str, settings: Settings) -> Check:
    """Say where an environment is defined and which signals it has."""
    title = f"environment {name}"
    try:
        environment = load_environment(name, settings)
    except OpslibError as error:
        return Check(title, Outcome.FAIL, str(error), error.hint)
    signals = _signals(environment)
    if not signals:
        return Check(
            title, Outcome.FAIL, f"{environment.origin} names no source", "give it traces, logs or metrics"
        )
    return Check(title, Outcome.PASS, f"{environment.origin}: {signals}")


def _signals(environment: Environment) -> str:
    sources = {
        "traces": environment.traces,
        "logs": environment.logs,
        "metrics": environment.metrics,
        "changes": environment.changes,
    }
    return ", ".join(f"{signal} from {source.kind}" for signal, source in sources.items() if source)


def _asked(name: str, preflight: Preflight, environment: str, settings: Settings) -> list[Check]:
    try:
        return list(preflight(environment, settings))
    except OpslibError as error:
        return [Check(name, Outcome.FAIL, str(error), error.hint)]
    except Exception as error:  # noqa: BLE001 - a source that breaks is what a doctor is there to tell
        return [Check(name, Outcome.ERROR, f"{type(error).__name__}: {error}")]


def investigation_preflight(environment: str, settings: Settings) -> Sequence[Check]:
    """Ask the sources of an environment, as an investigation does before it begins."""
    from opslib.investigate import preflight  # noqa: PLC0415 - loads the sources' clients

    return preflight(None, environment=environment, settings=settings)


def systems_preflight(environment: str, settings: Settings) -> Sequence[Check]:
    """Ask each server of an environment how it is, and whether each service has data under its name."""
    from opslib.investigate import check_systems  # noqa: PLC0415 - loads the sources' clients

    return check_systems(environment, settings=settings)


def cluster_preflight(environment: str, settings: Settings) -> Sequence[Check]:
    """Ask the cluster of an environment whether it answers and what we may do; nothing where it names none."""
    from opslib.manifests import check_cluster  # noqa: PLC0415 - a third of a second

    named = load_environment(environment, settings)
    if not (named.kube_context or named.kubeconfig):
        return ()
    return check_cluster(environment, settings=settings)


def check_client(name: str) -> Check:
    """Say whether a client of a later room is there; its absence is a pass, with what it would need."""
    extra, command = CLIENTS[name]
    package = importlib.util.find_spec(name) is not None
    program = shutil.which(command)
    if package:
        version = importlib.metadata.version(name)
        where = f", {Path(program).name} at {program}" if program else ""
        return Check(f"{name} client", Outcome.PASS, f"{name} {version}{where}")
    statement = (
        f"not installed; only questions about {'clusters' if extra == 'cluster' else 'images'} need it"
    )
    return Check(f"{name} client", Outcome.PASS, statement, f"pip install -e '.[{extra}]'")
