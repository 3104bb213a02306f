"""What a cluster tells of the past: the kit's change log, read from objects that controllers and kubelet have written."""

import json
import time
from pathlib import Path
from typing import Any

from clusters import Cluster, Namespace, until
from kit import settings_for
from test_deployments import LONG_S, settled
from workloads import container, deployment

from opslib.core.clock import SystemClock
from opslib.core.outcome import Outcome
from opslib.core.settings import SourceSettings, load_environment
from opslib.core.windows import Window
from opslib.telemetry.kubernetes import check, connect

VERSION = "app.kubernetes.io/version"
S = 1_000_000_000


def next_second(ns: Namespace) -> None:
    """Wait until all is as it was asked for, and the second in which it came to be is over: times have no fractions."""
    until(lambda: settled(ns, "web"), LONG_S)
    second = int(time.time())
    until(lambda: int(time.time()) > second)


def test_what_was_done_to_a_deployment_is_told(cluster: Cluster, ns: Namespace, tmp_path: Path) -> None:
    environment = load_environment("x", settings_for(cluster, ns.name, tmp_path))
    source = connect(SourceSettings("kubernetes"), environment, "x, changes", SystemClock())
    begin_ns = time.time_ns() // S * S
    web = deployment("web", envFrom=[{"configMapRef": {"name": "rules"}}])
    template = web["spec"]["template"]
    labels = template["metadata"]["labels"]
    template["metadata"] = {"labels": {**labels, VERSION: "1"}}
    ns.create("configmaps", {"metadata": {"name": "rules"}, "data": {"a": "1"}})
    ns.create("deployments", web)
    next_second(ns)
    for version in ("2", "1"):
        template["metadata"] = {"labels": {**labels, VERSION: version}}
        change = [{"op": "replace", "path": "/spec/template", "value": template}]
        ns.patch("deployments", "web", change, "application/json-patch+json")
        next_second(ns)
    ns.patch("deployments", "web", {"spec": {"replicas": 2}}, "application/merge-patch+json", "scale")
    ns.patch("configmaps", "rules", {"data": {"a": "2"}})
    until(lambda: settled(ns, "web"), LONG_S)

    def told() -> Any:
        """What is told once the controller has written its event, which comes after what it did."""
        found = source.events(Window(begin_ns, time.time_ns() + S)).frame
        return [found] if (found.reason == "Scale").any() else []

    (frame,) = until(told)
    changes = frame[frame.type == "Change"]
    rollouts = changes[changes.reason == "Rollout"]

    assert list(rollouts.message) == ["web rolled out: 1 -> 2", "web rolled out: 2 -> 1"]
    assert sorted(text.partition(" by ")[0] for text in changes[changes.reason != "Rollout"].message) == [
        "ConfigMap rules was changed",
        "web was scaled to 2 replicas",
    ]
    assert set(frame.name) <= {"web", "rules"}, "events of pods that are gone too"
    assert len(json.loads(rollouts.attributes.iloc[1])["pods"]) == 2
    assert {"ScalingReplicaSet", "Started"} <= set(frame.reason)
    (said,) = check(SourceSettings("kubernetes"), environment, "x, changes", SystemClock())
    assert said.outcome is Outcome.PASS


def test_a_container_that_ends_is_told_with_its_code(cluster: Cluster, ns: Namespace, tmp_path: Path) -> None:
    environment = load_environment("x", settings_for(cluster, ns.name, tmp_path))
    source = connect(SourceSettings("kubernetes"), environment, "x, changes", SystemClock())
    begin_ns = time.time_ns() // S * S
    failing = deployment("web")
    failing["spec"]["template"]["spec"]["containers"] = [container("import sys; sys.exit(3)")]
    ns.create("deployments", failing)

    def ended() -> list[str]:
        frame = source.events(Window(begin_ns, time.time_ns() + S)).frame
        return [
            m for m in frame[(frame.type == "Warning") & (frame.name == "web")].message if "exit code 3" in m
        ]

    assert until(ended, LONG_S)[0].startswith("container c ended with exit code 3; restarts: ")
