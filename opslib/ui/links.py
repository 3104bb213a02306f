"""Links into the systems of an environment, opened at what is being talked about and at its range of time.

A link of `opslib.toml` is a template, or for `grafana`, `kibana` and `jaeger` only where the system is: then the kit
knows the rest. Values are quoted for a URL; a link that asks for what is not known, or is no http(s) URL, is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from opslib.core.model import Finding
from opslib.core.settings import Environment
from opslib.core.windows import Window, Windows, rfc3339
from opslib.ui.text import Html, html, join

_URL = re.compile(r"https?://[^\s\"'<>\\]+")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Which system shows a signal; the first one named opens a finding of it.
_SHOWS = {"trace": "jaeger", "log": "kibana", "metric": "grafana", "event": "grafana"}
# A time between quotes is rison's text; an apostrophe is written %27, as no URL in HTML may hold one.
_TIMES = "from:%27{start_iso}%27,to:%27{end_iso}%27"
_KNOWN = {
    "grafana": "/d/opslib-red?from={start_ms}&to={end_ms}&var-service={metrics_service}&var-workload={workload}",
    "kibana": f"/app/discover#/?_g=(time:({_TIMES}))&_a=(query:(language:kuery,query:%27{{kql}}%27))",
    "jaeger": "/search?service={traces_service}&start={start_us}&end={end_us}&lookback=custom&limit=100",
}
_TRACE = {"jaeger": "/trace/{trace_id}"}  # where a system has a page for one trace


@dataclass(frozen=True, slots=True)
class Subject:
    """What a link is to show; an empty text is not known, or means all."""

    window: Window
    service: str = ""
    pod: str = ""
    trace_id: str = ""
    text: str = ""


def filled(environment: Environment, subject: Subject) -> tuple[tuple[str, str], ...]:
    """Return (name, URL) of each usable link of an environment, by name."""
    values = _values(environment, subject)
    urls = ((name, _fill(_template(name, link, subject), values)) for name, link in environment.links.items())
    return tuple((name, url) for name, url in sorted(urls) if url and _URL.fullmatch(url))


def of_finding(
    environment: Environment, finding: Finding, service: str, windows: Windows
) -> tuple[tuple[str, str], ...]:
    """Return the links for a finding over both windows it compares, the system that shows its signal first."""
    window, baseline = windows.incident, windows.baseline
    if (
        baseline and window.start_ns - baseline.end_ns <= window.length_ns
    ):  # else the time between would hide both
        window = Window(min(baseline.start_ns, window.start_ns), max(baseline.end_ns, window.end_ns))
    found = filled(environment, Subject(window, service))
    return tuple(sorted(found, key=lambda link: (link[0] != _SHOWS.get(finding.signal), link[0])))


def anchors(links: tuple[tuple[str, str], ...]) -> Html:
    """Return links for a cell of a table."""
    return join([Html(f'<a href="{html(url, 2000)}">{html(name)}</a>') for name, url in links], " ")


def _template(name: str, link: str, subject: Subject) -> str:
    """Return a template as it was given; what is only the address of a known system gets the rest of it."""
    if name not in _KNOWN or "{" in link or urlsplit(link).query or urlsplit(link).fragment:
        return link
    path = _TRACE[name] if subject.trace_id and name in _TRACE else _KNOWN[name]
    return link.rstrip("/") + path


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Return the URL, empty where the template asks for a value that is not known; other braces stay."""
    asked = set(_PLACEHOLDER.findall(template)) & set(values)
    if any(not values[name] for name in asked - {"kql"}):
        return ""
    return _PLACEHOLDER.sub(lambda m: quote(values[m[1]], safe="") if m[1] in values else m[0], template)


def _values(environment: Environment, subject: Subject) -> dict[str, str]:
    window, service = subject.window, subject.service
    ours = environment.services.get(service, {})
    return {
        "service": service,
        "traces_service": str(ours.get("traces") or service),
        "metrics_service": str(_part(ours, "metrics", "value") or service),
        "workload": str(ours.get("workload") or service).rpartition("/")[2],
        "pod": subject.pod,
        "trace_id": subject.trace_id,
        "kql": _rison(_kql(ours, subject)),
        "start_iso": rfc3339(_whole_ms(window.start_ns)),
        "end_iso": rfc3339(_whole_ms(window.end_ns)),
    } | {
        f"{end}_{unit}": str(time_ns // size)
        for end, time_ns in (("start", window.start_ns), ("end", window.end_ns))
        for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000))
    }


def _whole_ms(time_ns: int) -> int:
    return time_ns // 1_000_000 * 1_000_000


def _part(ours: Mapping[str, Any], signal: str, key: str) -> Any:
    named = ours.get(signal)
    return named.get(key) if isinstance(named, Mapping) else None


def _kql(ours: Mapping[str, Any], subject: Subject) -> str:
    """Return a query in Kibana's language for the records of a subject."""
    field = str(_part(ours, "logs", "field") or "service.name")
    value = str(_part(ours, "logs", "value") or subject.service)
    wanted = {
        field: value,
        "kubernetes.pod.name": subject.pod,
        "trace.id": subject.trace_id,
        "message": subject.text,
    }
    return " and ".join(f"{name}: {_quoted(text)}" for name, text in wanted.items() if text)


def _quoted(text: str) -> str:
    """Return a text between KQL's quotes, which are escaped as JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _rison(text: str) -> str:
    """Return a text as it stands between rison's quotes."""
    return text.replace("!", "!!").replace("'", "!'")
