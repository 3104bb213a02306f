"""What an object gets where its writer said nothing: by the type of each part, then by what its kind derives.

Applying defaults twice changes nothing, and what is already complete is returned as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.schema import Schema, schema_of

_MODE = {"defaultMode": 0o644}
_RBAC = "rbac.authorization.k8s.io"
_OF_TYPE: Mapping[str, Mapping[str, Any]] = {
    "v1.ConfigMapVolumeSource": _MODE,
    "v1.Container": {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    "v1.ContainerPort": {"protocol": "TCP"},
    "v1.CustomResourceConversion": {"strategy": "None"},
    "v1.CustomResourceDefinitionSpec": {"conversion": {"strategy": "None"}},
    "v1.DeploymentSpec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
    "v1.DeploymentStrategy": {"type": "RollingUpdate"},
    "v1.DownwardAPIVolumeSource": _MODE,
    "v1.EndpointPort": {"name": "", "protocol": "TCP"},
    "v1.GRPCAction": {"service": ""},
    "v1.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "v1.JobSpec": {
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "manualSelector": False,
    },
    "v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "v1.PodSpec": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    },
    "v1.Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    "v1.ProjectedVolumeSource": _MODE,
    "v1.ReplicaSetSpec": {"replicas": 1},
    "v1.RollingUpdateDeployment": {"maxUnavailable": "25%", "maxSurge": "25%"},
    "v1.RoleRef": {"apiGroup": _RBAC},
    "v1.SecretVolumeSource": _MODE,
    "v1.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "v1.ServicePort": {"protocol": "TCP"},
    "v1.ServiceSpec": {"sessionAffinity": "None", "type": "ClusterIP"},
    "v2.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
}
_CPU_AT_80 = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
_DOUBLE = {"type": "Percent", "value": 100, "periodSeconds": 15}
_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, _DOUBLE],
}
_DOWN = {"selectPolicy": "Max", "policies": [_DOUBLE]}


def apply_defaults(resource: Resource, obj: Object) -> Object:
    """Return the object with the defaults of its kind; those of custom resources come with decoding."""
    if resource.custom:
        return obj
    kind = _OF_KIND.get(resource.kind)
    whole: Object = _filled(schema_of(resource), kind(obj) if kind else obj, skip="status")
    return whole


def _filled(schema: Schema, value: Any, skip: str = "") -> Any:
    """Return the value with the defaults of the types inside it; itself where nothing was missing."""
    if schema.type == "list" and isinstance(value, list) and schema.items and schema.items.fields:
        items = [_filled(schema.items, item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if schema.type != "object" or not isinstance(value, dict):
        return value
    missing = _missing(schema, value)
    whole = {**value, **missing} if missing else value
    if schema.name == "v1.Container":
        whole = _pull_policy(whole)
    changed = {}
    for name, content in whole.items():
        field = schema.fields.get(name)
        if field is not None and name not in (skip, "metadata") and isinstance(content, dict | list):
            complete = _filled(field, content)
            if complete is not content:
                changed[name] = complete
    return {**whole, **changed} if changed else whole


def _missing(schema: Schema, value: Object) -> Object:
    """Return what the type's defaults add; empty text is as good as none, and zero in a probe is too."""
    zero = (None, "", 0) if schema.name == "v1.Probe" else (None, "")
    defaults = _OF_TYPE.get(schema.name, {})
    return {n: default for n, default in defaults.items() if value.get(n) in zero and value.get(n) != default}


def _pull_policy(container: Object) -> Object:
    if container.get("imagePullPolicy"):
        return container
    image = container.get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2] or ("latest" if "@" not in image else "")
    policy = "Always" if tag == "latest" else "IfNotPresent"
    return {**container, "imagePullPolicy": policy}


def _with_spec(obj: Object, **fields: Any) -> Object:
    """Return the object with these fields of its spec, None leaving one as it is."""
    spec = obj.get("spec") or {}
    changed = {name: value for name, value in fields.items() if value is not None and spec.get(name) != value}
    return {**obj, "spec": {**spec, **changed}} if changed else obj


def _deployment(obj: Object) -> Object:
    strategy = (obj.get("spec") or {}).get("strategy") or {}
    if strategy.get("type", "RollingUpdate") == "RollingUpdate" and not strategy.get("rollingUpdate"):
        strategy = {**strategy, "rollingUpdate": dict(_OF_TYPE["v1.RollingUpdateDeployment"])}
        obj = _with_spec(obj, strategy=strategy)
    return _template(obj)


def _template(obj: Object) -> Object:
    template = (obj.get("spec") or {}).get("template")
    if not template or "spec" not in template:
        return obj
    spec = _account(template["spec"])
    return obj if spec is template["spec"] else _with_spec(obj, template={**template, "spec": spec})


