"""A set of 1,000 objects, and `python release.py KUBECONFIG NAMESPACE FOLDER`: planned and applied by opslib.

It prints the seconds of both and what became of the objects, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from measure import Run, run

from opslib.core.changes import Journal
from opslib.core.clock import SystemClock
from opslib.core.settings import Environment, Settings
from opslib.kube import connect_cluster
from opslib.manifests.apply import apply_plan
from opslib.manifests.sets import ReleaseSet

DEPLOYMENTS, SERVICES, SECRETS, CONFIGS = 200, 200, 200, 400


def write(folder: Path) -> int:
    """Write the set, a file for each kind; return its number of objects. No replica is asked for."""
    folder.mkdir()
    kinds = {
        "deployments": [_deployment(f"web-{n}") for n in range(DEPLOYMENTS)],
        "services": [_service(f"web-{n}") for n in range(SERVICES)],
        "secrets": [
            _object("Secret", f"key-{n}", stringData={"key": f"secret-{n:064d}"}) for n in range(SECRETS)
        ],
        "configs": [_object("ConfigMap", f"cfg-{n}", data=_settings(n)) for n in range(CONFIGS)],
    }
    for name, bodies in kinds.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    return sum(map(len, kinds.values()))


def _object(kind: str, name: str, version: str = "v1", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": {"app": name}}, **rest}


def _settings(number: int) -> dict[str, str]:
    return {f"key-{key}": f"value {key} of {number}" for key in range(20)}


def _service(name: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return _object("Service", name, spec={"selector": {"app": name}, "ports": ports})


def _deployment(name: str) -> dict[str, Any]:
    number = name.rpartition("-")[2]
    container = {
        "name": "web",
        "image": "registry.example/web:1.0.0",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"VARIABLE_{n}", "value": str(n)} for n in range(10)],
        "envFrom": [{"configMapRef": {"name": f"cfg-{number}"}}, {"secretRef": {"name": f"key-{number}"}}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
    return _object("Deployment", name, "apps/v1", spec=spec)


def where(cache: Path) -> tuple[str, dict[str, str], str]:
    """Return kubeconfig and each kubectl by its version, the one on PATH first; and why there is none where so."""
    run = Path(os.environ.get("OPSLIB_KUBERNETES_RUN", cache / "opslib-stack/kubernetes-run"))
    config = os.environ.get("OPSLIB_TEST_KUBECONFIG") or str(run / "pki/admin.kubeconfig")
    built = sorted(
        (cache / "opslib-stack").glob("kubernetes-*/kubectl"), key=lambda path: path.stat().st_mtime
    )
    found = [path for path in (shutil.which("kubectl"), *map(str, built[-1:])) if path]
    if not Path(config).exists():
        return "", {}, "no real Kubernetes: `make kubernetes-up`, or set OPSLIB_TEST_KUBECONFIG"
    return config, {_version(path): path for path in found}, "" if found else "no kubectl to compare with"


def _version(kubectl: str) -> str:
    asked = [kubectl, "version", "--client", "--output=json"]
    told = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout)
    return str(told["clientVersion"]["gitVersion"])


def applied(kubectl: str, kubeconfig: str, namespace: str, folder: str) -> Run:
    """Apply the set by kubectl, and let the controllers come to rest: what they do is nobody's time."""
    ask = [kubectl, "--kubeconfig", kubeconfig, "-n", namespace]
    found = run(*ask, "apply", "--server-side", "-f", folder)
    settle(kubectl, kubeconfig, namespace)
    return found


def settle(kubectl: str, kubeconfig: str, namespace: str) -> None:
    ask = [kubectl, "--kubeconfig", kubeconfig, "-n", namespace, "wait", "deployments", "--all"]
    subprocess.run(
        [*ask, "--for=condition=Available", "--timeout=120s"], check=True, stdout=subprocess.DEVNULL
    )


@contextmanager
def namespaces(kubectl: str, kubeconfig: str, number: int) -> Iterator[list[str]]:
    """Make namespaces. They go at the end."""
    ask = [kubectl, "--kubeconfig", kubeconfig]
    names = [f"bench-{uuid.uuid4().hex[:8]}" for _ in range(number)]
    for name in names:
        subprocess.run([*ask, "create", "namespace", name], check=True, stdout=subprocess.DEVNULL)
    try:
        yield names
    finally:
        subprocess.run([*ask, "delete", "namespace", *names], check=True, stdout=subprocess.DEVNULL)


def main(kubeconfig: str, namespace: str, folder: str) -> None:
    begin = time.perf_counter()
    journal = Journal(Path(folder).parent, SystemClock())
    environment = Environment("bench", kubeconfig=kubeconfig, namespace=namespace)
    cluster = connect_cluster(environment, Settings(Path.cwd()))
    planned = ReleaseSet("bench", (folder,)).planned(cluster, "bench")
    between = time.perf_counter()
    applied = apply_plan(
        cluster,
        planned.plan.plan,
        planned.manifests,
        release="bench",
        journal=lambda record: journal.write(**record),
        clock=SystemClock(),
    )
    end = time.perf_counter()
    counts = {"plan_s": between - begin, "apply_s": end - between, **planned.plan.counts()}
    print(json.dumps({**counts, "written": len(applied.written), "failed": len(applied.failed)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
