"""Writes dashboards, saved searches and collector configurations to a new folder, one folder a system."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from opslib.telemetry.capture.appearing import appearing
from opslib.telemetry.dashboards.grafana import UID, dashboard
from opslib.telemetry.dashboards.kibana import saved_objects


def export_dashboards(out: Path, *, index: str = "filebeat-*") -> tuple[Path, ...]:
    """Write everything to `out` and return the files. Raises RefusedError where it holds anything, CaptureError."""
    content = {
        f"grafana/{UID}.json": json.dumps(dashboard(), indent=2) + "\n",
        "kibana/opslib.ndjson": saved_objects(index),
        **_configurations(),
    }
    with appearing(out, "an export") as hidden:
        for name, text in content.items():
            path = hidden / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return tuple(out / name for name in content)


# What the project's tests fill in for their own servers, as a usual installation has it.
_USUAL = {
    "interval": "15s",
    "native": "",
    "classic": "",
    "scrape": "/etc/prometheus/targets",
    "storage": "elasticsearch",
    "backend": '{elasticsearch: {server_urls: ["http://elasticsearch:9200"]}}',
    "http": "16686",
    "grpc": "16685",
    "otlp": "4318",
    "otlp_grpc": "4317",
}


def _configurations() -> dict[str, str]:
    """Return the configurations that the project's own servers are run with, by system and file name."""
    folder = files("opslib.telemetry.dashboards") / "configurations"
    systems = [system for system in folder.iterdir() if system.is_dir()]
    found = ((system.name, file) for system in systems for file in system.iterdir())
    return {
        f"{system}/{file.name}": _filled(file.read_text(encoding="utf-8"))
        for system, file in sorted(found, key=lambda pair: (pair[0], pair[1].name))
        if not file.name.startswith((".", "_"))
    }


def _filled(template: str) -> str:
    """Fill in what is usual; a line that held nothing else goes."""
    lines = (re.sub(r"\{\{(\w+)\}\}", lambda m: _USUAL[m[1]], line) for line in template.splitlines())
    kept = (
        new for new, old in zip(lines, template.splitlines(), strict=True) if new.strip() or not old.strip()
    )
    return "\n".join(kept) + "\n"
