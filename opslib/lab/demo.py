"""`python -m opslib.lab.demo [SCENARIO]`: the whole path once, from a healthy shop to a graded verdict.

Exit code 0 when the investigation names the fault that was injected; the lab is down again whatever happened.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opslib.core.errors import LabError, OpslibError
from opslib.core.outcome import ExitCode
from opslib.core.settings import LAB_STATE
from opslib.core.words import duration, printable
from opslib.lab.commands import down, up
from opslib.lab.injection import grade, inject
from opslib.lab.scenarios import scenario

NOTEBOOK = Path("notebooks") / "investigate_slow_payment.ipynb"
_RUN_S = 80.0


def main(argv: Sequence[str]) -> int:
    """Run the demo of one scenario in the working directory; return the exit code."""
    name = argv[0] if argv else "risk-cpu"
    begin_s = time.monotonic()

    def say(message: str) -> None:
        print(f"{time.monotonic() - begin_s:5.1f} s  {message}", flush=True)  # noqa: T201 - the demo's output

    try:
        scenario(name)
        return _demo(LAB_STATE, name, say)
    except OpslibError as error:
        say(f"error: {error}" + (f" (try: {error.hint})" if error.hint else ""))
        return int(error.exit_code)


def _demo(state: Path, name: str, say: Any) -> int:
    say("starting the shop")
    up(state, progress=say)
    try:
        injected = inject(state, name, progress=say)
        say(
            f"{name} is in effect; {injected['calls_before']} payment calls before, {injected['calls_under']} under it"
        )
        say(f"investigating: opslib run {NOTEBOOK} -p service=payment")
        record, folder = _investigate()
        verdict = record.get("verdict") or {}
        result = grade(state, verdict)
        for line in (*_verdict_lines(verdict), f"report    {folder / 'report.html'}"):
            print(line)  # noqa: T201
        say(result.statement)
        return int(ExitCode.PASS if result.right else ExitCode.FAIL)
    finally:
        down(state)
        say("the lab is down")


def _investigate() -> tuple[dict[str, Any], Path]:
    """Run the notebook as anybody would, and return its record and run folder. Raises LabError when it has none."""
    before = set(_records())
    command = [sys.executable, "-m", "opslib", "run", str(NOTEBOOK), "-p", "service=payment"]
    ended = subprocess.run(command, check=False, timeout=_RUN_S)
    written = sorted(set(_records()) - before)
    if not written:
        raise LabError(f"opslib run left no record (exit code {ended.returncode})")
    return json.loads(written[-1].read_text(encoding="utf-8")), written[-1].parent


def _records() -> list[Path]:
    return list(Path("runs").glob("*/run.json"))


def _verdict_lines(verdict: dict[str, Any]) -> list[str]:
    """Return the verdict's sentence and its budget as a table; foreign text is made printable."""
    budget = verdict.get("budget") or {}
    rows = [*budget.get("segments", []), {"segment": "total", **budget.get("total", {})}]
    lines = [
        "",
        f"verdict   {printable(str(verdict.get('verdict')))}: {printable(str(verdict.get('summary')), 500)}",
        "",
    ]
    for row in rows if budget else []:
        before, after, delta = (row.get(f"{part}_ns", 0) for part in ("baseline", "incident", "delta"))
        name = printable(str(row["segment"]), 40)
        lines.append(f"  {name:<28} {duration(before):>10} -> {duration(after):>10}  {duration(delta):>10}")
    return [*lines, ""]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
