"""Dashboards that other systems import: held to their published types, and to what the log queries ask."""

import json

import pytest
import yaml
from click.testing import CliRunner

from opslib.cli import cli
from opslib.core.errors import RefusedError
from opslib.telemetry.dashboards import grafana, kibana, queries
from opslib.telemetry.dashboards.exporter import export_dashboards

# Kibana: src/plugins/saved_search/server/saved_objects/schema.ts, SCHEMA_SEARCH_BASE
SEARCH_ATTRIBUTES = {
    "title": str, "description": str, "columns": list, "sort": list, "grid": dict, "rowHeight": int, "hideChart": bool,
    "breakdownField": str, "kibanaSavedObjectMeta": dict, "isTextBasedQuery": bool, "timeRestore": bool, "viewMode": str,
}  # fmt: skip


def names_in(value):
    """All keys of nested data, with their path."""
    if isinstance(value, dict):
        return set(value) | {f"{k}.{n}" for k, v in value.items() for n in names_in(v)}
    if isinstance(value, list):
        return {n for v in value for n in names_in(v)}
    return set()


def test_the_dashboard_is_what_grafanas_own_types_read_and_write():
    sdk = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    plugins.register_default_plugins()
    ours = grafana.dashboard()
    read = json.loads(encoder.JSONEncoder().encode(sdk.Dashboard.from_json(ours)))
    assert names_in(ours) <= names_in(read), "a name that Grafana's types do not know would be dropped"
    for panel, again in zip(ours["panels"], read["panels"], strict=True):
        assert [t["expr"] for t in panel.get("targets", [])] == [
            t["expr"] for t in again.get("targets") or []
        ]


def test_panels_do_not_overlap_and_fill_the_grid():
    taken = set()
    for panel in grafana.dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells
    assert {x for x, _ in taken} == set(range(24))


def test_each_variable_of_a_query_is_one_of_the_dashboard():
    known = {v["name"] for v in grafana.dashboard()["templating"]["list"]} | {"__rate_interval"}
    for questions in queries.ROWS.values():
        for question in questions:
            for query in question.queries:
                used = {part.split('"')[0].split("-")[0].split("]")[0] for part in query.expr.split("$")[1:]}
                assert used <= known, query.expr


def test_panels_have_distinct_ids_and_titles_within_their_row():
    panels = grafana.dashboard()["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    for questions in queries.ROWS.values():
        assert len({q.title for q in questions}) == len(questions)


def test_saved_searches_keep_to_kibanas_schema_and_refer_to_the_data_view():
    view, *searches = map(json.loads, kibana.saved_objects("logs-*").splitlines())
    assert (view["type"], view["attributes"]["title"]) == ("index-pattern", "logs-*")
    for search in searches:
        for name, value in search["attributes"].items():
            assert isinstance(value, SEARCH_ATTRIBUTES[name]), name
        source = json.loads(search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        assert source["query"]["language"] == "kuery"
        (reference,) = search["references"]
        assert (reference["id"], reference["name"]) == (view["id"], source["indexRefName"])


def test_an_export_is_a_new_folder(tmp_path):
    written = export_dashboards(tmp_path / "out")
    assert {path.parent.name for path in written} == {"grafana", "kibana", "prometheus", "filebeat", "jaeger"}
    for path in written:
        assert "{{" not in path.read_text() or path.suffix == ".json", f"{path.name} has a hole"
        if path.suffix in {".yml", ".yaml"}:
            assert isinstance(yaml.safe_load(path.read_text()), dict)
    assert json.loads((tmp_path / "out" / "grafana" / "opslib-red.json").read_text()) == grafana.dashboard()
    with pytest.raises(RefusedError):
        export_dashboards(tmp_path / "out")


def test_the_command_says_what_to_do_with_each_file(tmp_path):
    found = CliRunner().invoke(cli, ["dashboards", "export", "--out", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    assert "Saved Objects, Import" in found.output
    found = CliRunner().invoke(cli, ["dashboards", "export", "--out", str(tmp_path / "o2"), "--json"])
    assert len(json.loads(found.stdout)) >= 2
