"""`opslib capture export|import|verify|show`: evidence in a folder that can be carried away and asked again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from opslib.cli.output import echo_checks, echo_json, json_option, say, table
from opslib.core.checks import worst
from opslib.core.clock import SystemClock
from opslib.core.outcome import EXIT_CODE
from opslib.core.windows import rfc3339
from opslib.core.words import duration, printable

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(help="Export, import, verify and show captured evidence.")
def command() -> None: ...


@command.command("export")
@click.option("--environment", default="lab", show_default=True)
@click.option("--service", default=None, help="Choose the windows as an investigation of this service would.")
@click.option("--window", default="", help="`last 15m`, or START/END in RFC 3339.")
@click.option("--baseline", default="", help="As --window; default: the same length before it.")
@click.option("--out", type=_FOLDER, required=True)
@json_option
def export(out: Path, *, as_json: bool, **question: Any) -> None:
    """Write the evidence of both windows from a live environment into the new folder --out."""
    from opslib.core.settings import Settings  # noqa: PLC0415
    from opslib.investigate import ask, export_evidence  # noqa: PLC0415

    say(f"exporting from {question['environment']} …")
    asked = ask(**question, settings=Settings.from_environ(), clock=SystemClock())
    _show(export_evidence(out, asked), as_json=as_json)


@command.command("import")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=_FOLDER, required=True, help="A new folder.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes.")
@json_option
def import_(paths: tuple[Path, ...], out: Path, workers: int, *, as_json: bool) -> None:
    """Make a capture of OTLP or Jaeger files or folders, told apart by content; what cannot be read is named."""
    from opslib.telemetry.importers import import_paths  # noqa: PLC0415

    content = json.loads(
        (import_paths(paths, out, progress=say, workers=workers) / "capture.json").read_text()
    )
    if as_json:
        echo_json(content)
        return
    click.secho(str(out), bold=True)
    _show_windows(content)
    click.echo(table(("signal", "rows"), [(s["signal"], f"{s['rows']:,}") for s in content["sources"]]))


@command.command("verify")
@click.argument("folder", type=_FOLDER)
@json_option
@click.pass_context
def verify(ctx: click.Context, folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Check every file of a capture: schema, checksums, rows, columns, ids; exit 1 where one is wrong."""
    from opslib.telemetry.capture import verify as verify_capture  # noqa: PLC0415

    checks = verify_capture(folder)
    if as_json:
        echo_json([check.to_dict() for check in checks])
    else:
        echo_checks(checks)
    ctx.exit(EXIT_CODE[worst(checks)])


@command.command("show")
@click.argument("folder", type=_FOLDER)
@json_option
def show(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Say what a capture holds: windows, services, files, rows."""
    _show(folder, as_json=as_json)


def _show_windows(content: dict[str, Any]) -> None:
    for name, pair in content["windows"].items():
        if pair:
            text = f"{rfc3339(pair[0])} to {rfc3339(pair[1])} ({duration(pair[1] - pair[0])})"
            click.echo(f"{name:<9} {text}, selection {printable(content['selection'].get(name, 'unknown'))}")


def _show(folder: Path, *, as_json: bool) -> None:
    from opslib.telemetry.capture import show as show_capture  # noqa: PLC0415

    content = show_capture(folder)
    if as_json:
        echo_json(content)
        return
    click.secho(str(folder), bold=True)
    _show_windows(content)
    click.echo(f"services  {', '.join(map(printable, content['services'])) or 'none'}")
    rows = [(signal, f"{count:,}") for signal, count in content["rows"].items()]
    click.echo(table(("signal", "rows"), rows))
