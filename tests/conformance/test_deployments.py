"""Roll-outs: the orders of counters, conditions and events that the kit and the course rely on."""

import re

from clusters import MERGE, Namespace, until
from workloads import container, deployment, probe

COUNTERS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
LONG_S = 60.0


def counted(told: list) -> list[tuple[int, ...]]:
    """Return the counters of a Deployment in the order in which a watch told them, each once."""
    seen: list[tuple[int, ...]] = []
    for event in told:
        now = tuple(event["object"].get("status", {}).get(name, 0) for name in COUNTERS)
        if not seen or seen[-1] != now:
            seen.append(now)
    return seen


def condition(found: dict, kind: str) -> dict:
    return next((c for c in found["status"].get("conditions", ()) if c["type"] == kind), {})


def settled(ns: Namespace, name: str) -> dict | None:
    found = ns.get("deployments", name)
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    up = status.get("observedGeneration") == found["metadata"]["generation"]
    counts = [status.get(n, 0) for n in COUNTERS[:4]]
    return found if up and counts == [wanted] * 4 and not status.get("unavailableReplicas") else None


def scalings(ns: Namespace, name: str) -> list[str]:
    """Return what the Deployment's events say of its ReplicaSets, old and new by the order of their names' first use."""
    names: dict[str, str] = {}

    def plain(message: str) -> str:
        (found,) = re.findall(rf"{name}-[a-z0-9]+", message)
        names.setdefault(found, f"rs{len(names) + 1}")
        return message.replace(found, names[found])

    return [plain(e["message"]) for e in ns.events("Deployment", name) if e["reason"] == "ScalingReplicaSet"]


def test_a_new_deployment_becomes_available(ns: Namespace) -> None:
    with ns.watched("deployments") as told:
        ns.create("deployments", deployment("web", 2))
        found = until(lambda: settled(ns, "web"), LONG_S)

        progressing, available = condition(found, "Progressing"), condition(found, "Available")
        assert (progressing["status"], progressing["reason"]) == ("True", "NewReplicaSetAvailable")
        assert re.fullmatch(
            r'ReplicaSet "web-[a-z0-9]+" has successfully progressed\.', progressing["message"]
        )
        assert (available["status"], available["reason"]) == ("True", "MinimumReplicasAvailable")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        reasons = [
            condition(e["object"], "Progressing").get("reason") for e in told if "status" in e["object"]
        ]
        ordered = list(dict.fromkeys(r for r in reasons if r))
        assert ordered == ["NewReplicaSetCreated", "ReplicaSetUpdated", "NewReplicaSetAvailable"]
    assert counted(told)[-1] == (2, 2, 2, 2, 0)
    assert (2, 2, 0, 0, 2) in counted(told)
    assert scalings(ns, "web") == ["Scaled up replica set rs1 from 0 to 2"]


