"""`opslib doctor`: can this installation, and this environment, answer questions?"""

from __future__ import annotations

import click

from opslib.cli.output import echo_checks, echo_json, json_option
from opslib.core.checks import worst
from opslib.core.outcome import EXIT_CODE
from opslib.core.settings import Settings


@click.command(
    help="Check this installation and the systems of an environment; exit 1 where something is wrong."
)
@click.option("--environment", default="lab", show_default=True)
@json_option
@click.pass_context
def command(ctx: click.Context, environment: str, as_json: bool) -> None:  # noqa: FBT001
    from opslib.run import doctor  # noqa: PLC0415

    checks = doctor(environment, Settings.from_environ())
    if as_json:
        echo_json([check.to_dict() for check in checks])
    else:
        echo_checks(checks)
    ctx.exit(EXIT_CODE[worst(checks)])