def _account(spec: Object) -> Object:
    """Write the account's name under its old name too, as Kubernetes does."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if not name or (spec.get("serviceAccount") == name and spec.get("serviceAccountName") == name):
        return spec
    return {**spec, "serviceAccountName": name, "serviceAccount": name}


def _pod(obj: Object) -> Object:
    spec = _account(obj.get("spec") or {})
    asked = {kind: [_requested(each) for each in spec[kind]] for kind in _CONTAINERS if spec.get(kind)}
    return _with_spec(obj, **{"enableServiceLinks": True, **spec, **asked})


_CONTAINERS = ("initContainers", "containers")


def _requested(container: Object) -> Object:
    """Ask for what the limits allow where a pod asks for nothing."""
    resources = container.get("resources") or {}
    limits = resources.get("limits")
    if not limits or not limits.keys() - resources.get("requests", {}).keys():
        return container
    return {**container, "resources": {**resources, "requests": {**limits, **resources.get("requests", {})}}}


def _job(obj: Object) -> Object:
    """Complete once unless said otherwise; bear the labels of the pods."""
    spec = obj.get("spec") or {}
    if "completions" not in spec and "parallelism" not in spec:
        obj = _with_spec(obj, completions=1)
    labels = ((obj.get("spec") or {}).get("template") or {}).get("metadata", {}).get("labels")
    if labels and not obj["metadata"].get("labels"):
        obj = {**obj, "metadata": {**obj["metadata"], "labels": labels}}
    return _template(obj)


def generated(resource: Resource, obj: Object) -> Object:
    """Return a new object with what the server makes up for it and nobody manages: it needs the object's uid."""
    spec = obj.get("spec") or {}
    if resource.kind == "Service" and spec.get("type") != "ExternalName":
        return _with_spec(obj, **{"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", **spec})
    if resource.kind != "Job" or spec.get("selector") or spec.get("manualSelector") or "template" not in spec:
        return obj
    uid = obj["metadata"]["uid"]
    owner = {"controller-uid": uid, "job-name": obj["metadata"].get("name", "")}
    owner |= {f"batch.kubernetes.io/{key}": value for key, value in owner.items()}
    metadata = spec["template"].get("metadata") or {}
    labels = {**metadata.get("labels", {}), **owner}
    template = {**spec["template"], "metadata": {**metadata, "labels": labels}}
    whole = _with_spec(
        obj, selector={"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}, template=template
    )
    return _job(whole)


def _service(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    ports = [
        {**p, "targetPort": p["port"]} if p.get("targetPort") in (None, 0, "") else p
        for p in spec.get("ports", ())
    ]
    fields: dict[str, Any] = {"ports": ports or None}
    kind = spec.get("type") or "ClusterIP"
    if kind != "ExternalName":
        fields |= {"internalTrafficPolicy": spec.get("internalTrafficPolicy") or "Cluster"}
    if kind in ("NodePort", "LoadBalancer"):
        fields |= {"externalTrafficPolicy": spec.get("externalTrafficPolicy") or "Cluster"}
    return _with_spec(obj, **fields)


def _secret(obj: Object) -> Object:
    plain = obj.get("stringData") or {}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    if encoded:
        rest["data"] = {**rest.get("data", {}), **encoded}
    return {**rest, "type": rest.get("type") or "Opaque"}


def _autoscaler(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    behavior = spec.get("behavior")
    if behavior is not None:
        behavior = {
            "scaleUp": {**_UP, **behavior.get("scaleUp", {})},
            "scaleDown": {**_DOWN, **behavior.get("scaleDown", {})},
        }
    return _with_spec(obj, metrics=spec.get("metrics") or [_CPU_AT_80], behavior=behavior)


def _binding(obj: Object) -> Object:
    subjects = [
        {**s, "apiGroup": _RBAC} if s.get("kind") in ("User", "Group") and not s.get("apiGroup") else s
        for s in obj.get("subjects", ())
    ]
    return {**obj, "subjects": subjects} if subjects else obj


def _definition(obj: Object) -> Object:
    names = (obj.get("spec") or {}).get("names") or {}
    kind = names.get("kind", "")
    derived = {"singular": kind.lower(), "listKind": f"{kind}List"}
    return _with_spec(obj, names={**derived, **{name: value for name, value in names.items() if value}})


_OF_KIND: Mapping[str, Callable[[Object], Object]] = {
    "Deployment": _deployment,
    "ReplicaSet": _template,
    "Pod": _pod,
    "Job": _job,
    "Service": _service,
    "Secret": _secret,
    "HorizontalPodAutoscaler": _autoscaler,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "CustomResourceDefinition": _definition,
}
