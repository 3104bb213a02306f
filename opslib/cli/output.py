"""What commands print: JSON to stdout for machines, aligned tables and verdicts for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from opslib.core.checks import Check
from opslib.core.outcome import Outcome
from opslib.core.words import printable

json_option: Callable[..., Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print only JSON on stdout; progress goes to stderr."
)

_COLOUR = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.ERROR: "red", Outcome.NO_DATA: "yellow"}


def say(message: str) -> None:
    """Tell a person about progress; on stderr, so that stdout stays for the result."""
    click.echo(message, err=True)


def echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out rows under a header as kubectl does: left-aligned columns, three spaces between, upper-case names."""
    cells = [[name.upper() for name in header]]
    cells += [[printable(str(value), 120) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join(
        "   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def echo_checks(checks: Iterable[Check]) -> None:
    """Print one line a check; where it did not pass, what to do."""
    for check in checks:
        badge = click.style(f"{check.outcome.value:<8}", fg=_COLOUR.get(check.outcome, "yellow"))
        click.echo(f"{badge} {printable(check.name, 60)}: {printable(check.statement, 400)}")
        if check.hint and check.outcome is not Outcome.PASS:
            click.echo(f"         try: {printable(check.hint, 400)}")
