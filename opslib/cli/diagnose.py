"""`opslib diagnose CAPTURE|--environment NAME`: the investigation as a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opslib.cli.output import echo_json, json_option, say, table
from opslib.core.clock import SystemClock
from opslib.core.errors import UsageError
from opslib.core.model import Budget, Verdict
from opslib.core.outcome import EXIT_CODE, outcome_of_verdict
from opslib.core.settings import Settings
from opslib.core.words import duration, for_whom, printable


@click.command(
    help="Say why calls of a service are slow or failing: from a CAPTURE, or live from an environment."
)
@click.argument("capture", type=click.Path(path_type=Path), required=False)
@click.option("--environment", help="Ask this environment's systems instead of a capture.")
@click.option("--service", help="Default: every root operation.")
@click.option("--start", default="", help="Start of the incident, RFC 3339; with --end.")
@click.option("--end", default="", help="End of the incident.")
@click.option("--baseline-start", default="", help="Default: the same length before the incident.")
@click.option("--baseline-end", default="")
@click.option("--timings", is_flag=True, help="Add the seconds of each stage and the peak memory.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, capture: Path | None, **options: Any) -> None:
    from opslib.investigate import find_cause  # noqa: PLC0415

    if (capture is None) == (options["environment"] is None):
        raise UsageError("give either a CAPTURE folder or --environment NAME", hint="opslib diagnose --help")
    say("reading the evidence …")
    found = find_cause(
        options["service"],
        environment=options["environment"] or "lab",
        capture=capture,
        window=_window(options["start"], options["end"], "--start and --end"),
        baseline=_window(
            options["baseline_start"], options["baseline_end"], "--baseline-start and --baseline-end"
        ),
        settings=Settings.from_environ(),
        clock=SystemClock(),
    )
    record = found.verdict.to_dict()
    if options["timings"]:
        record |= {"timings": _timings(found.timings), "peak_rss_bytes": _peak_rss_bytes()}
    if options["as_json"]:
        echo_json(record)
    else:
        click.echo(verdict_text(found.verdict))
        if options["timings"]:
            click.echo("\n" + table(("stage", "seconds"), record["timings"].items()))
    ctx.exit(EXIT_CODE[outcome_of_verdict(found.verdict.verdict)])


def _window(start: str, end: str, names: str) -> str:
    if bool(start) != bool(end):
        raise UsageError(f"{names} belong together", hint="give both, in RFC 3339")
    return f"{start}/{end}" if start else ""


def _timings(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 4) for stage, value in seconds.items()}


def _peak_rss_bytes() -> int:
    import resource  # noqa: PLC0415 - not on Windows, and only asked for here
    import sys  # noqa: PLC0415

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def verdict_text(verdict: Verdict) -> str:
    """Lay out a verdict for a terminal: the sentence, the evidence, the budget, what is missing."""
    lines = [
        click.style(verdict.verdict.replace("_", " "), bold=True) + "  " + printable(verdict.summary, 600)
    ]
    for candidate in verdict.candidates[:5]:
        where = " -> ".join(candidate.edge) if candidate.edge else candidate.service
        lines.append(
            f"\n{candidate.rank}. {candidate.kind} {printable(where)}  (confidence {candidate.confidence})"
        )
        lines += [f"   - {printable(finding.statement, 300)}" for finding in candidate.evidence[:4]]
    if verdict.scope:
        lines.append("\nfor whom")
        lines += [
            f"   - {for_whom(i.attribute, i.value, i.share_slow, i.share_normal)}" for i in verdict.scope[:4]
        ]
    if verdict.budget is not None:
        lines.append("\n" + budget_table(verdict.budget))
    lines += [f"missing: {printable(text, 300)}" for text in verdict.missing]
    lines += [f"note: {printable(text, 300)}" for text in verdict.completeness.warnings]
    return "\n".join(lines)


def budget_table(budget: Budget) -> str:
    """Lay out a time budget, largest change first, with its total last."""
    ordered = sorted(budget.segments, key=lambda segment: -abs(segment.delta_ns))
    shown = [s for s in ordered if s.baseline_ns or s.incident_ns]
    rows = [
        (
            s.segment,
            duration(s.baseline_ns),
            duration(s.incident_ns),
            f"{'+' if s.delta_ns > 0 else ''}{duration(s.delta_ns)}",
        )
        for s in (*shown, budget.total)
    ]
    return table((f"mean per call ({budget.cohort})", "baseline", "incident", "change"), rows)
