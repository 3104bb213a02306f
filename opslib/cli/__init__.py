"""The command line. Commands load their room when they are called, so `--help` costs no heavy import.

With `--json` stdout holds only JSON; words for people and progress go to stderr. Errors of ours end with their exit
code and a hint, never with a traceback.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any, NoReturn

import click

from opslib.core.errors import OpslibError
from opslib.core.outcome import ExitCode

# command -> (module, what `opslib --help` says of it)
_COMMANDS = {
    "run": ("opslib.cli.run", "Run a notebook headless, with typed parameters and a truthful exit code."),
    "runs": ("opslib.cli.runs", "List, show and prune runs."),
    "notebooks": ("opslib.cli.notebooks", "List the runbooks with their parameters, or lint some."),
    "diagnose": ("opslib.cli.diagnose", "Say why calls of a service are slow or failing."),
    "capture": ("opslib.cli.capture", "Export, import, verify and show captured evidence."),
    "dashboards": ("opslib.cli.dashboards", "Export dashboards for Grafana and Kibana, and configurations."),
    "lab": ("opslib.cli.lab", "Start a small real shop on this machine, and break it."),
    "doctor": ("opslib.cli.doctor", "Check this installation and the systems of an environment."),
}


class _LazyGroup(click.Group):
    """Lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opslib-notebooks", prog_name="opslib")
def cli() -> None:
    """Operations runbooks: find why a service is slow, change it safely, undo it."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with the code of the contract (see `opslib.core.outcome.ExitCode`)."""
    words = sys.argv[1:] if args is None else args
    as_json = "--json" in words
    try:
        code = cli.main(args=words, prog_name="opslib", standalone_mode=False)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.Abort:
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        code = _fail(
            error.format_message(), _usage_hint(error), ExitCode.USAGE, type(error).__name__, as_json
        )
    except OpslibError as error:
        code = _fail(str(error), error.hint, error.exit_code, type(error).__name__, as_json)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); what it wanted it has. Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.PASS
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person gets one sentence, not a traceback
        code = _internal(error, as_json)
    sys.exit(int(code or 0))


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else "opslib --help"


def _internal(error: Exception, as_json: bool) -> ExitCode:  # noqa: FBT001
    from opslib.core.settings import Settings  # noqa: PLC0415 - only on the way out

    if Settings.from_environ().debug:
        traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    hint = "this is a bug in opslib; OPSLIB_DEBUG=1 shows where"
    return _fail(text, hint, ExitCode.BROKEN, type(error).__name__, as_json)


def _fail(message: str, hint: str, code: ExitCode, kind: str, as_json: bool) -> ExitCode:  # noqa: FBT001
    from opslib.core.redact import Redactor  # noqa: PLC0415 - only on the way out
    from opslib.core.words import printable  # noqa: PLC0415

    redact = Redactor().text
    text, hint = (redact(line) for line in (message, hint))
    if as_json:
        record: dict[str, Any] = {"type": kind, "message": text, "hint": hint, "exit_code": int(code)}
        click.echo(json.dumps({"error": record}))
    lines = [printable(line, 2000) for line in text.splitlines()]
    click.secho("error: " + "\n       ".join(lines), fg="red", err=True)
    if hint:
        click.echo("  try: " + printable(hint, 2000), err=True)
    return code
