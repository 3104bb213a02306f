"""`opslib run NOTEBOOK`: a runbook headless, with a truthful exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opslib.cli.output import echo_json, json_option
from opslib.core.clock import SystemClock
from opslib.core.errors import ParameterError, UsageError
from opslib.core.settings import Settings
from opslib.core.words import printable


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(f"-p {text}: expected NAME=VALUE", hint="such as -p service=payment")
    return name, value


def _notebook(name: str) -> Path:
    from opslib.run import shipped_notebooks  # noqa: PLC0415

    places = (Path(name), shipped_notebooks() / name, shipped_notebooks() / f"{name}.ipynb")
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UsageError(f"there is no notebook {name}", hint="opslib notebooks list names the shipped ones")
    below = found.is_absolute() and found.is_relative_to(Path.cwd())
    return found.relative_to(Path.cwd()) if below else found


@click.command(
    help="Run NOTEBOOK (a path, or the name of a shipped one) headless; the run lands in --out/ID."
)
@click.argument("notebook")
@click.option(
    "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter, read by its annotation."
)
@click.option("-f", "parameters_file", type=click.Path(path_type=Path, dir_okay=False), metavar="PARAMS.yaml")
@click.option("--environment", help="Sets the notebook's parameter `environment`.")
@click.option(
    "--approve", metavar="TOKEN|any", help="Apply the plan with this token; `any`: what this run plans."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True
)
@click.option("--timeout-s", type=click.FloatRange(min=1), help="End the whole run after this many seconds.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, notebook: str, *, as_json: bool, **options: Any) -> None:
    from opslib.run import prepare_process, run_notebook, stderr_line  # noqa: PLC0415

    prepare_process()
    result = run_notebook(
        _notebook(notebook),
        parameters=[_pair(text) for text in options.pop("parameters")],
        **options,
        live=stderr_line(),
        clock=SystemClock(),
        settings=Settings.from_environ(),
    )
    if as_json:
        echo_json(result.record)
    else:
        click.echo(printable(result.sentence, 1000))
        if result.hint:
            click.echo(f"  try: {printable(result.hint, 1000)}")
        click.echo(f"report: {result.folder.path / 'report.html'}")
    ctx.exit(int(result.exit_code))
