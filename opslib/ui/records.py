"""Log records and their patterns as tables, what decides first: the pattern that changed most, the oldest record.

Every text is foreign: escaped, shortened, and the whole of an identifier in its hover.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.severity import level_of
from opslib.core.windows import NS_PER_S, Window
from opslib.core.words import duration, figures
from opslib.diagnosis import rate_shift
from opslib.ui.facts import Zone
from opslib.ui.links import Subject, filled
from opslib.ui.palette import INCIDENT
from opslib.ui.tables import Table, badge, bar, table
from opslib.ui.text import Html, html, identifier, join, short

if TYPE_CHECKING:
    from opslib.investigate import LogAnswer

_AROUND_NS = 60 * NS_PER_S
_MOST = 100  # patterns
_BAR = 0.6  # of a cell's usual bar, so that the words stand beside it
_Z = 4.0  # from which a pattern's rate has changed
_COLUMNS = ("change", "pattern", "service", "level", "in the window", "before", "ratio", "example")


def log_patterns(found: LogAnswer) -> Table:
    """List the patterns of both windows, the greatest rise first, with an example of each."""
    ranked = ranked_patterns(found)
    words = patterns_finding(found, ranked)
    if ranked.empty:
        return Table("log_patterns", Html(f"<p>{html(words)}</p>"), words, ranked)
    strongest = max(1e-9, float(ranked["z"].abs().max()))
    rows = [_pattern_row(row, strongest) for row in ranked.head(_MOST).to_dict("records")]
    heads = ("change", "pattern", "service", "level", "in the window", "before", "example")
    body = table(heads, rows, caption=html(words, 600), numbers=frozenset({4, 5}), row_heads=False)
    ratios = ranked["ratio"].astype(object).where(ranked["ratio"].notna(), None)
    frame = ranked.assign(ratio=ratios).drop(columns="z").set_axis(list(_COLUMNS), axis=1)
    return Table("log_patterns", body, words, frame)


def ranked_patterns(found: LogAnswer) -> pd.DataFrame:
    """Return patterns by how much their rates changed, rises first.

    Columns: change (`new`, `gone`, `×3.2`, `as before`), pattern, service, level, in, before, ratio, example, z. The
    ratio is of rates, since windows may differ in length; it is not there for what is new.
    """
    windows = found.windows
    after_s = windows.incident.length_ns / NS_PER_S
    before_s = windows.baseline.length_ns / NS_PER_S if windows.baseline else 0.0
    rows = [_ranked(row, before_s, after_s) for row in found.patterns.to_dict("records")]
    columns = ["change", "pattern", "service", "level", "in", "before", "ratio", "example", "z"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(
        ["z", "in", "service", "pattern"], ascending=[False, False, True, True], ignore_index=True
    )


def _ranked(row: dict[Any, Any], before_s: float, after_s: float) -> tuple[Any, ...]:
    n, was = int(row["count_incident"]), int(row["count_baseline"])
    z = rate_shift(was, before_s, n, after_s)
    ratio = (n / after_s) / (was / before_s) if was and before_s else None
    if not before_s:
        change = "–"
    elif not was or not n:
        change = "new" if n else "gone"
    else:
        change = "as before" if abs(z) < _Z else f"×{figures(ratio or 0.0, 2)}"
    named = [str(row[name] or "") for name in ("pattern", "service_name", "severity_text", "example")]
    return (change, *named[:3], n, was, ratio, named[3], z)


def patterns_finding(found: LogAnswer, ranked: pd.DataFrame) -> str:
    """Say which pattern rose most; that none did; and where counts are only estimates."""
    if ranked.empty:
        return "No patterns: there are no log records in these windows"
    first, count = ranked.iloc[0], len(ranked)
    about = "" if found.patterns["exact"].all() else " (counts are estimates of a sample)"
    if first["change"] == "–":
        return f"{count:,} patterns{about}; there is no baseline to compare with"
    if first["z"] < _Z:
        return f"No pattern came clearly more often than before{about}: {count:,} were compared"
    said = f"{short(first['service']) or 'a service'}: {short(first['pattern'], 100)}"
    how = "is new" if first["change"] == "new" else f"came {figures(first['ratio'], 2)} times as often"
    risen = int((ranked["z"] >= _Z).sum())
    return f"{said} {how}: {first['in']:,} records, before {first['before']:,}; {risen:,} of {count:,} patterns rose{about}"


def _pattern_row(row: dict[Any, Any], strongest: float) -> tuple[Html, ...]:
    return (
        join(
            (bar(_BAR * row["z"] / strongest, INCIDENT) if row["z"] >= _Z else Html(""), html(row["change"]))
        ),
        Html(f"<code>{html(row['pattern'], 160)}</code>") if row["pattern"] else Html("all other lines"),
        identifier(row["service"], 24),
        badge(level_of(row["level"]).lower()),
        Html(f"{row['in']:,}"),
        Html(f"{row['before']:,}"),
        html(row["example"], 160),
    )


def log_records(found: LogAnswer, *, zone: tzinfo | None = None) -> Table:
    """List the records that match, oldest first; the trace of each opens where the environment's links lead."""
    clock = Zone.at(found.windows.incident.start_ns, zone)
    words = records_finding(found)
    rows = [_record_row(found, row, clock) for row in found.records.to_dict("records")]
    heads = (f"time ({clock.name})", "level", "service", "pod", "text", "trace")
    body = table(heads, rows, caption=html(words, 400)) if rows else Html(f"<p>{html(words, 400)}</p>")
    columns = ["time_unix_nano", "severity_text", "service_name", "k8s_pod_name", "body", "trace_id"]
    return Table("log_records", body, words, found.records.reindex(columns=columns))


def records_finding(found: LogAnswer) -> str:
    """Say how many records match what was asked, and whether these are all."""
    asked = str(found.asked)
    of = f" of {short(found.service)}" if found.service else ""
    what = f"records{of}" + (f" with {short(asked, 160)}" if asked else "")
    span = f"in the {duration(found.windows.incident.length_ns)} of the window"
    count = len(found.records)
    if not count:
        return f"No {what} {span}"
    if found.notes[0].truncated or count >= found.asked.limit:
        return f"The first {count:,} {what} {span}; there are more: narrow the question or raise its limit"
    return f"{count:,} {what} {span}: all there are"


def _record_row(found: LogAnswer, row: dict[Any, Any], clock: Zone) -> tuple[Html, ...]:
    time_ns, trace_id = int(row["time_unix_nano"]), _text(row, "trace_id")
    fraction = f".{time_ns // 1_000_000 % 1000:03}"
    return (
        Html(clock.clock(time_ns) + fraction),
        badge(level_of(row["severity_text"]).lower()),
        identifier(_text(row, "service_name"), 24),
        identifier(_text(row, "k8s_pod_name") or "–", 24),
        html(_text(row, "body"), 400),
        trace_cell(found, trace_id, time_ns),
    )


def trace_cell(found: LogAnswer, trace_id: str, time_ns: int) -> Html:
    """Return a trace's id, with a link to it."""
    if not trace_id:
        return Html("–")
    around = Window(time_ns - _AROUND_NS, time_ns + _AROUND_NS)
    opened = [
        (n, u) for n, u in filled(found.environment, Subject(around, trace_id=trace_id)) if trace_id in u
    ]
    ends = [Html(f' <a href="{html(url, 2000)}">{html(name)}</a>') for name, url in opened[:1]]
    return join((identifier(trace_id, 13), *ends))


def _text(row: dict[Any, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
