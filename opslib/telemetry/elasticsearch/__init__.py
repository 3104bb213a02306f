"""Logs from Elasticsearch, and from OpenSearch by its dialect."""

from __future__ import annotations

from typing import Any

from opslib.core.checks import Check
from opslib.core.clock import Clock
from opslib.core.errors import UsageError
from opslib.core.settings import Environment, SourceSettings
from opslib.telemetry.elasticsearch import checks
from opslib.telemetry.elasticsearch.documents import Naming
from opslib.telemetry.elasticsearch.server import Server
from opslib.telemetry.elasticsearch.source import ElasticsearchLogs
from opslib.telemetry.endpoint import endpoint
from opslib.telemetry.http import Http

__all__ = ["ElasticsearchLogs", "check", "connect"]

_INDEX = "filebeat-*,logs-*"


def connect(
    settings: SourceSettings, environment: Environment, where: str, clock: Clock
) -> ElasticsearchLogs:
    """Return the logs of `index` (default `filebeat-*,logs-*`), by the time in `time_field`. Raises UsageError.

    A service of the environment's map may say `logs = {field = "kubernetes.labels.app", value = "NAME"}`, or its name alone.
    """
    index, time = settings.options.get("index", _INDEX), settings.options.get("time_field", "@timestamp")
    if not isinstance(index, str) or not index or set(index) & set('/\\?"<>| #') or not isinstance(time, str):
        raise UsageError(f"{where}: index and time_field are names", hint='such as index = "filebeat-*"')
    found = endpoint(settings, where, frozenset({"index", "time_field"}), environment.origin)
    return ElasticsearchLogs(Server(Http(found, clock=clock), index), _naming(environment, where), time)


def check(settings: SourceSettings, environment: Environment, where: str, clock: Clock) -> tuple[Check, ...]:
    """Return what `opslib doctor` says of the log server. Raises UsageError for options that cannot be."""
    mapped = [name for name, names in environment.services.items() if "logs" in names]
    return checks.check(connect(settings, environment, where, clock), mapped, clock)


def _naming(environment: Environment, where: str) -> Naming:
    mapped, renamed = [], {}
    for name, names in environment.services.items():
        said: Any = names.get("logs")
        if isinstance(said, str):
            renamed[said] = name
        elif isinstance(said, dict) and {"field", "value"} == set(said):
            mapped.append((name, str(said["field"]), str(said["value"])))
        elif said is not None:
            raise UsageError(
                f"{where}: logs of the service {name} are a name, or a field and its value",
                hint='logs = {field = "kubernetes.labels.app", value = "payment"}',
            )
    return Naming(tuple(mapped), renamed)
