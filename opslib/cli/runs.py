"""`opslib runs list|show|resume|rollback|prune`."""

from __future__ import annotations

from pathlib import Path

import click

from opslib.cli.output import echo_json, json_option, say, table
from opslib.core.journal import RunFolder
from opslib.core.outcome import EXIT_CODE, ExitCode, Outcome

_OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The folder that holds the runs.",
)


@click.group(help="List, show and prune runs.")
def command() -> None: ...


@command.command("list")
@_OUT
@json_option
def list_(out: Path, as_json: bool) -> None:  # noqa: FBT001
    """List runs, the newest first."""
    from opslib.run import list_runs  # noqa: PLC0415

    records = list_runs(out)
    if as_json:
        echo_json(records)
        return
    rows = [
        (r["id"], r["status"], r.get("outcome") or "", r["exit_code"], r.get("notebook", "")) for r in records
    ]
    click.echo(table(("id", "status", "outcome", "exit", "notebook"), rows) if rows else f"no runs in {out}")


@command.command("show")
@click.argument("run_id", metavar="ID")
@_OUT
@click.option(
    "--follow", is_flag=True, help="Watch its change until it ends; stopping stops nothing but the watching."
)
@json_option
@click.pass_context
def show(ctx: click.Context, run_id: str, out: Path, follow: bool, as_json: bool) -> None:  # noqa: FBT001
    """Show one run: outcome, verdict, parameters, files."""
    folder = RunFolder.find(out, run_id)
    if follow:
        from opslib.run import follow as watch  # noqa: PLC0415

        outcome = watch(folder, say)
        ctx.exit(EXIT_CODE[outcome] if outcome is not None else ExitCode.PASS)
    record = folder.read_run()
    if as_json:
        echo_json(record)
        return
    summary = folder.path / "summary.md"
    click.echo(
        summary.read_text(encoding="utf-8") if summary.exists() else f"{record['id']}: {record['status']}"
    )
    click.echo("files: " + ", ".join(sorted(path.name for path in folder.path.iterdir())))


@command.command("resume")
@click.argument("run_id", metavar="ID")
@_OUT
@click.pass_context
def resume(ctx: click.Context, run_id: str, out: Path) -> None:
    """Go on with a change that was cut off, from where its journal stands."""
    from opslib.run import resume_run  # noqa: PLC0415

    ctx.exit(EXIT_CODE[resume_run(RunFolder.find(out, run_id), say)])


@command.command("rollback")
@click.argument("run_id", metavar="ID")
@_OUT
@click.pass_context
def rollback(ctx: click.Context, run_id: str, out: Path) -> None:
    """Undo a change, finished or cut off; exit 0 when what was before is there again."""
    from opslib.run import roll_back_run  # noqa: PLC0415

    outcome = roll_back_run(RunFolder.find(out, run_id), say)
    ctx.exit(ExitCode.PASS if outcome is Outcome.ROLLED_BACK else EXIT_CODE[outcome])


@command.command("prune")
@click.option(
    "--keep", type=click.IntRange(min=0), default=50, show_default=True, help="Keep the newest N runs."
)
@_OUT
@json_option
def prune(keep: int, out: Path, as_json: bool) -> None:  # noqa: FBT001
    """Delete old runs; one whose change is still open is always kept."""
    from opslib.run import prune_runs  # noqa: PLC0415

    gone = prune_runs(out, keep=keep)
    if as_json:
        echo_json({"deleted": gone})
    else:
        click.echo(f"deleted {len(gone)} runs")
