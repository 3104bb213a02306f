"""A cluster's namespace as a ChangeSource: its objects are read once per question, and the past is read from them.

Only lists are asked for, nothing is changed. A kind that we may not read is a warning that says what is not seen then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from opslib.core.checks import Check
from opslib.core.clock import Clock
from opslib.core.columns import COLUMNS
from opslib.core.errors import ClusterError, NotFoundError, RefusedError, SourceError
from opslib.core.evidence import SourceNote
from opslib.core.outcome import Outcome
from opslib.core.windows import NS_PER_S, Window, rfc3339
from opslib.kube import Cluster, Object
from opslib.telemetry.collect import empty_frame
from opslib.telemetry.kubernetes.history import Namespace, rows_of
from opslib.telemetry.protocols import Frame

MOST_ROWS = 20_000
EVENTS_KEPT_S = 3600  # by the API server, unless it is told another --event-ttl
_KINDS = {
    "Event": ("v1", "warnings"),
    "Pod": ("v1", "restarts, and which pods have a new version"),
    "Deployment": ("apps/v1", "rollouts and scaling"),
    "ReplicaSet": ("apps/v1", "rollouts"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "whose scaling an autoscaler tells of"),
    "ConfigMap": ("v1", "changes of configuration"),
    "Secret": ("v1", "changes of secrets"),
}


class KubernetesChanges:
    """One namespace of one cluster; `services` is the environment's service map."""

    def __init__(self, cluster: Cluster, services: Mapping[str, Mapping[str, Any]], clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock
        workloads = ((str(said.get("workload", "")).partition("/"), name) for name, said in services.items())
        self._known = {
            workload: name
            for (kind, _, workload), name in workloads
            if kind in {"deploy", "deployment"} and workload
        }

    def events(self, window: Window) -> Frame:
        """Return what happened in the window, as far as the cluster still knows. Raises SourceError."""
        namespace, warnings = self._read()
        rows = [r for r in rows_of(namespace) if window.start_ns <= r["time_unix_nano"] < window.end_ns]
        if window.start_ns < self._clock.now_ns() - EVENTS_KEPT_S * NS_PER_S:
            warnings.append(
                "Kubernetes forgets events after an hour, unless its API server is told otherwise"
            )
        frame = _frame(rows)
        query = f"namespace {self._cluster.namespace}, {rfc3339(window.start_ns)} to {rfc3339(window.end_ns)}"
        truncated = len(frame) > MOST_ROWS
        frame = frame.tail(MOST_ROWS).reset_index(drop=True)
        note = SourceNote(
            "event",
            "kubernetes",
            f"kubernetes/{self._cluster.namespace}",
            query,
            len(frame),
            truncated,
            tuple(warnings),
        )
        return Frame(frame, note)

    def topology(self) -> Frame:
        """Return no rows: a cluster does not know who calls whom."""
        return Frame(
            empty_frame("topology"),
            SourceNote("topology", "kubernetes", f"kubernetes/{self._cluster.namespace}", "", 0),
        )

    def check(self) -> tuple[Check, ...]:
        """Return whether the cluster answers, and what of its changes we may not see."""
        try:
            version, (namespace, warnings) = self._cluster.version(), self._read()
        except (ClusterError, RefusedError, SourceError) as error:
            return (Check("changes", Outcome.ERROR, str(error), error.hint),)
        found = sum(len(objects) for objects in namespace.objects.values())
        said = f"Kubernetes {version}, namespace {self._cluster.namespace}: {found} objects"
        seen = Check(
            "changes", Outcome.PASS if found else Outcome.NO_DATA, said, "" if found else "is it this one?"
        )
        return (
            seen,
            *(Check("changes", Outcome.FAIL, text, "see the environment's rights") for text in warnings),
        )

    def _read(self) -> tuple[Namespace, list[str]]:
        objects: dict[str, list[Object]] = {}
        warnings: list[str] = []
        for kind, (api_version, tells) in _KINDS.items():
            try:
                found = self._cluster.kind(api_version, kind)
                objects[kind] = self._cluster.list_objects(found, self._cluster.namespace)
            except (RefusedError, NotFoundError) as error:
                warnings.append(f"cannot read {kind} objects, so {tells} are not seen: {error}")
            except ClusterError as error:
                raise SourceError(f"kubernetes: {error}", hint=error.hint) from error
        if not objects:
            raise SourceError(f"kubernetes: {warnings[0]}", hint="see the environment's rights")
        return Namespace(objects, self._known), warnings


def _frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows by time, equal ones once, whatever order the server answered in."""
    columns = [column.name for column in COLUMNS["events"]]
    texts = sorted(
        {tuple(_cell(row[name]) for name in columns) for row in rows},
        key=lambda row: (row[0], *map(str, row[1:])),
    )
    return pd.DataFrame(texts, columns=columns) if texts else empty_frame("events")


def _cell(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
