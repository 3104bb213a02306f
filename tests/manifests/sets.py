"""A set that no rule finds fault with, and ways to change it: the shop's payment in small."""

import copy
from typing import Any

from opslib.manifests.model import Manifest

DIGEST = "sha256:" + "a" * 64
SECRET = "hunter2-hunter2"
DEPLOYMENT = 2  # its place in the sets


def labelled(name: str, **more) -> dict:
    return {"name": name, "namespace": "shop", **more}


def good() -> list[dict[str, Any]]:
    container = {
        "name": "payment",
        "image": f"payment:v2@{DIGEST}",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"runAsNonRoot": True},
        "env": [
            {"name": "MODE", "value": "fast"},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }
    labels = {"app": "payment"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": labelled("settings"), "data": {"level": "info"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": labelled("db"), "stringData": {"password": "hunter22"}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": labelled("payment"),
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": labelled("payment"),
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "http"}]},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": labelled("payment"),
            "spec": {"selector": {"matchLabels": labels}, "maxUnavailable": 1},
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": labelled("payment"),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "payment"},
                "minReplicas": 2,
                "maxReplicas": 4,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
                ],
            },
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": labelled("front"),
            "spec": {
                "rules": [
                    {"http": {"paths": [{"path": "/", "pathType": "Prefix",
                                         "backend": {"service": {"name": "payment", "port": {"number": 80}}}}]}}
                ]
            },
        },
    ]  # fmt: skip


def manifests(bodies: list) -> list[Manifest]:
    return [Manifest(body, f"shop.yaml:{n}") for n, body in enumerate(bodies)]


def changed(path: str, value: Any, bodies: list | None = None) -> list:
    """The good set with one value changed: `2.spec.replicas`; `...` takes it out."""
    found = copy.deepcopy(bodies or good())
    *way, last = [int(p) if p.isdigit() else p for p in path.split("/")]
    at: Any = found
    for key in way:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return found


def shop() -> list[dict]:
    """The good set without its autoscaler, in the namespace of whoever applies it."""
    bodies = [b for b in copy.deepcopy(good()) if b["kind"] != "HorizontalPodAutoscaler"]
    for body in bodies:
        del body["metadata"]["namespace"]
    bodies[1]["stringData"]["password"] = SECRET
    return bodies


AUTOSCALER = copy.deepcopy(good()[5])
del AUTOSCALER["metadata"]["namespace"]
