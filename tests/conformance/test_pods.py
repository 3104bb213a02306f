"""Pods: probes, restarts, ends, and what their statuses and events say."""

import base64
import contextlib
from http.client import HTTPException

from clusters import Namespace, is_ready, until
from workloads import container, pod, probe, service, tell

LONG_S = 60.0


def state(ns: Namespace, name: str) -> dict:
    statuses = ns.get("pods", name)["status"].get("containerStatuses", ())
    return statuses[0] if statuses else {}


def start(ns: Namespace, name: str, **of_container: object) -> dict:
    ns.create("pods", pod(name, **{"readinessProbe": probe("ready"), **of_container}))
    until(lambda: is_ready(ns.get("pods", name)), LONG_S)
    return ns.get("pods", name)


def told(ns: Namespace, name: str) -> list[tuple[str, str]]:
    return [(e["type"], e["reason"]) for e in ns.events("Pod", name)]


def test_a_pod_that_starts(ns: Namespace) -> None:
    found = start(ns, "one")

    assert found["status"]["phase"] == "Running"
    assert found["status"]["qosClass"] == "BestEffort"
    assert state(ns, "one")["restartCount"] == 0
    assert set(state(ns, "one")["state"]) == {"running"}
    reasons = [reason for _, reason in told(ns, "one")]
    assert reasons[0] == "Scheduled"
    assert [r for r in reasons if r in {"Pulled", "Created", "Started"}] == ["Pulled", "Created", "Started"]
    assert {c["type"] for c in found["status"]["conditions"]} == {
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    }  # fmt: skip
    assert tell(found, "") == "one"


def test_readiness_gates_the_endpoints(ns: Namespace) -> None:
    ns.create("services", service("web"))
    found = start(ns, "web", readinessProbe=probe("ready", failureThreshold=1))

    def ready() -> list[bool]:
        slices = ns.items("endpointslices", labelSelector="kubernetes.io/service-name=web")
        return [e["conditions"]["ready"] for s in slices for e in s["endpoints"] or ()]

    until(lambda: ready() == [True], LONG_S)
    tell(found, "ready=0")
    until(lambda: ready() == [False], LONG_S)
    assert state(ns, "web")["restartCount"] == 0
    tell(found, "ready=1")
    until(lambda: ready() == [True], LONG_S)


def test_a_failed_liveness_probe_restarts_the_container(ns: Namespace) -> None:
    found = start(ns, "one", livenessProbe=probe("health", failureThreshold=2))
    tell(found, "health=0")
    until(lambda: state(ns, "one")["restartCount"] == 1 and "running" in state(ns, "one")["state"], LONG_S)

    again = ns.get("pods", "one")
    assert again["metadata"]["uid"] == found["metadata"]["uid"]
    assert again["status"]["podIP"] == found["status"]["podIP"]
    messages = {(e["reason"], e["message"]) for e in ns.events("Pod", "one")}
    assert messages >= {
        ("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503"),
        ("Killing", "Container c failed liveness probe, will be restarted"),
    }
    assert state(ns, "one")["lastState"]["terminated"]["exitCode"] == 0  # it ended as it was told to


def test_a_startup_probe_holds_the_others_back(ns: Namespace) -> None:
    ns.create(
        "pods",
        pod(
            "one",
            env=[{"name": "HEALTH", "value": "0"}],
            startupProbe=probe("health", failureThreshold=60),
            livenessProbe=probe("health", failureThreshold=1),
            readinessProbe=probe("ready"),
        ),
    )
    said = "Startup probe failed: HTTP probe failed with statuscode: 503"
    until(lambda: said in {e["message"] for e in ns.events("Pod", "one")}, LONG_S)
    found = ns.get("pods", "one")
    assert state(ns, "one")["started"] is False
    assert not is_ready(found)
    tell(found, "health=1")
    until(lambda: is_ready(ns.get("pods", "one")), LONG_S)
    assert (state(ns, "one")["started"], state(ns, "one")["restartCount"]) == (True, 0)