def test_a_rolling_update_never_falls_below_what_is_wanted(ns: Namespace) -> None:
    ns.create("deployments", deployment("web", 3))
    until(lambda: settled(ns, "web"), LONG_S)
    with ns.watched("deployments") as told:
        ns.patch("deployments", "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
        until(lambda: settled(ns, "web"), LONG_S)

    # the recorded order; steps in which two pods change at once may be told as one
    recorded = [
        (3, 3, 3, 3, 0), (3, 0, 3, 3, 1), (4, 1, 3, 3, 1), (4, 1, 4, 4, 0), (3, 1, 3, 3, 1), (4, 2, 3, 3, 1),
        (4, 2, 4, 4, 0), (3, 2, 3, 3, 1), (4, 3, 3, 3, 1), (4, 3, 4, 4, 0), (3, 3, 3, 3, 0),
    ]  # fmt: skip
    left = iter(recorded)
    assert all(step in left for step in counted(told) if step in recorded)
    assert all(replicas <= 4 and available >= 3 for replicas, _, _, available, _ in counted(told))
    assert scalings(ns, "web") == [
        "Scaled up replica set rs1 from 0 to 3",
        "Scaled up replica set rs2 from 0 to 1",
        "Scaled down replica set rs1 from 3 to 2",
        "Scaled up replica set rs2 from 1 to 2",
        "Scaled down replica set rs1 from 2 to 1",
        "Scaled up replica set rs2 from 2 to 3",
        "Scaled down replica set rs1 from 1 to 0",
    ]


def test_going_back_uses_the_old_replica_set_again(ns: Namespace) -> None:
    ns.create("deployments", deployment("web"))
    first = until(lambda: settled(ns, "web"), LONG_S)["spec"]["template"]
    ns.patch("deployments", "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
    until(lambda: settled(ns, "web"), LONG_S)
    ns.patch(
        "deployments",
        "web",
        [{"op": "replace", "path": "/spec/template", "value": first}],
        "application/json-patch+json",
    )
    found = until(lambda: settled(ns, "web"), LONG_S)

    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    notes = sorted(
        (
            rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
            rs["metadata"]["annotations"].get("deployment.kubernetes.io/revision-history", ""),
        )
        for rs in ns.items("replicasets")
    )
    assert notes == [("2", ""), ("3", "1")]


def test_recreate_ends_the_old_pods_first(ns: Namespace) -> None:
    ns.create("deployments", deployment("web", 2, spec={"strategy": {"type": "Recreate"}}))
    until(lambda: settled(ns, "web"), LONG_S)
    ns.patch("deployments", "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
    until(lambda: settled(ns, "web") and len(ns.ready("web")) == 2, LONG_S)

    assert scalings(ns, "web") == [
        "Scaled up replica set rs1 from 0 to 2",
        "Scaled down replica set rs1 from 2 to 0",
        "Scaled up replica set rs2 from 0 to 2",
    ]


def test_a_paused_deployment_waits(ns: Namespace) -> None:
    ns.create("deployments", deployment("web"))
    until(lambda: settled(ns, "web"), LONG_S)
    ns.patch("deployments", "web", {"spec": {"paused": True}})
    paused = until(
        lambda: condition(ns.get("deployments", "web"), "Progressing").get("reason") == "DeploymentPaused",
        LONG_S,
    )
    assert paused
    ns.patch("deployments", "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
    until(
        lambda: (
            ns.get("deployments", "web")["status"]["observedGeneration"]
            == ns.get("deployments", "web")["metadata"]["generation"]
        )
    )
    assert len(ns.items("replicasets")) == 1
    ns.patch("deployments", "web", {"spec": {"paused": False}})
    until(lambda: len(ns.items("replicasets")) == 2 and settled(ns, "web"), LONG_S)


def test_an_image_that_is_not_there_leaves_the_old_pods_serving(ns: Namespace) -> None:
    ns.create("deployments", deployment("web", spec={"progressDeadlineSeconds": 8}))
    until(lambda: settled(ns, "web"), LONG_S)
    missing = container(image="localhost:5000/python:none")
    ns.patch("deployments", "web", {"spec": {"template": {"spec": {"containers": [missing]}}}})

    def waiting() -> str:
        statuses = [s for p in ns.pods("web") for s in p["status"].get("containerStatuses", ())]
        return next((s["state"]["waiting"]["reason"] for s in statuses if "waiting" in s["state"]), "")

    until(lambda: waiting() == "ImagePullBackOff", LONG_S)
    until(
        lambda: (
            condition(ns.get("deployments", "web"), "Progressing").get("reason") == "ProgressDeadlineExceeded"
        ),
        LONG_S,
    )
    found = ns.get("deployments", "web")
    assert condition(found, "Progressing")["status"] == "False"
    assert condition(found, "Available")["status"] == "True"
    (new,) = [p for p in ns.pods("web") if p["spec"]["containers"][0]["image"].endswith(":none")]
    told = {(e["type"], e["reason"]) for e in ns.events("Pod", new["metadata"]["name"])}
    assert told >= {
        ("Normal", "Scheduled"), ("Normal", "Pulling"), ("Warning", "Failed"), ("Normal", "BackOff"),
    }  # fmt: skip
    messages = [e["message"] for e in ns.events("Pod", new["metadata"]["name"]) if e["reason"] == "Failed"]
    assert "Error: ErrImagePull" in messages
    assert any(
        m.startswith('Failed to pull image "localhost:5000/python:none"') and m.endswith("not found")
        for m in messages
    )


def test_scale_changes_the_number_and_no_revision(ns: Namespace) -> None:
    ns.create("deployments", deployment("web"))
    until(lambda: settled(ns, "web"), LONG_S)
    scale = ns.patch("deployments", "web", {"spec": {"replicas": 3}}, MERGE, "scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 3})
    found = until(lambda: settled(ns, "web"), LONG_S)

    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert found["metadata"]["generation"] == 2
    assert ns.ask("GET", ns.path("deployments", "web", "scale"))["status"]["selector"] == "app=web"


def test_pods_that_never_become_ready_hold_the_update(ns: Namespace) -> None:
    ns.create("deployments", deployment("web", 2))
    until(lambda: settled(ns, "web"), LONG_S)
    before = {p["metadata"]["name"] for p in ns.pods("web")}
    never = container(env=[{"name": "READY", "value": "0"}], readinessProbe=probe("ready"))
    ns.patch("deployments", "web", {"spec": {"template": {"spec": {"containers": [never]}}}})
    until(lambda: ns.get("deployments", "web")["status"].get("updatedReplicas") == 1, LONG_S)
    said = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    until(lambda: said in {e["message"] for e in ns.events("Pod") if e["reason"] == "Unhealthy"}, LONG_S)

    assert {p["metadata"]["name"] for p in ns.ready("web")} == before
