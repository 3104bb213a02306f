"""`opslib notebooks list|lint`."""

from __future__ import annotations

from pathlib import Path

import click

from opslib.cli.output import echo_checks, echo_json, json_option, table
from opslib.core.checks import worst
from opslib.core.outcome import EXIT_CODE


@click.group(help="List the runbooks with their parameters, or lint some.")
def command() -> None: ...


@command.command("list")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), required=False)
@json_option
def list_(folder: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """List the runbooks in FOLDER (default: those shipped), each with its typed parameters."""
    from opslib.run import list_notebooks, shipped_notebooks  # noqa: PLC0415

    cards = list_notebooks(folder or shipped_notebooks())
    if as_json:
        echo_json([card.to_dict() for card in cards])
        return
    for card in cards:
        click.echo(click.style(card.path.name, bold=True) + f"  {card.title}")
        rows = [(p.name, p.type_text, repr(p.default), p.help) for p in card.parameters]
        click.echo("  " + table(("parameter", "type", "default", "help"), rows).replace("\n", "\n  "))


@command.command("lint")
@click.argument(
    "paths", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True
)
@json_option
@click.pass_context
def lint(ctx: click.Context, paths: tuple[Path, ...], as_json: bool) -> None:  # noqa: FBT001
    """Check that notebooks keep the order, the guards and the habits of a runbook; exit 1 where one does not."""
    from opslib.run import lint_notebook  # noqa: PLC0415

    found = {str(path): lint_notebook(path) for path in paths}
    if as_json:
        echo_json({path: [check.to_dict() for check in checks] for path, checks in found.items()})
    else:
        for path, checks in found.items():
            click.secho(path, bold=True)
            echo_checks(checks)
    ctx.exit(EXIT_CODE[worst(tuple(check for checks in found.values() for check in checks))])
