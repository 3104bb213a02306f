"""The cluster as a process: the same one after any end, alone on its folder, gone with whoever started it."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cluster_server import Practice, until

pytestmark = pytest.mark.lab

PODS = "/api/v1/namespaces/default/pods"
POD = {
    "metadata": {"name": "p", "labels": {"app": "p"}},
    "spec": {"containers": [{"name": "c", "image": "web:v1", "ports": [{"containerPort": 8080}]}]},
}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Practice]:
    """A cluster that the test may kill."""
    cluster = Practice(tmp_path / "state").start()
    yield cluster
    cluster.stop()


def running(cluster: Practice) -> dict | None:
    pod = cluster.call("GET", f"{PODS}/p")[1]
    statuses = pod["status"].get("containerStatuses") or [{}]
    return pod if statuses[0].get("ready") else None


def test_a_kill_loses_nothing_and_leaves_nothing(own: Practice) -> None:
    until(lambda: own.call("POST", PODS, POD)[0] != 403)
    before = until(lambda: running(own))
    children = psutil.Process(own.process.pid).children(recursive=True)
    assert children
    url, token, authority = own.url, own.token, (own.state / "pki" / "ca.crt").read_bytes()

    own.kill()
    until(lambda: not any(child.is_running() for child in children))
    own.start()

    assert (own.url, own.token, (own.state / "pki" / "ca.crt").read_bytes()) == (url, token, authority)
    after = until(lambda: (p := running(own)) and p["status"]["containerStatuses"][0]["restartCount"] and p)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])


def test_it_ends_with_whoever_started_it(own: Practice) -> None:
    children = psutil.Process(own.process.pid).children(recursive=True)
    own.process.stdin.close()
    own.process.wait(30)
    until(lambda: not any(child.is_running() for child in children))


def test_one_folder_has_one_cluster(own: Practice) -> None:
    command = [sys.executable, "-m", "opslib.lab.cluster", "--state", str(own.state)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (second.returncode, second.stdout) == (3, "")
    assert "another process is the cluster" in second.stderr


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "cluster.db").write_bytes(b"no database" * 100)
    command = [sys.executable, "-m", "opslib.lab.cluster", "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"{tmp_path}/cluster.db cannot be read: file is not a database")


def test_secrets_are_the_owner_s_alone(own: Practice) -> None:
    for name in ("kubeconfig", "cluster.json", "pki/ca.key", "pki/server.key"):
        assert stat.S_IMODE((own.state / name).stat().st_mode) == 0o600, name
    assert own.token not in " ".join(psutil.Process(own.process.pid).cmdline())


def test_watches_end_when_their_clients_go(practice: Practice) -> None:
    def open_watches() -> int:
        return practice.call("GET", "/practice/faults")[1]["watches"]

    before, descriptors = open_watches(), psutil.Process(practice.process.pid).num_fds()
    headers = {"Authorization": f"Bearer {practice.token}"}
    connections = [practice.connect() for _ in range(20)]
    for connection in connections:
        connection.request("GET", "/api/v1/pods?watch=1", headers=headers)
        assert connection.getresponse().status == 200
    assert open_watches() == before + 20
    for connection in connections:
        connection.sock.close()
        connection.close()
    until(lambda: open_watches() <= before)
    until(lambda: psutil.Process(practice.process.pid).num_fds() <= descriptors)


def test_a_dropped_watch_ends_cleanly(practice: Practice) -> None:
    connection = practice.connect()
    connection.request("GET", "/api/v1/nodes?watch=1", headers={"Authorization": f"Bearer {practice.token}"})
    answer = connection.getresponse()
    assert json.loads(answer.readline())["type"] == "ADDED"
    practice.call("POST", "/practice/faults", {"drop_watches": "nodes"})
    while line := answer.readline():  # the node's status may have changed meanwhile
        assert json.loads(line)["object"]["kind"] == "Node"
    connection.close()


def test_a_partition_stalls_clients_until_it_heals(practice: Practice) -> None:
    practice.call("POST", "/practice/faults", {"partition": True, "resource": "leases.coordination.k8s.io"})
    held = practice.connect()
    held.request(
        "GET", "/apis/coordination.k8s.io/v1/leases", headers={"Authorization": f"Bearer {practice.token}"}
    )
    assert practice.call("GET", "/api/v1/nodes")[0] == 200
    held.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        held.getresponse()
    held.close()
    assert practice.call("DELETE", "/practice/faults")[1]["faults"] == []
    assert practice.call("GET", "/apis/coordination.k8s.io/v1/leases")[0] == 200


def test_a_pod_reads_with_its_own_token_what_its_role_allows(practice: Practice) -> None:
    """From within the pod: the files and variables that every client library looks for."""
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["allowed"], "verbs": ["get"]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads"}
    subjects = [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}]
    practice.call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "reader"}})
    practice.call("POST", f"{rbac}/roles", {"metadata": {"name": "reads"}, "rules": [rule]})
    binding = {"metadata": {"name": "reads"}, "roleRef": reference, "subjects": subjects}
    practice.call("POST", f"{rbac}/rolebindings", binding)
    for name in ("allowed", "other"):
        practice.call("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})
    container = {"name": "c", "image": "once", "command": [sys.executable, "-c", READER]}
    spec = {"serviceAccountName": "reader", "restartPolicy": "Never", "containers": [container]}
    practice.call("POST", PODS, {"metadata": {"name": "reader"}, "spec": spec})
    until(lambda: practice.call("GET", f"{PODS}/reader")[1]["status"]["phase"] in {"Succeeded", "Failed"})
    assert practice.call("GET", f"{PODS}/reader/log")[1].split() == ["200", "403", "default"]


READER = """
import os, ssl, urllib.error, urllib.request
from pathlib import Path
files = Path(os.environ["POD_ROOT"] + "/var/run/secrets/kubernetes.io/serviceaccount")
address = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
context = ssl.create_default_context(cafile=files / "ca.crt")
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
for name in ("allowed", "other"):
    path = f"{address}/api/v1/namespaces/default/configmaps/{name}"
    request = urllib.request.Request(path, headers={"Authorization": "Bearer " + (files / "token").read_text()})
    try:
        print(opener.open(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        print(error.code)
print((files / "namespace").read_text())
"""
