"""`opslib dashboards export`: what the investigations ask, for Grafana and Kibana, and how the collectors are set up."""

from __future__ import annotations

from pathlib import Path

import click

from opslib.cli.output import echo_json, json_option, table

# file's folder -> what to do with it
_NEXT = {
    "grafana": "Dashboards, New, Import; or POST /api/dashboards/db",
    "kibana": "Stack Management, Saved Objects, Import",
    "prometheus": "its scrape_configs, in prometheus.yml",
    "filebeat": "filebeat -c filebeat.yml",
    "jaeger": "jaeger --config config.yaml (an OpenTelemetry collector's configuration)",
    "elasticsearch": "PUT _index_template/filebeat where Filebeat has not made its own",
}


@click.group(help="Export dashboards, saved searches and collector configurations.")
def command() -> None: ...


@command.command("export")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A new folder.")
@click.option("--index", default="filebeat-*", show_default=True, help="Index pattern of the logs.")
@json_option
def export(out: Path, index: str, as_json: bool) -> None:  # noqa: FBT001
    """Write a Grafana dashboard, Kibana saved searches, and configurations for scrapes, Filebeat and OpenTelemetry."""
    from opslib.telemetry.dashboards.exporter import export_dashboards  # noqa: PLC0415

    written = export_dashboards(out, index=index)
    if as_json:
        echo_json([str(path) for path in written])
        return
    click.echo(table(("file", "next"), [(str(path), _NEXT.get(path.parent.name, "")) for path in written]))
