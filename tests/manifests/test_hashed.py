"""Old pods keep old values: a changed ConfigMap or Secret is another object under another name."""

import base64
import copy

import pytest

from opslib.manifests.hashed import content_hash, with_hashed_names
from opslib.manifests.model import Manifest
from opslib.manifests.rules_links import references

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"A": "1"}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"K": "s3"}}
CONTAINER = {
    "name": "c",
    "envFrom": [
        {"configMapRef": {"name": "cfg"}},
        {"secretRef": {"name": "key"}},
        {"configMapRef": {"name": "other"}},
    ],
    "env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "A"}}},
        {"name": "K", "valueFrom": {"secretKeyRef": {"name": "key", "key": "K"}}},
        {"name": "P", "value": "plain"},
    ],
}
VOLUMES = [
    {"name": "a", "configMap": {"name": "cfg"}},
    {"name": "b", "secret": {"secretName": "key"}},
    {"name": "c", "projected": {"sources": [{"configMap": {"name": "cfg"}}, {"secret": {"name": "key"}}]}},
    {"name": "d", "emptyDir": {}},
]


def workload(**spec) -> dict:
    template = {"spec": {"containers": [CONTAINER], "volumes": VOLUMES, **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": template},
    }


def planned(*bodies: dict, live: tuple = ()):
    there = {(b["kind"], "shop", b["metadata"]["name"]): b for b in live}
    before = copy.deepcopy(bodies)
    result = with_hashed_names([Manifest(b, "f:1") for b in bodies], "shop", lambda *key: there.get(key))
    assert bodies == before, "what was read stays as it is"
    return result, [m.body for m in result.manifests]


def names_of(body: dict) -> set[tuple[str, str]]:
    return {(kind, name) for kind, name, _, _ in references(body["spec"]["template"])}


OLD_CONFIG = {**CONFIG, "data": {"A": "0", "ADDED": "by another"}}
LIVE_SECRET = {**SECRET, "stringData": None, "data": {"K": base64.b64encode(b"s3").decode()}}


def test_what_is_new_or_unchanged_keeps_its_name() -> None:
    same = {**CONFIG, "data": {"A": "1", "ADDED": "by another"}}
    for live in ((), (same, LIVE_SECRET)):
        result, bodies = planned(CONFIG, SECRET, workload(), live=live)
        assert not result.names
        assert bodies == [CONFIG, SECRET, workload()]


def test_what_has_changed_gets_a_name_of_its_own_and_every_reference_follows() -> None:
    old_secret = {**LIVE_SECRET, "data": {"K": "b2xk"}}
    _, (config, secret, deployment) = planned(CONFIG, SECRET, workload(), live=(OLD_CONFIG, old_secret))

    names = {("ConfigMap", f"cfg-{content_hash(CONFIG)}"), ("Secret", f"key-{content_hash(SECRET)}")}
    assert {(b["kind"], b["metadata"]["name"]) for b in (config, secret)} == names
    assert names_of(deployment) == {*names, ("ConfigMap", "other")}
    assert config["data"] == CONFIG["data"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["env"][2] == {"name": "P", "value": "plain"}
    assert pod["volumes"][3] == {"name": "d", "emptyDir": {}}


def test_the_name_comes_from_the_content_alone() -> None:
    encoded = {**LIVE_SECRET, "metadata": {"name": "key", "labels": {"x": "y"}}}

    assert content_hash(SECRET) == content_hash(encoded)
    assert content_hash({**SECRET, "stringData": {"K": "s4"}}) != content_hash(SECRET)


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "Ingress", "metadata": {"name": "i"}, "spec": {"tls": [{"secretName": "key"}]}},
        {"kind": "ServiceAccount", "metadata": {"name": "s"}, "imagePullSecrets": [{"name": "key"}]},
    ],
)
def test_what_others_know_by_name_keeps_it_and_that_is_told(other: dict) -> None:
    old = {**LIVE_SECRET, "data": {"K": "b2xk"}}
    result, bodies = planned(SECRET, other, workload(), live=(old,))

    assert bodies[0] == SECRET
    assert [m.body for m in result.in_place] == [SECRET]


def test_who_wants_it_in_place_gets_it_so_and_is_told() -> None:
    wanted = {**CONFIG, "metadata": {"name": "cfg", "annotations": {"opslib/in-place": "true"}}}
    result, bodies = planned(wanted, workload(), live=(OLD_CONFIG,))

    assert bodies[0] == wanted
    assert len(result.in_place) == 1


def test_what_no_pod_of_the_set_consumes_is_left_alone() -> None:
    result, bodies = planned(CONFIG, live=(OLD_CONFIG,))

    assert bodies == [CONFIG]
    assert not result.in_place
