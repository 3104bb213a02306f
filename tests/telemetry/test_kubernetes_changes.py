"""What a cluster tells of the past, from objects as Kubernetes keeps them; on clusters: tests/conformance."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from opslib.core.clock import SystemClock
from opslib.core.errors import ClusterError, ForbiddenError, SourceError, UsageError
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import Window, parse_instant_ns, rfc3339
from opslib.kube import Kind
from opslib.telemetry.kubernetes import connect
from opslib.telemetry.kubernetes.source import KubernetesChanges

DAY = "2026-11-25T"
WINDOW = Window(*(parse_instant_ns(f"{DAY}{at}:00Z", 0) for at in ("10:00", "11:00")))
VERSION = "app.kubernetes.io/version"


def meta(name: str, at: str = "09:00:00", owner: dict | None = None, **more: Any) -> dict[str, Any]:
    owners = [{"controller": True, **{k: owner[k] for k in ("kind", "uid", "name")}}] if owner else []
    return {
        "name": name, "namespace": "shop", "uid": f"uid-{name}", "creationTimestamp": f"{DAY}{at}Z",
        "ownerReferences": owners, **more,
    }  # fmt: skip


def owner(kind: str, name: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "uid": f"uid-{name}"}


def template(version: str, **pod: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {VERSION: version}},
        "spec": {"containers": [{"image": f"r:5000/payment:{version}"}], **pod},
    }


def deployment(
    name: str = "payment", at: str = "09:00:00", version: str = "1", **more: Any
) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "payment"}
    return {
        "metadata": meta(name, at, labels=labels, **more),
        "spec": {"replicas": 3, "template": template(version, volumes=[{"configMap": {"name": "rules"}}])},
    }


def replica_set(
    name: str, version: str, at: str, revision: str, history: str = "", of: str = "payment"
) -> dict[str, Any]:
    notes = {
        "deployment.kubernetes.io/revision": revision,
        "deployment.kubernetes.io/revision-history": history,
    }
    return {
        "metadata": meta(name, at, owner("Deployment", of), annotations=notes),
        "spec": {"template": template(version)},
    }


def pod(name: str, of: str, **status: Any) -> dict[str, Any]:
    return {"metadata": meta(name, owner=owner("ReplicaSet", of)), "status": status}


def event(message: str, about: tuple[str, str], first: str, last: str = "", **more: Any) -> dict[str, Any]:
    kind, name = about
    return {
        "metadata": meta("e", first), "involvedObject": {"kind": kind, "name": name, "namespace": "shop"},
        "type": "Warning", "reason": "Unhealthy", "message": message,
        "firstTimestamp": f"{DAY}{first}Z", "lastTimestamp": f"{DAY}{last or first}Z", **more,
    }  # fmt: skip


class Objects:
    """A cluster of one namespace that has these objects, or raises in their stead."""

    namespace = "shop"

    def __init__(self, **kinds: list | Exception) -> None:
        self.kinds = kinds

    def kind(self, api_version: str, kind: str) -> Kind:
        return Kind(api_version, kind, kind.lower(), namespaced=True)

    def list_objects(self, kind: Kind, namespace: str) -> list:
        found = self.kinds.get(kind.kind, [])
        if isinstance(found, Exception):
            raise found
        assert namespace == "shop"
        return found

    def version(self) -> str:
        return "v1.34.2"


CLOCK = SimpleNamespace(now_ns=lambda: WINDOW.end_ns)


def told(services: dict | None = None, window: Window = WINDOW, **kinds: list) -> list[tuple]:
    """Time, reason, service, message and attributes of what is told."""
    frame = KubernetesChanges(Objects(**kinds), services or {}, CLOCK).events(window).frame
    return [
        (rfc3339(r.time_unix_nano)[11:19], r.reason, r.name, r.message, json.loads(r.attributes))
        for r in frame.itertuples(index=False)
    ]


OLD, NEW = replica_set("payment-a", "1", "09:00:00", "1"), replica_set("payment-b", "2", "10:20:00", "2")


def test_a_revision_with_another_version_is_a_rollout() -> None:
    pods = [pod("payment-b-2", "payment-b"), pod("payment-b-1", "payment-b"), pod("payment-a-1", "payment-a")]

    assert told(Deployment=[deployment(version="2")], ReplicaSet=[NEW, OLD], Pod=pods) == [
        (
            "10:20:00", "Rollout", "payment", "payment rolled out: 1 -> 2",
            {"from": "1", "to": "2", "pods": ["payment-b-1", "payment-b-2"]},
        )
    ]  # fmt: skip


def test_a_revision_of_the_same_version_is_configuration() -> None:
    same = replica_set("payment-b", "1", "10:20:00", "2")

    assert told(Deployment=[deployment()], ReplicaSet=[OLD, same]) == [
        ("10:20:00", "Config", "payment", "the pod template of payment was changed", {})
    ]


BACK = replica_set("payment-a", "1", "09:00:00", "3", history="1")
STARTED = event(
    "Scaled up replica set payment-a from 0 to 1", ("Deployment", "payment"), "09:00:01", "10:40:00",
    reason="ScalingReplicaSet", type="Normal", count=2,
)  # fmt: skip


def rollouts(rows: list[tuple]) -> list[tuple]:
    return [(row[0], row[3]) for row in rows if row[1] == "Rollout"]


def test_a_revision_that_came_back_began_when_its_replica_set_was_scaled_up_again() -> None:
    rows = told(Deployment=[deployment()], ReplicaSet=[BACK, NEW], Event=[STARTED])

    assert rollouts(rows) == [
        ("10:20:00", "payment rolled out: 1 -> 2"),
        ("10:40:00", "payment rolled out: 2 -> 1"),
    ]


def test_without_that_event_the_owner_of_the_template_says_when() -> None:
    written = {"manager": "kubectl", "time": f"{DAY}10:41:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}}
    other = {"manager": "me", "time": f"{DAY}10:30:00Z", "fieldsV1": {"f:metadata": {}}}
    known = deployment(managedFields=[other, written])

    assert ("10:41:00", "payment rolled out: 2 -> 1") in rollouts(
        told(Deployment=[known], ReplicaSet=[BACK, NEW])
    )
    assert rollouts(told(Deployment=[deployment()], ReplicaSet=[BACK, NEW])) == [
        ("10:20:00", "payment rolled out: 1 -> 2")
    ], "nothing tells when it came back"


def test_a_second_deployment_of_a_service_is_a_rollout_of_its_version() -> None:
    canary = deployment("payment-canary", "10:05:00", "2")
    sets = [OLD, replica_set("payment-canary-x", "2", "10:05:01", "1", of="payment-canary")]

    assert told(Deployment=[canary, deployment()], ReplicaSet=sets) == [
        ("10:05:01", "Rollout", "payment", "payment rolled out: 1 -> 2", {"from": "1", "to": "2", "pods": []})
    ]
    assert told(Deployment=[deployment()], ReplicaSet=[OLD]) == [], "what was there before is no change"


def scaling(numbers: str, at: str) -> dict:
    return event(
        f"Scaled up replica set payment-a {numbers}", ("Deployment", "payment"), at, at,
        reason="ScalingReplicaSet", type="Normal",
    )  # fmt: skip


def test_scaling_is_told_by_the_controller_where_somebody_wrote_the_scale() -> None:
    scaled = {"manager": "kubectl", "subresource": "scale", "fieldsV1": {}}
    status = {"manager": "controller", "subresource": "status", "time": f"{DAY}10:11:00Z"}
    known = deployment(managedFields=[scaled, status])
    events = [
        scaling("from 1 to 2", "10:05:00"), scaling("from 2 to 3", "10:10:00"), scaling("from 0 to 3", "10:20:00"),
    ]  # fmt: skip

    def scales(rows: list[tuple]) -> list[tuple]:
        return [(row[0], row[3]) for row in rows if row[1] == "Scale"]

    assert scales(told(Deployment=[known], Event=events)) == [
        ("10:10:00", "payment was scaled to 3 replicas")
    ]
    assert scales(told(Deployment=[known])) == [], "nothing tells when"
    assert scales(told(Deployment=[deployment(managedFields=[status])], Event=events)) == [], (
        "a rollout did it"
    )


def test_a_configuration_that_was_changed_concerns_whoever_reads_it() -> None:
    def written(name: str, *times: str, **more: Any) -> dict:
        return {
            "metadata": meta(
                name, managedFields=[{"manager": "me", "time": f"{DAY}{t}Z"} for t in times], **more
            )
        }

    maps = [
        written("rules", "09:00:00", "10:15:00"),
        written("other", "10:16:00"),
        written("new", "09:00:00"),
        written("leader", "10:20:00", annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}),
        written("kube-root-ca.crt", "10:20:00"),
    ]
    secrets = [written("rules", "10:17:00")]
    reader = deployment()
    reader["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "rules"}}]

    assert told(Deployment=[reader], ConfigMap=maps, Secret=secrets) == [
        ("10:15:00", "Config", "payment", "ConfigMap rules was changed by me", {"configmap": "rules"}),
        ("10:16:00", "Config", "other", "ConfigMap other was changed by me", {"configmap": "other"}),
        ("10:17:00", "Config", "payment", "Secret rules was changed by me", {"secret": "rules"}),
    ]


def test_a_container_that_ended_is_told_with_its_reason() -> None:
    def status(code: int, reason: str, at: str) -> dict:
        ended = {"exitCode": code, "reason": reason, "finishedAt": f"{DAY}{at}Z"}
        return {"name": "app", "restartCount": 4, "lastState": {"terminated": ended}}

    pods = [
        pod("p-1", "payment-a", containerStatuses=[status(137, "OOMKilled", "10:30:00")]),
        pod(
            "p-2",
            "payment-a",
            containerStatuses=[status(1, "Error", "08:30:00"), {"name": "b", "lastState": {}}],
        ),
        pod("p-3", "payment-a"),
    ]

    assert told(Deployment=[deployment()], ReplicaSet=[OLD], Pod=pods) == [
        (
            "10:30:00", "OOMKilled", "payment", "container app ended with exit code 137; restarts: 4",
            {"pod": "p-1", "count": 4},
        )
    ]  # fmt: skip


def test_events_stand_under_the_service_that_they_concern() -> None:
    scaler = {
        "metadata": meta("scaler"),
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "payment"}},
    }
    events = [
        event("now", ("Pod", "payment-a-1"), "10:01:00"),
        event("gone", ("Pod", "payment-a-9"), "10:02:00"),
        event("scaler", ("HorizontalPodAutoscaler", "scaler"), "10:03:00"),
        event("nobody's", ("Pod", "other"), "10:04:00"),
        event("before", ("Pod", "payment-a-1"), "08:00:00", "09:00:00"),
        event("twice", ("Pod", "payment-a-1"), "10:05:00", "10:06:00", count=7),
    ]
    series = event("series", ("Pod", "other"), "10:07:00")
    series |= {"firstTimestamp": None, "lastTimestamp": None, "eventTime": f"{DAY}08:00:00.000001Z"}
    series["series"] = {"lastObservedTime": f"{DAY}10:07:30.000001Z"}
    kinds = {"Deployment": [deployment()], "ReplicaSet": [OLD], "HorizontalPodAutoscaler": [scaler]}

    rows = told(Event=[*events, series], Pod=[pod("payment-a-1", "payment-a")], **kinds)

    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("10:01:00", "payment", "now"),
        ("10:02:00", "payment", "gone"),
        ("10:03:00", "payment", "scaler"),
        ("10:04:00", "other", "nobody's"),
        ("10:05:00", "payment", "twice"),
        ("10:06:00", "payment", "twice"),
        ("10:07:30", "other", "series"),
    ]
    assert rows[-2][4] == {"pod": "payment-a-1", "count": 7}


def test_a_service_has_its_name_of_the_map() -> None:
    services = {"pay": {"workload": "deploy/payment"}, "other": {"workload": "statefulset/payment"}, "x": {}}

    assert {row[2] for row in told(services, Deployment=[deployment()], ReplicaSet=[OLD, NEW])} == {"pay"}


def test_the_order_of_the_answers_does_not_show_and_the_note_says_what_was_asked() -> None:
    kinds = {
        "Deployment": [deployment()],
        "ReplicaSet": [OLD, NEW],
        "Event": [event("a", ("Pod", "b"), "10:20:00")],
    }
    frames = [
        KubernetesChanges(Objects(**{k: v[::step] for k, v in kinds.items()}), {}, CLOCK).events(WINDOW)
        for step in (1, -1)
    ]

    assert frames[0].frame.equals(frames[1].frame)
    assert frames[0].note.rows == 2
    assert "namespace shop" in frames[0].note.query
    assert not frames[0].note.warnings
    early = Window(WINDOW.start_ns - 1, WINDOW.end_ns)
    assert "forgets" in KubernetesChanges(Objects(), {}, CLOCK).events(early).note.warnings[0]


def test_what_may_not_be_read_is_a_warning_and_a_cluster_that_is_gone_an_error() -> None:
    some = Objects(Secret=ForbiddenError("no right to list secrets"), Deployment=[deployment()])
    source = KubernetesChanges(some, {}, CLOCK)
    (warning,) = source.events(WINDOW).note.warnings
    said = source.check()

    assert "changes of secrets" in warning
    assert [check.outcome for check in said] == [Outcome.PASS, Outcome.FAIL]
    assert "v1.34.2" in said[0].statement
    gone = KubernetesChanges(Objects(Event=ClusterError("no answer", hint="h")), {}, CLOCK)
    with pytest.raises(SourceError, match="no answer"):
        gone.events(WINDOW)
    assert gone.check()[0].outcome is Outcome.ERROR
    kinds = ("Event", "Pod", "Deployment", "ReplicaSet", "HorizontalPodAutoscaler", "ConfigMap", "Secret")
    with pytest.raises(SourceError, match="who are you"):
        KubernetesChanges(Objects(**dict.fromkeys(kinds, ForbiddenError("who are you"))), {}, CLOCK).events(
            WINDOW
        )


def test_it_takes_no_options() -> None:
    with pytest.raises(UsageError, match="no options"):
        connect(SourceSettings("kubernetes", options={"x": 1}), Environment("e"), "e, changes", SystemClock())
