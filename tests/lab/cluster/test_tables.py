"""Tables: how long ago, how well, and the columns of built-in and custom kinds."""

import pytest

from opslib.lab.cluster.cells import TABLES, duration
from opslib.lab.cluster.jsonpaths import values_at
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.resources import Column, Resource, Resources
from opslib.lab.cluster.tables import Tables

NOW_NS = 1_800_000_000_000_000_000
RESOURCES = Resources()


def cells(resource: str, obj: dict) -> dict:
    metadata = {"name": "x", "creationTimestamp": stamp(NOW_NS - 90 * 10**9), **obj.get("metadata", {})}
    table = Tables(RESOURCES.find(resource), lambda: NOW_NS).table([{**obj, "metadata": metadata}], {})
    return dict(zip([c["name"] for c in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (123, "2m3s"), (599, "9m59s"), (600, "10m"),
        (10_799, "179m"), (10_800, "3h"), (12_000, "3h20m"), (28_799, "7h59m"), (28_800, "8h"),
        (172_799, "47h"), (172_800, "2d"), (190_800, "2d5h"), (691_199, "7d23h"), (777_600, "9d"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def container(state: dict, *, ready: bool = False, restarts: int = 0, last: dict | None = None) -> dict:
    return {"name": "c", "state": state, "ready": ready, "restartCount": restarts, "lastState": last or {}}


def pod(*statuses: dict, phase: str = "Running", **status) -> dict:
    spec = {"containers": [{"name": "c"}]}
    return {"spec": spec, "status": {"phase": phase, "containerStatuses": list(statuses), **status}}


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (pod(phase="Pending"), "Pending"),
        (pod(container({"running": {}}, ready=True)), "Running"),
        (pod(container({"waiting": {"reason": "CrashLoopBackOff"}})), "CrashLoopBackOff"),
        (pod(container({"terminated": {"exitCode": 3}})), "ExitCode:3"),
        (pod(container({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})), "OOMKilled"),
        (pod(phase="Failed", reason="Evicted"), "Evicted"),
        (pod(initContainerStatuses=[container({"running": {}})]), "Init:0/1"),
        (
            pod(initContainerStatuses=[container({"waiting": {"reason": "ErrImagePull"}})]),
            "Init:ErrImagePull",
        ),
        (
            pod(
                container({"running": {}}), initContainerStatuses=[container({"terminated": {"exitCode": 0}})]
            ),
            "Running",
        ),
    ],
)
def test_the_status_of_a_pod(obj: dict, text: str) -> None:
    assert cells("pods", obj)["Status"] == text
    ending = {**obj, "metadata": {"deletionTimestamp": stamp(NOW_NS)}}
    assert cells("pods", ending)["Status"] == "Terminating"


def test_the_other_cells_of_a_pod() -> None:
    last = {"terminated": {"exitCode": 1, "finishedAt": stamp(NOW_NS - 16 * 60 * 10**9)}}
    shown = cells(
        "pods", pod(container({"running": {}}, ready=True, restarts=1, last=last), podIP="127.20.0.2")
    )
    assert shown == {
        "Name": "x",
        "Ready": "1/1",
        "Status": "Running",
        "Restarts": "1 (16m ago)",
        "Age": "90s",
        "IP": "127.20.0.2",
        "Node": "<none>",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }


def test_cells_of_workloads_services_and_jobs() -> None:
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}},
    }
    shown = cells("deployments.apps", {"spec": spec, "status": {"readyReplicas": 1}})
    assert (shown["Ready"], shown["Up-to-date"], shown["Images"], shown["Selector"]) == (
        "1/2",
        0,
        "i,j",
        "app=web",
    )
    service = {"spec": {"type": "ClusterIP", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}}
    assert cells("services", service)["Port(s)"] == "80/TCP,53/UDP"
    times = {"startTime": stamp(NOW_NS - 60 * 10**9), "completionTime": stamp(NOW_NS - 55 * 10**9)}
    done = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}], **times}
    job = cells("jobs.batch", {"spec": {**spec, "completions": 1}, "status": done})
    assert (job["Status"], job["Completions"], job["Duration"]) == ("Complete", "1/1", "5s")


def test_events_begin_with_when_they_were_last_seen() -> None:
    event = {"involvedObject": {"kind": "Pod", "name": "p"}, "lastTimestamp": stamp(NOW_NS - 10**10)}
    shown = cells("events", {**event, "source": {"component": "kubelet", "host": "n"}, "reason": "Pulled"})
    assert list(shown)[:2] == ["Last Seen", "Type"]
    assert (shown["Last Seen"], shown["Object"], shown["Source"]) == ("10s", "pod/p", "kubelet, n")


def test_every_built_in_kind_has_its_table() -> None:
    tables = {line.split()[0] for line in TABLES.strip().splitlines()}
    assert tables == {r.name for r in RESOURCES if "list" in r.verbs}


def test_custom_columns_are_paths() -> None:
    columns = (
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Size", ".spec.size", "integer"),
        Column("Since", ".status.since", "date"),
    )
    widgets = Resource("ex.io", "v1", "Widget", "widgets", custom=True, columns=columns)
    status = {"conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]}
    full = {
        "metadata": {"name": "a"},
        "spec": {"size": 3},
        "status": {**status, "since": stamp(NOW_NS - 10**9)},
    }
    table = Tables(widgets, lambda: NOW_NS).table(
        [full, {"metadata": {"name": "b"}}], {"resourceVersion": "7"}
    )
    assert [row["cells"] for row in table["rows"]] == [["a", "True", 3, "1s"], ["b", "<none>", None, None]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    bare = Tables(widgets, lambda: NOW_NS, "None").table([full], {})
    assert "object" not in bare["rows"][0]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".a.b", [1]), ('.a["b"]', [1]), (".list[0].x", [1]), (".list[-1].x", [2]), (".list[*].x", [1, 2]),
        (".list[9].x", []), (".nothing", []), ("a b", []), (r".dotted\.key", [5]), (".a.b.c", []),
        ('.list[?(@.x=="2")]', []), ('.list[?(@.y=="z")].x', [2]),
    ],
)  # fmt: skip
def test_json_paths(path: str, values: list) -> None:
    obj = {"a": {"b": 1}, "list": [{"x": 1}, {"x": 2, "y": "z"}], "dotted.key": 5}
    assert values_at(obj, path) == values
