"""Pods as real processes: their life, restarts, limits and end, seen through the API, the events and the logs."""

import asyncio
import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cluster_node import NAMESPACE, USER, NodeWorld, node_world

from opslib.lab.cluster.kubelet.images import Image
from opslib.lab.cluster.store import Event, Store

WAIT = "import time; time.sleep(300)"
SERVE = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        bad = os.path.exists(os.environ['POD_ROOT'] + '/bad')
        self.send_response(503 if bad and self.path == '/ready' or self.path == '/dead' else 200)
        self.send_header('Content-Length', '0'); self.end_headers()
http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), Handler).serve_forever()
"""
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
PORTS = [{"name": "http", "containerPort": 8080}]


def acted(tmp_path: Path, scene, **options) -> None:
    async def act() -> None:
        async with node_world(tmp_path / "state", **options) as world:
            await scene(world)

    asyncio.run(act())


def pid_of(world: NodeWorld, name: str) -> int:
    return next(m.account.session for m in world.kubelet.measured() if m.pod["metadata"]["name"] == name)


async def said(world: NodeWorld, name: str, word: str) -> None:
    async def heard() -> bool:
        return word in await world.log(name)

    await world.until(heard)


def test_a_pod_runs_is_seen_and_leaves_nothing(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        code = "import os; print(os.environ['A'], os.environ['HOSTNAME'], os.getcwd()); " + WAIT
        world.run("p", code, env=[{"name": "A", "value": "$(B)-x"}])
        pod = await world.ready("p")
        status, container = pod["status"], world.container("p")
        assert (status["phase"], status["hostIP"]) == ("Running", world.addresses.node)
        assert status["podIP"].startswith(world.addresses.node.rpartition(".")[0].rpartition(".")[0])
        assert container["containerID"].startswith("process://")
        assert (container["restartCount"], container["started"], container["lastState"]) == (0, True, {})
        assert world.reasons("p") == ["Pulling", "Pulled", "Created", "Started"]
        root = tmp_path / "state" / "pods" / pod["metadata"]["uid"]
        await world.until(lambda: psutil.Process(pid_of(world, "p")).cwd() == str(root / "containers/c"))
        line = f"$(B)-x p {root}/containers/c\n"
        await said(world, "p", line)
        pid = pid_of(world, "p")
        world.delete("p")
        assert world.pod("p")["metadata"]["deletionGracePeriodSeconds"] == 30
        await world.until(lambda: world.pod("p") is None)
        assert not psutil.pid_exists(pid)
        assert not root.exists()
        assert world.reasons("p")[4:] == ["Killing"]
        last = world.statuses["p"][-1]
        assert (last["phase"], last["containerStatuses"][0]["state"]["terminated"]["exitCode"]) == (
            "Failed",
            143,
        )
        assert not world.kubelet._workers

    acted(tmp_path, scene)


def test_a_crash_loop_backs_off_and_keeps_the_last_log(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", "print('said'); raise SystemExit(3)")
        await world.until(lambda: world.container("p").get("restartCount") == 2)
        await world.until(lambda: "waiting" in world.container("p")["state"])
        container, uid = world.container("p"), world.pod("p")["metadata"]["uid"]
        waiting = {
            "reason": "CrashLoopBackOff",
            "message": f"back-off 2s restarting failed container=c pod=p_default({uid})",
        }
        assert container["state"]["waiting"] == waiting
        ended = container["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (3, "Error")
        assert world.pod("p")["status"]["phase"] == "Running"
        assert (
            world.messages("BackOff")[0] == f"Back-off restarting failed container c in pod p_default({uid})"
        )
        assert await world.log("p") == await world.log("p", previous=True) == "said\n"
        world.delete("p")
        await world.until(lambda: world.pod("p") is None)

    acted(tmp_path, scene)


def test_a_killed_container_is_started_again_at_once(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        uid = world.run("p", WAIT)["metadata"]["uid"]
        await world.ready("p")
        os.kill(pid_of(world, "p"), signal.SIGKILL)
        await world.until(
            lambda: world.container("p").get("restartCount") == 1 and world.container("p")["ready"]
        )
        ended = world.container("p")["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "Error")
        assert world.pod("p")["metadata"]["uid"] == uid
        assert "BackOff" not in world.reasons("p")

    acted(tmp_path, scene)


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 2, "Failed"), ("OnFailure", 0, "Succeeded")],
)
def test_a_pod_that_ends_stays_until_it_is_deleted(
    tmp_path: Path, policy: str, code: int, phase: str
) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", f"raise SystemExit({code})", spec={"restartPolicy": policy})
        await world.until(lambda: world.pod("p")["status"]["phase"] == phase)
        assert world.container("p")["restartCount"] == 0
        assert world.container("p")["state"]["terminated"]["exitCode"] == code
        world.delete("p")
        await world.until(lambda: world.pod("p") is None)

    acted(tmp_path, scene)


def test_init_containers_go_first_one_after_the_other(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        volume = {"name": "v", "emptyDir": {}}
        mounts = [{"name": "v", "mountPath": "/v"}]

        def step(name: str, code: str) -> dict:
            return {"name": name, "image": "python", "args": ["-c", code], "volumeMounts": mounts}

        once = "import os, sys; p = 'v/tried'; first = not os.path.exists(p); open(p, 'w').close(); sys.exit(first)"
        inits = [step("one", once), step("two", "open('v/log', 'a').write('two')")]
        world.run(
            "p",
            "print(open('v/log').read()); " + WAIT,
            spec={"initContainers": inits, "volumes": [volume]},
            volumeMounts=mounts,
        )
        await world.ready("p")
        states = {s["name"]: s for s in world.pod("p")["status"]["initContainerStatuses"]}
        assert (states["one"]["restartCount"], states["two"]["restartCount"]) == (1, 0), (
            "a failed one is tried again"
        )
        assert {s["state"]["terminated"]["exitCode"] for s in states.values()} == {0}
        first = world.statuses["p"][1]
        assert first["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
        await said(world, "p", "two")

    acted(tmp_path, scene)


def test_an_unknown_image_backs_off_visibly(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", image="nobodys:1")
        await world.until(lambda: world.reasons("p").count("Pulling") == 2)
        reasons = [s["containerStatuses"][0]["state"]["waiting"]["reason"] for s in world.statuses["p"][1:]]
        assert [r for r, _ in itertools.groupby(reasons)][:4] == [
            "ContainerCreating",
            "ErrImagePull",
            "ImagePullBackOff",
            "ErrImagePull",
        ]
        assert world.reasons("p")[:5] == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]
        failed = world.messages("Failed")
        assert failed[0].startswith('Failed to pull image "nobodys:1": ')
        assert failed[0].endswith("nobodys:1: not found")
        assert failed[1:3] == ["Error: ErrImagePull", "Error: ImagePullBackOff"]
        assert world.pod("p")["status"]["phase"] == "Pending"
        world.delete("p")
        await world.until(lambda: world.pod("p") is None)

    acted(tmp_path, scene)


def test_a_private_image_comes_with_the_right_secret(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        image = Image((sys.executable,), username="u", password="p")
        world.kubelet._node.images.register("reg.example/app", image)
        auths = {"auths": {"reg.example": {"username": "u", "password": "p"}}}
        data = {".dockerconfigjson": base64.b64encode(json.dumps(auths).encode()).decode()}
        world.create(
            "secrets", {"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson", "data": data}
        )
        world.run("without", WAIT, image="reg.example/app:1")
        world.run("with", WAIT, image="reg.example/app:1", spec={"imagePullSecrets": [{"name": "pull"}]})
        await world.ready("with")
        await world.until(lambda: "BackOff" in world.reasons("without"))
        assert any("pull access denied" in message for message in world.messages("Failed"))

    acted(tmp_path, scene)


def test_missing_configuration_is_waited_for(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", WAIT, envFrom=[{"configMapRef": {"name": "cm"}}])
        await world.until(
            lambda: "waiting" in world.container("p").get("state", {}) and "Failed" in world.reasons("p")
        )
        waiting = world.container("p")["state"]["waiting"]
        assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "cm" not found'}
        assert world.messages("Failed")[0] == 'Error: configmap "cm" not found'
        world.create("configmaps", {"metadata": {"name": "cm"}, "data": {"A": "1"}})
        await world.ready("p")
        volume = [{"name": "v", "configMap": {"name": "later"}}]
        world.run("q", WAIT, spec={"volumes": volume}, volumeMounts=[{"name": "v", "mountPath": "/v"}])
        await world.until(lambda: "FailedMount" in world.reasons("q"))
        world.create("configmaps", {"metadata": {"name": "later"}, "data": {"A": "1"}})
        await world.ready("q")

    acted(tmp_path, scene)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", command=["/no/such/thing"])
        await world.until(lambda: world.container("p").get("lastState", {}).get("terminated"))
        ended = world.container("p")["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert 'exec: "/no/such/thing": No such file' in world.messages("Failed")[0]

    acted(tmp_path, scene)


def test_the_token_and_the_projections_of_a_pod(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.create("configmaps", {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CA"}})
        code = (
            "import os; d = os.environ['POD_ROOT'] + '/var/run/secrets/kubernetes.io/serviceaccount/'\n"
            "print(*[open(d + f).read() for f in ('token', 'ca.crt', 'namespace')], os.environ['KUBERNETES_SERVICE_PORT'])\n"
            + WAIT
        )
        world.run("p", code, spec={"automountServiceAccountToken": True})
        await world.ready("p")
        await said(world, "p", "token of p CA default 6443")

    acted(tmp_path, scene)


# --- probes ----------------------------------------------------------------------------------------------------------


def probe(path: str, **more) -> dict:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, **more}


def test_readiness_follows_the_probe_and_restarts_nothing(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", SERVE, env=[POD_IP], ports=PORTS, readinessProbe=probe("/ready", failureThreshold=1))
        pod = await world.ready("p")
        bad = tmp_path / "state/pods" / pod["metadata"]["uid"] / "containers/c/bad"
        bad.touch()
        await world.until(lambda: not world.container("p")["ready"])
        ready = {c["type"]: c for c in world.pod("p")["status"]["conditions"]}["Ready"]
        assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
        assert "Readiness probe failed: HTTP probe failed with statuscode: 503" in world.messages("Unhealthy")
        bad.unlink()
        await world.ready("p")
        assert world.container("p")["restartCount"] == 0

    acted(tmp_path, scene)


def test_liveness_restarts_within_the_grace_of_the_probe(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE
        liveness = probe("/dead", failureThreshold=2, initialDelaySeconds=1, terminationGracePeriodSeconds=1)
        world.run("p", deaf, env=[POD_IP], ports=PORTS, livenessProbe=liveness)
        await world.until(lambda: world.container("p").get("restartCount") == 1)
        assert world.messages("Killing")[0] == "Container c failed liveness probe, will be restarted"
        assert world.container("p")["lastState"]["terminated"]["exitCode"] == 137
        assert world.reasons("p").count("Unhealthy") >= 2

    acted(tmp_path, scene)


def test_startup_blocks_the_others_and_then_readiness_is_asked_at_once(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        slow = "import time; time.sleep(1.5)\n" + SERVE
        dead_if_asked_early = probe("/live", failureThreshold=1)
        world.run(
            "p",
            slow,
            env=[POD_IP],
            ports=PORTS,
            startupProbe=probe("/s", failureThreshold=30),
            livenessProbe=dead_if_asked_early,
            readinessProbe={**probe("/ready"), "periodSeconds": 60},
        )
        await world.ready("p", 20)
        assert world.container("p")["restartCount"] == 0
        assert all(message.startswith("Startup") for message in world.messages("Unhealthy"))

    acted(tmp_path, scene)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_too_much_memory_ends_in_oom_killed(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        hog = (
            "import time; time.sleep(.3); kept = bytearray(200 << 20)\nfor i in range(0, len(kept), 4096): kept[i] = 1\n"
            + WAIT
        )
        world.run("p", hog, resources={"limits": {"memory": "64Mi"}})
        await world.until(lambda: world.container("p").get("restartCount", 0) >= 1)
        ended = world.container("p")["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")

    acted(tmp_path, scene)


def test_a_cpu_limit_holds_and_is_what_the_metrics_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opslib.lab.cluster.kubelet.kubelet.EVERY_S", 1.0)

    async def scene(world: NodeWorld) -> None:
        child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
        for name, code in (("alone", "while True: pass"), ("child", child)):
            world.run(name, code, resources={"limits": {"cpu": "150m"}})
        await world.until(lambda: len(world.kubelet.usage.pods("")) == 2)
        begun = {m.container + m.pod["metadata"]["name"]: m.account.used_s for m in world.kubelet.measured()}
        at_s = time.monotonic()
        await world.until(lambda: time.monotonic() - at_s >= 3)
        for measured in world.kubelet.measured():
            used_s = measured.account.used_s - begun[measured.container + measured.pod["metadata"]["name"]]
            assert used_s / (time.monotonic() - at_s) < 0.2
        shown = {m["metadata"]["name"]: m for m in world.kubelet.usage.pods(NAMESPACE)}
        cores = int(shown["alone"]["containers"][0]["usage"]["cpu"].removesuffix("n")) / 1e9
        assert 0.02 < cores < 0.25
        assert shown["alone"]["containers"][0]["usage"]["memory"].endswith("Ki")
        assert shown["alone"]["metadata"]["labels"] == {"app": "alone"}
        for name in shown:
            world.delete(name, grace_s=1)
        await world.until(lambda: world.pod("alone") is world.pod("child") is None)

    acted(tmp_path, scene)


# --- the end ---------------------------------------------------------------------------------------------------------

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(300)"


def test_a_deaf_container_is_killed_after_its_grace_which_can_be_shortened(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", DEAF)
        await world.ready("p")
        await said(world, "p", "deaf")
        world.delete("p")
        await world.until(lambda: "Killing" in world.reasons("p"))
        pid = pid_of(world, "p")
        world.delete("p", grace_s=1)
        await world.until(lambda: world.pod("p") is None)
        assert not psutil.pid_exists(pid)
        assert world.statuses["p"][-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137

    acted(tmp_path, scene)


def test_pre_stop_comes_before_the_signal(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        def hook(text: str) -> dict:
            return {"exec": {"command": [sys.executable, "-c", f"open('told', 'a').write('{text} ')"]}}

        code = (
            "import shutil, signal, sys, time\n"
            "def end(*_): open('told', 'a').write('term'); shutil.copy('told', 'node/told'); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, end); print('armed')\n" + WAIT
        )
        node = {"volumes": [{"name": "v", "hostPath": {"path": "/kept"}}]}
        hooks = {"preStop": hook("stopping")}
        world.run("p", code, spec=node, volumeMounts=[{"name": "v", "mountPath": "/node"}], lifecycle=hooks)
        await world.ready("p")
        await said(world, "p", "armed")
        world.delete("p")
        await world.until(lambda: world.pod("p") is None)
        assert (tmp_path / "state/host/kept/told").read_text() == "stopping term"
        assert world.statuses["p"][-1]["phase"] == "Succeeded"

    acted(tmp_path, scene)


def test_a_hook_that_fails_is_told(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        bad = {"exec": {"command": [sys.executable, "-c", "raise SystemExit(1)"]}}
        world.run("p", WAIT, lifecycle={"preStop": bad})
        await world.ready("p")
        world.delete("p")
        await world.until(lambda: world.pod("p") is None)
        assert "FailedPreStopHook" in world.reasons("p")

    acted(tmp_path, scene)


def test_a_pod_that_is_gone_leaves_no_files_whatever_changes_at_its_end(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", WAIT, spec={"volumes": [{"name": "v", "emptyDir": {}}]})
        await world.ready("p")
        folder = tmp_path / "state/pods" / world.pod("p")["metadata"]["uid"]
        assert folder.exists()

        def change(event: Event) -> None:
            if event.resource == "pods" and event.type == "DELETED":
                world.create("configmaps", {"metadata": {"name": "late"}})

        world.api.subscribe(change)
        world.delete("p", grace_s=1)
        await world.until(lambda: world.pod("p") is None)
        assert not folder.exists()

    acted(tmp_path, scene)


def test_a_pod_deleted_by_force_ends_all_the_same(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("p", WAIT)
        await world.ready("p")
        pid = pid_of(world, "p")
        world.delete("p", grace_s=0)
        assert world.pod("p") is None
        await world.until(lambda: not psutil.pid_exists(pid))
        await world.until(lambda: not world.kubelet._workers)

    acted(tmp_path, scene)


def test_a_pod_deleted_while_its_image_is_missing_or_it_backs_off_leaves_at_once(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        world.run("image", image="nobodys:1")
        world.run("loop", "raise SystemExit(1)")
        await world.until(lambda: world.container("loop").get("restartCount", 0) >= 2)
        await world.until(lambda: "BackOff" in world.reasons("image"))
        for name in ("image", "loop"):
            world.delete(name)
        await world.until(lambda: world.pod("image") is world.pod("loop") is None, 5)

    acted(tmp_path, scene, backoff_scale=0.3)


# --- the kubelet itself ----------------------------------------------------------------------------------------------


def test_pods_survive_the_kubelet_and_count_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")

    async def first() -> tuple[str, str, int]:
        async with node_world(tmp_path / "state", store=store) as world:
            world.api.create("namespaces", "", {"metadata": {"name": NAMESPACE}}, USER)
            world.create(
                "serviceaccounts", {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
            )
            world.run("p", WAIT)
            pod = await world.ready("p")
            return pod["metadata"]["uid"], pod["status"]["podIP"], pid_of(world, "p")

    async def second(uid: str, ip: str, pid: int) -> None:
        assert not psutil.pid_exists(pid), "its processes ended with it"
        async with node_world(tmp_path / "state", store=store) as world:
            assert world.pod("p")["status"]["phase"] == "Running", "as it was left"
            await world.until(
                lambda: world.container("p").get("restartCount") == 1 and world.container("p")["ready"]
            )
            pod = world.pod("p")
            assert (pod["metadata"]["uid"], pod["status"]["podIP"]) == (uid, ip)
            assert "terminated" in world.container("p")["lastState"]

    asyncio.run(second(*asyncio.run(first())))
    store.close()


def test_what_a_killed_kubelet_left_is_ended_by_the_next(tmp_path: Path) -> None:
    left = subprocess.Popen(
        ["sleep", "60"], env={**os.environ, "POD_ROOT": str((tmp_path / "state/pods/x").resolve())}
    )

    async def scene(world: NodeWorld) -> None:
        await world.until(lambda: left.poll() is not None)

    try:
        acted(tmp_path, scene)
        assert left.returncode == -signal.SIGKILL
    finally:
        left.kill()
        left.wait()


def test_a_guard_that_was_killed_is_there_again_and_remains_of_pods_are_not(tmp_path: Path) -> None:
    left = [tmp_path / "state" / folder / "uid-of-a-pod-that-was" for folder in ("pods", "pod-logs")]
    for folder in left:
        folder.mkdir(parents=True)

    async def scene(world: NodeWorld) -> None:
        assert not any(folder.exists() for folder in left)
        first = world.kubelet._guard
        first.kill()
        await world.until(lambda: world.kubelet._guard is not first)
        assert world.kubelet._guard.poll() is None

    acted(tmp_path, scene)


def test_of_many_starts_two_logs_are_kept(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        uid = world.run("p", "raise SystemExit(1)")["metadata"]["uid"]
        await world.until(lambda: world.container("p").get("restartCount") == 4)
        logs = {path.name for path in (tmp_path / "state/pod-logs" / uid / "c").iterdir()}
        assert logs == {"3.log", "4.log"}

    acted(tmp_path, scene, backoff_scale=0.01)


def test_nothing_is_left_of_many_pods(tmp_path: Path) -> None:
    """Tasks, descriptors, folders and addresses of pods that come and go."""

    async def scene(world: NodeWorld) -> None:
        async def churn(number: int) -> None:
            name = f"p{number}"
            world.run(name, WAIT)
            await world.ready(name)
            world.delete(name, grace_s=number % 2)
            await world.until(lambda: world.pod(name) is None)

        await churn(0)
        await world.until(lambda: not world.kubelet._workers)
        before = len(asyncio.all_tasks()), psutil.Process().num_fds()
        for number in range(1, 7):
            await churn(number)
        await world.until(lambda: not world.kubelet._workers)
        await world.until(lambda: len(asyncio.all_tasks()) <= before[0])
        await world.until(lambda: psutil.Process().num_fds() <= before[1])
        for folder in ("pods", "pod-logs"):
            assert not list((tmp_path / "state" / folder).iterdir())
        assert not world.addresses._taken

    acted(tmp_path, scene)
