"""What `--approve` means for a notebook: only one that can change something, and so declares `confirm`, takes it.

A token stands for a plan that an earlier run has saved as `plan.json`; it is looked up among the runs, never guessed,
and lies in the new run's folder before the kernel starts: that plan is applied, not one that was computed anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from opslib.core.errors import RefusedError, UsageError
from opslib.core.plan import ANY
from opslib.core.settings import Settings, load_environment
from opslib.run.declared import Value

if TYPE_CHECKING:
    from opslib.run.runner import Prepared


def approved(prepared: Prepared, token: str | None, out: Path, settings: Settings) -> Prepared:
    """Return the run with its approval in the parameter `confirm`. Raises UsageError, RefusedError."""
    if token is None:
        return prepared
    if "confirm" not in prepared.values:
        raise UsageError(
            f"{prepared.path.name} changes nothing, so there is nothing to approve",
            hint="leave out --approve; a notebook that changes something declares the parameter `confirm`",
        )
    plan = b""
    if token == ANY:
        _refuse_protected(prepared, settings)
    else:
        plan = find_plan(out, token).read_bytes()
    given: dict[str, Value] = {"confirm": token}
    return replace(prepared, given=prepared.given | given, values=prepared.values | given, plan=plan)


def _refuse_protected(prepared: Prepared, settings: Settings) -> None:
    if prepared.environment and load_environment(prepared.environment, settings).protected:
        raise RefusedError(
            f"the environment {prepared.environment} is protected: `--approve any` is not taken there",
            hint="run without --approve, read the plan, and approve its token",
        )


def find_plan(out: Path, token: str) -> Path:
    """Return the one plan.json below `out` whose token this is. Raises UsageError for none and for two."""
    found = [path for path in sorted(out.glob("*/plan.json")) if _token(path) == token]
    if len(found) != 1:
        count = "no plan" if not found else f"{len(found)} plans"
        raise UsageError(
            f"{count} in {out} with the token {token!r}", hint="`opslib runs list` shows the planned runs"
        )
    return found[0]


def _token(path: Path) -> str | None:
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    token = plan.get("token") if isinstance(plan, dict) else None
    return token if isinstance(token, str) else None
