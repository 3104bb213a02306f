"""`opslib lab up|down|status|kubeconfig|inject|clear|grade`: the embedded lab. The only importer of `opslib.lab`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from opslib.cli.output import echo_json, json_option, say
from opslib.core.errors import UsageError
from opslib.core.outcome import ExitCode
from opslib.core.settings import Settings

_STATE = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The lab's state folder; default .opslib/lab here or in a parent folder.",
)


def _state(given: Path | None) -> Path:
    return given or Settings.from_environ().find_lab_state()


def _load(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    rates = {}
    for text in value:
        route, _, rate = text.partition("=")
        try:
            rates[route] = float(rate)
        except ValueError:
            raise click.BadParameter(f"{text}: expected ROUTE=RPS, such as payment=60") from None
    return rates


@click.group(help="Start a small real shop on this machine, and break it.")
def command() -> None: ...


@command.command("up")
@_STATE
@click.option("--load", multiple=True, callback=_load, metavar="ROUTE=RPS", help="Drive these routes alone.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--ttl-s", type=click.FloatRange(min=10), default=7200, show_default=True, help="Ends itself after."
)
@click.option(
    "--telemetry",
    type=click.Choice(["capture", "servers"]),
    default="capture",
    show_default=True,
    help="Where telemetry goes: into the capture alone, or to servers beside it.",
)
@click.option(
    "--telemetry-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Where the servers are, as JSON; see below.",
)
@json_option
def up(  # noqa: PLR0917 - the options of the command
    state: Path | None,
    load: dict[str, float],
    seed: int,
    ttl_s: float,
    telemetry: str,
    telemetry_file: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Start the shop, its load and its collector; returns when calls flow.

    With --telemetry servers, spans also go to Jaeger, logs to files that a log shipper brings to Elasticsearch, and
    metrics to a page that Prometheus scrapes: `lab-servers` is then the environment that asks those. FILE says where they
    are, each server optional: {"jaeger": {"url": URL, "otlp": URL}, "prometheus": {"url": URL, "scrape": FOLDER},
    "elasticsearch": {"url": URL}, "rsyslog": {"folder": FOLDER}}. `otlp` receives spans over HTTP, `folder` is where the
    shipper finds logs named as the kubelet names them, and into `scrape` (optional) goes a file that lets Prometheus
    find the page by file_sd; else let it ask /metrics at the collector's port.
    """
    from opslib import lab  # noqa: PLC0415

    if (telemetry == "servers") != (telemetry_file is not None):
        raise UsageError(
            "--telemetry servers and --telemetry-file go together", hint="see opslib lab up --help"
        )
    status = lab.up(
        _state(state), load=load or None, seed=seed, ttl_s=ttl_s, progress=say, servers=telemetry_file
    )
    _echo(status.to_dict(), status.text(), as_json=as_json)


@command.command("down")
@_STATE
@json_option
def down(state: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Stop the lab and all its processes; the capture stays."""
    from opslib import lab  # noqa: PLC0415

    stopped = lab.down(_state(state))
    _echo({"stopped": stopped}, "the lab is down" if stopped else "no lab was running", as_json=as_json)


@command.command("status")
@_STATE
@json_option
def status(state: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Show processes, CPU, load offered and achieved, rows captured."""
    from opslib import lab  # noqa: PLC0415

    current = lab.status(_state(state))
    _echo(current.to_dict(), current.text(), as_json=as_json)


@command.command("kubeconfig")
@_STATE
@json_option
def kubeconfig(state: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Print where the kubeconfig of the lab's practice cluster is: kubectl --kubeconfig $(opslib lab kubeconfig)."""
    from opslib import lab  # noqa: PLC0415

    path = str(lab.kubeconfig(_state(state)))
    _echo({"kubeconfig": path}, path, as_json=as_json)


class _Inject(click.Command):
    """Names the scenarios at the end of its help, where somebody asks for it."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        from opslib.lab import scenario_names  # noqa: PLC0415

        with formatter.section("Scenarios"):
            formatter.write_text(", ".join(scenario_names()))


@command.command("inject", cls=_Inject)
@_STATE
@click.argument("scenario")
@json_option
def inject(state: Path | None, scenario: str, as_json: bool) -> None:  # noqa: FBT001
    """Break the running shop; returns when the capture holds calls from before and under the fault."""
    from opslib import lab  # noqa: PLC0415

    result = lab.inject(_state(state), scenario, progress=say)
    _echo(result, f"{scenario} is in effect", as_json=as_json)


@command.command("clear")
@_STATE
@json_option
def clear(state: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Take the fault away again."""
    from opslib import lab  # noqa: PLC0415

    lab.clear(_state(state))
    _echo({"cleared": True}, "no fault is in effect", as_json=as_json)


@command.command("grade")
@_STATE
@click.argument("verdict", type=click.File("r"))
@json_option
@click.pass_context
def grade(ctx: click.Context, state: Path | None, verdict: Any, as_json: bool) -> None:  # noqa: FBT001
    """Compare a verdict (a run.json, a verdict JSON, or `-`) with the fault in effect; exit 1 when it is wrong."""
    from opslib import lab  # noqa: PLC0415

    try:
        content = json.load(verdict)
    except ValueError as error:
        raise UsageError(
            f"{verdict.name} is no JSON: {error}", hint="give a run.json, or opslib diagnose --json"
        ) from None
    result = lab.grade(_state(state), content.get("verdict") if "exit_code" in content else content)
    _echo(result.to_dict(), result.statement, as_json=as_json)
    ctx.exit(ExitCode.PASS if result.right else ExitCode.FAIL)


def _echo(record: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        echo_json(record)
    else:
        click.echo(text)
