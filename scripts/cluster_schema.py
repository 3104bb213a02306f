"""Write the types of the practice cluster's kinds: `python scripts/cluster_schema.py DIR > opslib/lab/cluster/schema.json`.

DIR holds OpenAPI v3 documents of Kubernetes, one for each group and version, as `*.json`: those of its sources
(`api/openapi-spec/v3`) or of a running server (`kubectl get --raw /openapi/v3/apis/apps/v1`).
A field is one line: its type, then what list keys, patches and defaults need to know. `[]T` is a list, `{}T` a map.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from opslib.lab.cluster.resources import BUILT_IN

BESIDE = (
    ("autoscaling", "v1", "Scale"),
    ("policy", "v1", "Eviction"),
    ("authentication.k8s.io", "v1", "TokenRequest"),
)
PLAIN = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "time",
}


def definitions(folder: Path) -> dict[str, dict]:
    found: dict[str, dict] = {}
    for path in sorted(folder.glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8")).get("components", {}).get("schemas", {})
    return found


def reference(schema: dict) -> str:
    """Return the definition that a schema points to, "" where it is written out."""
    (link,) = [s["$ref"] for s in (schema, *schema.get("allOf", ())) if "$ref" in s] or [""]
    return link.rpartition("/")[2]


def short(name: str) -> str:
    return ".".join(name.split(".")[-2:])


PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
NESTED = {PROPS + "OrArray": "", PROPS + "OrBool": "?", PROPS + "OrStringArray": ""}
"""Schemas inside schemas: in a structural one they are schemas, `?`: or a boolean."""


class Types:
    """Definitions met so far, by short name, each field as its line."""

    def __init__(self, known: dict[str, dict]) -> None:
        self.known = known
        self.names: dict[str, str] = {}
        self.lines: dict[str, dict[str, str]] = {}

    def add(self, name: str) -> str:
        if self.names.setdefault(short(name), name) != name:
            sys.exit(f"two types are called {short(name)}: {name} and {self.names[short(name)]}")
        if short(name) not in self.lines:
            definition = self.known[name]
            self.lines[short(name)] = {}
            required = definition.get("required", [])
            self.lines[short(name)] = {
                field: self.line(schema, required=field in required)
                for field, schema in sorted(definition["properties"].items())
            }
        return short(name)

    def type(self, schema: dict) -> str:
        target = reference(schema)
        if target in NESTED:
            return self.add(PROPS) + NESTED[target]
        if target:
            return PLAIN.get(target) or (self.add(target) if self.known[target].get("properties") else "any")
        if schema.get("type") == "array":
            return "[]" + self.type(schema["items"])
        if "additionalProperties" in schema:
            return "{}" + self.type(schema["additionalProperties"])
        plain = {"integer": schema.get("format"), "object": "any", None: "any"}
        if schema.get("format") == "byte":
            return "bytes"
        return str(plain.get(schema.get("type"), schema.get("type")))

    def line(self, schema: dict, *, required: bool) -> str:
        strategy = schema.get("x-kubernetes-patch-strategy", "").split(",")
        keys = ",".join(schema.get("x-kubernetes-list-map-keys", ()))
        merge_key = schema.get("x-kubernetes-patch-merge-key")
        words = (
            self.type(schema),
            "required" if required else "",
            f"default={json.dumps(schema['default'])}" if "default" in schema else "",
            "atomic" if schema.get("x-kubernetes-map-type") else "",
            "set" if schema.get("x-kubernetes-list-type") == "set" else "",
            f"keys={keys}" if schema.get("x-kubernetes-list-type") == "map" else "",
            (f"merge={merge_key}" if merge_key else "merge") if "merge" in strategy else "",
            "retainKeys" if "retainKeys" in strategy else "",
        )
        return " ".join(word for word in words if word)


def main(folder: Path) -> None:
    known = definitions(folder)
    named = {
        (kind["group"], kind["version"], kind["kind"]): name
        for name, definition in known.items()
        for kind in definition.get("x-kubernetes-group-version-kind", ())
    }
    types = Types(known)
    wanted = [(r.group, v, r.kind) for r in BUILT_IN for v in r.versions if r.group != "metrics.k8s.io"]
    kinds = {f"{g}/{v}/{k}".lstrip("/"): types.add(named[g, v, k]) for g, v, k in (*wanted, *BESIDE)}
    atomic = sorted(
        s for s, name in types.names.items() if known[name].get("x-kubernetes-map-type") == "atomic"
    )
    written = {"kinds": kinds, "atomic": atomic, "types": dict(sorted(types.lines.items()))}
    print(json.dumps(written, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
