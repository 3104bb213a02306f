"""Links of an environment, opened at the service and the time range that is being talked about.

A template of `opslib.toml` may hold {service}, {start_ms}, {end_ms}, {start_s} and {end_s}; values are quoted for a URL,
and what is no http(s) URL is no link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from opslib.core.windows import Window

_URL = re.compile(r"https?://[^\s\"'<>\\]+")


def filled(links: Mapping[str, str], service: str, window: Window) -> tuple[tuple[str, str], ...]:
    """Return (name, URL) of each usable link, by name."""
    values = {
        "service": service,
        "start_ms": str(window.start_ns // 1_000_000),
        "end_ms": str(window.end_ns // 1_000_000),
        "start_s": str(window.start_ns // 1_000_000_000),
        "end_s": str(window.end_ns // 1_000_000_000),
    }

    def value(match: re.Match[str]) -> str:
        return quote(values[match[1]], safe="") if match[1] in values else match[0]

    urls = ((name, re.sub(r"\{(\w+)\}", value, str(link))) for name, link in sorted(links.items()))
    return tuple((name, url) for name, url in urls if _URL.fullmatch(url))
