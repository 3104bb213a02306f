"""The dashboard as Grafana's classic JSON model, which every Grafana from 9 on imports; held by tests to its SDK's types."""

from __future__ import annotations

from typing import Any

from opslib.telemetry.dashboards.queries import ROWS, Query, Question

UID = "opslib-red"
_WIDTH, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard; its data source, namespace and service are variables, so it fits any installation."""
    return {
        "uid": UID,
        "title": "Services: rate, errors, duration, saturation",
        "description": "What opslib's investigations ask: by service and version, with restarts, probes and traffic shares.",
        "tags": ["opslib"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 36,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": _panels(),
        "links": [],
    }


def _variables() -> list[dict[str, Any]]:
    source = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
    }
    return [
        source,
        _query_variable("namespace", "label_values(kube_pod_info, namespace)"),
        _query_variable("workload", "label_values(kube_deployment_labels, deployment)"),
        _query_variable("service", "label_values(http_server_request_duration_seconds_count, service_name)"),
    ]


def _query_variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "hide": 0,
        "sort": 1,
    }


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, questions in ROWS.items():
        place = {"h": 1, "w": _WIDTH, "x": 0, "y": y}
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        width = _WIDTH // len(questions)
        for column, question in enumerate(questions):
            place = {"h": _HEIGHT, "w": width, "x": column * width, "y": y + 1}
            panels.append({"id": len(panels) + 1, **_panel(question), "gridPos": place})
        y += 1 + _HEIGHT
    return panels


def _panel(question: Question) -> dict[str, Any]:
    stacking = {"mode": "normal" if question.stacked else "none", "group": "A"}
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if question.stacked else 0,
        "stacking": stacking,
    }
    return {
        "type": "timeseries",
        "title": question.title,
        "datasource": _SOURCE,
        "targets": [
            _target(letter, query) for letter, query in zip("ABCDEF", question.queries, strict=False)
        ],
        "fieldConfig": {"defaults": {"unit": question.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _target(letter: str, query: Query) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "range": True,
    }
