"""Each kind by its own rule; what has none is reported and never a veto."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.manifests.health import health


def obj(kind: str, group: str = "apps", spec: dict | None = None, **status) -> dict:
    version = f"{group}/v1" if group else "v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": spec or {},
        "status": status,
    }


def conditions(**statuses: str) -> list[dict]:
    return [{"type": kind, "status": status, "message": "m"} for kind, status in statuses.items()]


CRD = ("CustomResourceDefinition", "apiextensions.k8s.io")


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (obj("Deployment", spec={"replicas": 1}), "progressing"),
        (
            obj("Deployment", observedGeneration=1, replicas=1, updatedReplicas=1, availableReplicas=1),
            "ready",
        ),
        (obj("Deployment", spec={"replicas": 0}, observedGeneration=1), "ready"),
        (
            obj("Deployment", observedGeneration=1, replicas=2, updatedReplicas=1, availableReplicas=2),
            "progressing",
        ),
        (obj("Deployment", observedGeneration=1, replicas=1, updatedReplicas=1), "progressing"),
        (obj("Deployment", spec={"paused": True}, observedGeneration=1), "suspended"),
        (obj("StatefulSet", spec={"replicas": 2}, readyReplicas=1), "progressing"),
        (obj("StatefulSet", readyReplicas=1, updateRevision="b", currentRevision="a"), "progressing"),
        (obj("StatefulSet", readyReplicas=1, updateRevision="b", currentRevision="b"), "ready"),
        (
            obj(
                "StatefulSet",
                spec={"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
                readyReplicas=3,
                updatedReplicas=1,
                updateRevision="b",
                currentRevision="a",
            ),
            "ready",
        ),
        (obj("StatefulSet", spec={"updateStrategy": {"type": "OnDelete"}}, readyReplicas=1), "ready"),
        (
            obj("DaemonSet", desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=2),
            "progressing",
        ),
        (obj("DaemonSet", desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=3), "ready"),
        (obj("Job", "batch", conditions=conditions(Failed="True")), "failed"),
        (obj("Job", "batch", conditions=conditions(Complete="True")), "ready"),
        (obj("Job", "batch", active=1), "progressing"),
        (obj("Job", "batch", spec={"suspend": True}), "suspended"),
        (obj("Pod", "", phase="Failed"), "failed"),
        (obj("Pod", "", phase="Succeeded"), "ready"),
        (obj("Pod", "", phase="Running", conditions=conditions(Ready="False")), "progressing"),
        (obj("PersistentVolumeClaim", "", phase="Pending"), "ready"),
        (obj("PersistentVolumeClaim", "", phase="Lost"), "failed"),
        (obj("Service", ""), "ready"),
        (obj("Service", "", spec={"type": "LoadBalancer"}), "progressing"),
        (obj(*CRD, conditions=conditions(Established="True")), "ready"),
        (obj(*CRD, conditions=conditions(NamesAccepted="False")), "failed"),
        (obj(*CRD), "progressing"),
        (
            obj("HorizontalPodAutoscaler", "autoscaling", conditions=conditions(ScalingActive="False")),
            "not judged",
        ),
        (obj("ConfigMap", ""), "ready"),
        (obj("Rollout", "argoproj.io", conditions=conditions(Ready="False")), "not judged"),
    ],
)
def test_each_kind_has_its_rule(body: dict, state: str) -> None:
    assert health(body).state == state


def test_a_change_that_the_controller_has_not_seen_is_on_its_way() -> None:
    body = obj("DaemonSet", observedGeneration=1)
    body["metadata"]["generation"] = 2
    assert health(body).state == "progressing"
    body["metadata"]["generation"] = "2"  # a custom resource that counts in texts is not held up for ever
    assert health(body).state == "ready"


def test_what_is_being_deleted_is_not_ready() -> None:
    body = obj("ConfigMap", "")
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert health(body).state == "progressing"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
NAMES = st.sampled_from(["replicas", "updatedReplicas", "conditions", "phase", "observedGeneration"])


@given(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet"]), st.dictionaries(NAMES, JSON), JSON)
def test_no_status_however_odd_breaks_it(kind: str, status: dict, spec) -> None:
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec, "status": status}
    assert health(body).state in {"ready", "progressing", "failed", "suspended"}