def test_a_container_that_ends_again_and_again_backs_off(ns: Namespace) -> None:
    ns.create("pods", pod("one", code="import sys; print('no'); sys.exit(3)"))
    until(
        lambda: state(ns, "one").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        LONG_S,
    )
    found = until(lambda: state(ns, "one") if state(ns, "one").get("restartCount", 0) >= 1 else None, LONG_S)

    ended = found["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert ns.get("pods", "one")["status"]["phase"] == "Running"
    until(lambda: ("Warning", "BackOff") in told(ns, "one"), LONG_S)
    uid = ns.get("pods", "one")["metadata"]["uid"]
    assert f"Back-off restarting failed container c in pod one_{ns.name}({uid})" in {
        e["message"] for e in ns.events("Pod", "one")
    }
    status, log = ns.cluster.call("GET", ns.path("pods", "one", "log", previous="true"))
    assert (status, log) == (200, "no\n")


def test_one_that_takes_too_much_memory_is_killed(ns: Namespace) -> None:
    found = start(ns, "one", resources={"limits": {"memory": "64Mi"}})
    with contextlib.suppress(OSError, HTTPException):  # it may be killed in the middle of its answer
        tell(found, "hold=200")
    until(lambda: state(ns, "one")["restartCount"] >= 1, LONG_S)

    ended = state(ns, "one")["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_a_pod_that_is_deleted_is_asked_to_end_and_has_its_time(ns: Namespace) -> None:
    found = start(ns, "one")
    with ns.watched("pods") as seen:
        gone = ns.delete("pods", "one")
        assert gone["metadata"]["deletionGracePeriodSeconds"] == 5
        assert gone["metadata"]["uid"] == found["metadata"]["uid"]
        until(lambda: [e for e in seen if e["type"] == "DELETED"], LONG_S)
    assert "Killing" in [reason for _, reason in told(ns, "one")]
    last = next(e["object"] for e in seen if e["type"] == "DELETED")
    assert last["metadata"]["deletionTimestamp"]
    assert not is_ready(last)


def test_what_a_container_is_told(ns: Namespace) -> None:
    ns.create("configmaps", {"metadata": {"name": "settings"}, "data": {"COLOUR": "blue"}})
    word = base64.b64encode(b"open").decode()
    ns.create("secrets", {"metadata": {"name": "key"}, "data": {"WORD": word}})
    env = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}},
        {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "BOTH", "value": "$(COLOUR) in $(WHERE), $$(COLOUR)"},
    ]
    found = start(ns, "one", env=env, envFrom=[{"secretRef": {"name": "key"}}])

    assert tell(found, "env=BOTH") == f"blue in {ns.name}, $(COLOUR)"
    assert tell(found, "env=WORD") == "open"
    assert tell(found, "env=KUBERNETES_SERVICE_HOST")


def test_what_is_referred_to_and_not_there_is_waited_for(ns: Namespace) -> None:
    ns.create("pods", pod("one", envFrom=[{"configMapRef": {"name": "settings"}}]))
    until(
        lambda: (
            state(ns, "one").get("state", {}).get("waiting", {}).get("reason") == "CreateContainerConfigError"
        ),
        LONG_S,
    )
    assert state(ns, "one")["state"]["waiting"]["message"] == 'configmap "settings" not found'
    ns.create("configmaps", {"metadata": {"name": "settings"}, "data": {"A": "b"}})
    until(lambda: is_ready(ns.get("pods", "one")), 120)


def test_an_init_container_comes_first(ns: Namespace) -> None:
    first = {**container("print('first')"), "name": "first", "ports": []}
    ns.create("pods", pod("one", spec={"initContainers": [first]}))
    until(lambda: is_ready(ns.get("pods", "one")), LONG_S)

    ended = ns.get("pods", "one")["status"]["initContainerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ns.cluster.call("GET", ns.path("pods", "one", "log", container="first"))[1] == "first\n"


def test_one_that_asks_for_more_than_there_is_stays_pending(ns: Namespace) -> None:
    ns.create("pods", pod("one", resources={"requests": {"cpu": "640"}}))
    until(lambda: ("Warning", "FailedScheduling") in told(ns, "one"), LONG_S)
    found = until(lambda: next((p for p in ns.pods() if "conditions" in p["status"]), None))

    assert found["status"]["phase"] == "Pending"
    (scheduled,) = [c for c in found["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert scheduled["message"].startswith("0/1 nodes are available: 1 Insufficient cpu.")


def test_jobs_that_end_and_jobs_that_fail(ns: Namespace) -> None:
    def job(name: str, code: str) -> dict:
        spec = {"restartPolicy": "Never", "containers": [{**container(code), "ports": []}]}
        return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": spec}}}

    ns.create("jobs", job("good", "print('done')"))
    ns.create("jobs", job("bad", "raise SystemExit(2)"))

    def conditions(name: str) -> dict[str, str]:
        found = ns.get("jobs", name)["status"].get("conditions", ())
        return {c["type"]: c.get("reason", "") for c in found if c["status"] == "True"}

    until(lambda: "Complete" in conditions("good") and "Failed" in conditions("bad"), LONG_S)
    assert conditions("good") == {
        "SuccessCriteriaMet": "CompletionsReached",
        "Complete": "CompletionsReached",
    }
    assert conditions("bad") == {
        "FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded",
    }  # fmt: skip
    assert ns.get("jobs", "good")["status"]["succeeded"] == 1
    assert ns.get("jobs", "bad")["status"]["failed"] == 1
