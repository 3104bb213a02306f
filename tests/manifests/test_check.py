"""Each rule finds its flaw, with evidence and fix, and nothing where there is none; no shape of input breaks one."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sets import DIGEST, changed, good, manifests

from opslib.core.errors import UsageError
from opslib.manifests.check import RULES, check_manifests
from opslib.manifests.plain_secrets import looks_secret, secret_arguments
from opslib.manifests.scene import selects

CONTAINER = "2/spec/template/spec/containers/0"
TOKEN = "q8Zr4TxW1mK7vB2nY5cD9fG3hJ6pL0sA"


def found(bodies, **how) -> list[tuple[str, str]]:
    return [(flaw.rule, flaw.evidence) for flaw in check_manifests(manifests(bodies), **how)]


def test_a_good_set_has_no_flaw() -> None:
    assert found(good()) == []


@pytest.mark.parametrize(
    ("path", "value", "rule", "words"),
    [
        (f"{CONTAINER}/resources", {}, "resources-missing", "no cpu request, no memory request, no memory limit"),
        (f"{CONTAINER}/resources/limits/memory", "128m", "resources-absurd", "memory in limits is 128m, outside of 4Mi"),
        (f"{CONTAINER}/resources/requests/cpu", 500, "resources-absurd", "cpu in requests is 500"),
        (f"{CONTAINER}/resources/requests/memory", "256Mi", "resources-absurd", "requests more memory (256Mi)"),
        (f"{CONTAINER}/resources/requests/memory", "many", "resources-absurd", "no quantity"),
        (f"{CONTAINER}/resources/requests/memory", [1], "resources-absurd", "no quantity"),
        (f"{CONTAINER}/readinessProbe", ..., "readiness-missing", "Service shop/payment sends it calls"),
        (f"{CONTAINER}/image", "payment", "image-latest", "'payment'"),
        (f"{CONTAINER}/image", "payment:latest", "image-latest", "'payment:latest'"),
        (f"{CONTAINER}/image", "payment:v2", "image-not-pinned", "'payment:v2'"),
        (f"{CONTAINER}/env/0", {"name": "apiKey", "value": "abc123"}, "secret-in-plain", "variable apiKey: its name"),
        (f"{CONTAINER}/args", ["--db-password", "hunter22"], "secret-in-plain", "args: its name"),
        ("0/data", {"key": TOKEN}, "secret-in-plain", "key key: it holds a long random word"),
        ("3/spec/selector", {"app": "paymnt"}, "selector-matches-nothing", "not in the set, and the cluster was not"),
        ("2/spec/selector", {"matchLabels": {"a": "b"}}, "selector-matches-nothing", "of its own template"),
        ("3/spec/ports/0/targetPort", "web", "service-port-missing", "port 80 leads to 'web'"),
        ("6/spec/rules/0/http/paths/0/backend/service/name", "pay", "ingress-service-missing", "Service pay is not in"),
        ("6/spec/rules/0/http/paths/0/backend/service/port", {"number": 81}, "ingress-service-missing", "no port 81"),
        ("4", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}, "budget-missing", "2 replicas"),
        ("0/metadata/name", "setings", "reference-missing", "ConfigMap settings is not in the set"),
        ("1/stringData", {"user": "x"}, "reference-missing", "Secret db has no key password"),
        (f"{CONTAINER}/image", f"reg.example/p@{DIGEST}", "pull-secret-missing", "reg.example, and no pull secret"),
        (f"{CONTAINER}/resources/requests", {"memory": "64Mi"}, "autoscaler-without-requests", "scales by cpu use"),
        ("5/spec/scaleTargetRef/name", "pay", "autoscaler-without-requests", "target Deployment pay is not in"),
        (f"{CONTAINER}/securityContext", {"privileged": True, "runAsUser": 7}, "privileged", "is privileged"),
        (f"{CONTAINER}/securityContext", {"runAsUser": 7, "capabilities": {"add": ["SYS_ADMIN"]}}, "privileged", "node"),
        ("2/spec/template/spec/volumes", [{"name": "v", "hostPath": {"path": "/etc"}}], "privileged", "/etc"),
        ("2/spec/template/spec/hostNetwork", True, "privileged", "hostNetwork"),
        (f"{CONTAINER}/securityContext", {"runAsUser": 0}, "runs-as-root", "runs as root"),
        (f"{CONTAINER}/securityContext", {}, "runs-as-root", "may run as root"),
    ],
)  # fmt: skip
def test_each_flaw_is_found_with_its_evidence(path, value, rule, words) -> None:
    bodies = changed(path, value)
    flaws = check_manifests(manifests(bodies))

    mine = [flaw for flaw in flaws if flaw.rule == rule]

    assert any(words in flaw.evidence for flaw in mine), flaws
    assert all(flaw.fix and flaw.source.startswith("shop.yaml:") for flaw in mine)


def test_every_rule_is_tested_above() -> None:
    marks = test_each_flaw_is_found_with_its_evidence.pytestmark
    assert {case[2] for mark in marks for case in mark.args[1]} == {rule.id for rule in RULES}


def test_no_evidence_repeats_a_secret() -> None:
    bodies = changed(f"{CONTAINER}/env/0", {"name": "DB_PASSWORD", "value": "hunter2-hunter2"})
    bodies = changed(f"{CONTAINER}/args", [f"--token={TOKEN}"], changed("0/data", {"api_key": TOKEN}, bodies))
    flaws = [str(flaw) for flaw in check_manifests(manifests(bodies))]

    assert len(flaws) == 3
    assert not [f for f in flaws if TOKEN in f or "hunter2" in f]


def test_a_container_for_debugging_needs_no_resources() -> None:
    assert (
        found(
            changed(
                "2/spec/template/spec/ephemeralContainers",
                [{"name": "sh", "securityContext": {"runAsUser": 7}}],
            )
        )
        == []
    )


def test_what_the_cluster_has_is_not_missing() -> None:
    bodies = [b for b in good() if b["kind"] != "ConfigMap"]

    (missing,) = found(bodies, existing=[])

    assert missing == ("reference-missing", "ConfigMap settings is neither in the set nor in the cluster")
    assert found(bodies, existing=[good()[0]]) == []


def test_an_optional_reference_may_be_missing() -> None:
    assert found(changed(f"{CONTAINER}/envFrom/0/configMapRef", {"name": "gone", "optional": True})) == []


@pytest.mark.parametrize("where", ["pod", "account"])
def test_a_pull_secret_counts_where_it_knows_the_registry(where) -> None:
    bodies = changed(f"{CONTAINER}/image", f"reg.example:5000/p@{DIGEST}")
    config = json.dumps({"auths": {"https://reg.example:5000/v1/": {"auth": "x"}}})
    data = {".dockerconfigjson": base64.b64encode(config.encode()).decode()}
    pull = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull", "namespace": "shop"},
        "data": data,
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "shop"},
    }
    holder = bodies[2]["spec"]["template"]["spec"] if where == "pod" else account
    holder["imagePullSecrets"] = [{"name": "pull"}]

    assert found([*bodies, account, pull]) == []
    assert found([*bodies, account, {**pull, "data": {}}])[0][1].endswith("; pull does not name it")


def test_namespaces_are_apart_and_the_default_one_is_the_callers() -> None:
    bodies = good()
    for body in bodies:
        del body["metadata"]["namespace"]
    assert found(bodies, namespace="shop") == []

    bodies[0]["metadata"]["namespace"] = "other"
    assert [rule for rule, _ in found(bodies, namespace="shop")] == ["reference-missing"]


def test_severities_are_the_callers_and_the_worst_comes_first() -> None:
    bodies = changed(f"{CONTAINER}/image", "payment:v2", changed("1/stringData", {}))

    assert [f.rule for f in check_manifests(manifests(bodies))] == ["reference-missing", "image-not-pinned"]
    other = check_manifests(
        manifests(bodies), severities={"image-not-pinned": "error", "reference-missing": "info"}
    )
    assert [(f.rule, f.severity) for f in other] == [
        ("image-not-pinned", "error"),
        ("reference-missing", "info"),
    ]
    assert (
        check_manifests(manifests(bodies), severities={"image-not-pinned": "off", "reference-missing": "off"})
        == ()
    )


@pytest.mark.parametrize("severities", [{"image-latst": "off"}, {"image-latest": "fatal"}])
def test_a_rule_or_severity_that_is_none_is_a_usage_error(severities) -> None:
    with pytest.raises(UsageError) as error:
        check_manifests(manifests(good()), severities=severities)
    assert error.value.hint


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DB_PASSWORD", "hunter22", True), ("dbPassword", "x1", True), ("dbPassword", "hunter22", True),
        ("DB_PASSWORD", "$(FROM_VAULT)", False), ("PASSWORD", "<set me>", False), ("AUTH_URL", "https://a.example", False),
        ("TOKEN_TTL", "3600", False), ("SECRET_NAME", "db", False), ("URL", "postgres://u:secretpw@db/x", True),
        ("key", "AKIAABCDEFGHIJKLMNOP", True), ("commit", "0123456789abcdef" * 4, False),
        ("id", "123e4567-e89b-12d3-a456-426614174000", False), ("blob", TOKEN, True),
        ("text", "The quick brown Fox jumps over 13 lazy dogs", False), ("PASSWORD", "", False),
        ("path", "/usr/share/Java/openjdk11/Lib/security/policy/Unlimited9", False),
    ],
)  # fmt: skip
def test_what_looks_secret(name, value, secret) -> None:
    assert bool(looks_secret(name, value)) is secret


def test_arguments_are_read_as_name_and_value() -> None:
    words = ["serve", "--port", "8080", "--token", "abcdef", "--password=s3cret!", "--verbose", "-c", "echo"]

    assert len(list(secret_arguments(words))) == 2


@pytest.mark.parametrize(
    ("operator", "values", "labels", "chosen"),
    [
        ("In", ["a"], {"k": "a"}, True), ("In", ["a"], {}, False), ("NotIn", ["a"], {}, True),
        ("NotIn", ["a"], {"k": "a"}, False), ("Exists", None, {"k": ""}, True), ("DoesNotExist", None, {}, True),
        ("Exists", None, {}, False), ("Near", ["a"], {"k": "a"}, False),
    ],
)  # fmt: skip
def test_selectors_choose_as_kubernetes_does(operator, values, labels, chosen) -> None:
    expression = {"key": "k", "operator": operator, "values": values}

    assert selects({"matchExpressions": [expression]}, labels) is chosen


def nodes(value, path=()):
    """Every path of a set."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from nodes(item, (*path, key))


PATHS = ["/".join(map(str, path)) for path in nodes(good()) if len(path) > 1]
PATHS = [p for p in PATHS if p.split("/")[1] not in {"apiVersion", "kind", "metadata"}]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "spec", "ports", "matchLabels", "a"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), ODD), min_size=1, max_size=3))
def test_no_shape_of_a_set_breaks_a_rule(changes) -> None:
    bodies = good()
    for path, value in changes:
        try:
            bodies = changed(path, value, bodies)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    for flaw in check_manifests(manifests(bodies)):
        assert str(flaw).isprintable()
