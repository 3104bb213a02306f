"""The roles grant what the code needs and no more; the check names what is missing."""

import pytest
import yaml

from opslib.core.errors import ClusterError
from opslib.core.outcome import Outcome
from opslib.kube import Kind
from opslib.manifests.rights import READER, ROLES, preflight_cluster, role_manifest


@pytest.mark.parametrize("name", ROLES)
def test_a_role_grants_the_rights_of_the_table_and_nothing_else(name: str) -> None:
    role, binding = yaml.safe_load_all(role_manifest(name))
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert granted == {(r.group, r.resource, verb) for r in ROLES[name] for verb in r.verbs}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert not [right for right in granted if "*" in right]


def test_a_reader_sees_no_secrets_and_changes_nothing() -> None:
    assert "secrets" not in {right.resource for right in READER}
    assert {verb for right in READER for verb in right.verbs} == {"get", "list", "watch"}


class Cluster:
    namespace = "shop"

    def __init__(self, version: str = "v1.34.2", forbidden: set[tuple[str, str]] | None = None) -> None:
        self._version, self._forbidden = version, forbidden or set()

    def version(self) -> str:
        if not self._version:
            raise ClusterError("cannot connect", hint="is it running?")
        return self._version

    def may(self, verb: str, kind: Kind, namespace: str = "", name: str = "") -> bool:
        assert namespace == "shop"
        return (verb, kind.resource) not in self._forbidden

    def each(self, call, items) -> list:
        return [call(item) for item in items]


def outcomes(cluster: Cluster, **options: bool) -> list[tuple[str, Outcome]]:
    return [(check.name, check.outcome) for check in preflight_cluster(cluster, **options)]


def test_each_missing_right_is_named_with_the_role_that_has_it() -> None:
    lacking = Cluster(forbidden={("patch", "deployments.apps"), ("get", "pods/log")})

    assert outcomes(Cluster(), changes=True) == [("cluster", Outcome.PASS), ("rights", Outcome.PASS)]
    rights = preflight_cluster(lacking, changes=True)[1]
    assert rights.outcome is Outcome.FAIL
    assert "get pods/log, patch deployments.apps" in rights.statement
    assert "operator.yaml" in rights.hint
    assert "patch" not in preflight_cluster(lacking)[1].statement, "who only reads is not asked for more"


@pytest.mark.parametrize(
    ("version", "outcome", "warned"),
    [
        ("v1.34.2", Outcome.PASS, False),
        ("v1.36.0", Outcome.PASS, False),
        ("v1.28.5-gke.100", Outcome.PASS, True),
        ("v1.21.9", Outcome.FAIL, True),
        ("unknown", Outcome.FAIL, True),
        ("", Outcome.ERROR, True),
    ],
)
def test_versions_far_from_what_was_tested_are_told(version: str, outcome: Outcome, warned: bool) -> None:
    check = preflight_cluster(Cluster(version))[0]

    assert (check.outcome, bool(check.hint)) == (outcome, warned)
