"""Objects are refused as a Kubernetes 1.34.2 server refused them: `recorded/validation.jsonl`, cause by cause."""

import copy
import json
import re
from pathlib import Path

import pytest

from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.defaults import apply_defaults, generated
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.schema import schema_of
from opslib.lab.cluster.validation import validate

RESOURCES = Resources()
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent / "recorded" / "validation.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


def complete(obj: dict):
    resource = RESOURCES.of_kind(obj["apiVersion"], obj["kind"])
    decoded, _ = decode(schema_of(resource), resource, obj)
    decoded["metadata"].setdefault("uid", "u1")
    return generated(resource, apply_defaults(resource, decoded))


def causes(new: dict, old: dict | None = None) -> list[dict[str, str]]:
    resource = RESOURCES.of_kind(new["apiVersion"], new["kind"])
    before = copy.deepcopy((new, old))
    found = validate(resource, schema_of(resource), new, old)
    assert (new, old) == before
    return [cause.to_dict() for cause in found]


def said(cause: dict[str, str]) -> tuple[str, str, str]:
    """Return a cause without the values that Go prints in its own way: internal structs, diffs."""
    message = re.sub(r"(value: )\{.*\}(: |$)", r"\1{}\2", cause["message"].partition("\n")[0])
    return cause["reason"], cause["field"], message


@pytest.mark.parametrize("case", RECORDED, ids=[case["name"] for case in RECORDED])
def test_what_is_refused_and_why(case: dict) -> None:
    old = complete(case["old"]) if "old" in case else None
    new = complete(case["new"])

    assert [said(cause) for cause in causes(new, old)] == [said(cause) for cause in case["causes"]]
