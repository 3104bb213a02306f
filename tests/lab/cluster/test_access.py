"""Tokens and rules: who asks, and what they may."""

import pytest

from opslib.lab.cluster.access import ADMIN, ANONYMOUS, Ask, Rules, Tokens, User, impersonated
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.reviews import review
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Store
from opslib.testing import ManualClock

RESOURCES = Resources()
RBAC = "rbac.authorization.k8s.io"
ROBOT = User("system:serviceaccount:shop:robot", ("system:serviceaccounts", "system:authenticated"))


def put(store: Store, resource: str, name: str, namespace: str = "", **fields) -> dict:
    metadata = {"name": name, "uid": f"{name}-uid", **({"namespace": namespace} if namespace else {})}
    return store.put(RESOURCES.find(resource), {"metadata": metadata, **fields})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def tokens(store: Store, clock: ManualClock) -> Tokens:
    return Tokens(store, clock, admin="the-admin-token", key=b"k" * 32)


def refused(tokens: Tokens, authorization: str) -> bool:
    try:
        tokens.user(authorization)
    except StatusError as error:
        return (error.code, str(error)) == (401, "Unauthorized")
    return False


def test_a_token_names_its_account_until_it_ends(store, clock, tokens) -> None:
    token = tokens.issue("shop", put(store, "serviceaccounts", "robot", "shop"), expires_s=600)
    user = tokens.user(f"Bearer {token}")

    assert (user.name, user.uid) == (ROBOT.name, "robot-uid")
    assert "system:serviceaccounts:shop" in user.groups
    clock.advance(601)
    assert refused(tokens, f"Bearer {token}")


def test_a_token_dies_with_its_account_and_its_pod(store, tokens) -> None:
    account = put(store, "serviceaccounts", "robot", "shop")
    free = f"Bearer {tokens.issue('shop', account)}"
    bound = f"Bearer {tokens.issue('shop', account, pod=put(store, 'pods', 'p', 'shop'))}"
    assert not refused(tokens, bound)

    store.remove(RESOURCES.find("pods"), "shop", "p")
    assert refused(tokens, bound)
    assert not refused(tokens, free)
    put(
        store,
        "serviceaccounts",
        "robot",
        "shop",
        metadata={"name": "robot", "namespace": "shop", "uid": "other"},
    )
    assert refused(tokens, free)


@pytest.mark.parametrize(
    "authorization",
    ["Bearer x", "Bearer a.b.c", "Basic dTpw", "Bearer ", "Bearer é", "Bearer ..", "nonsense"],
)
def test_bad_credentials_are_no_credentials(tokens, authorization: str) -> None:
    assert refused(tokens, authorization)


def test_a_changed_token_is_refused(store, tokens) -> None:
    token = tokens.issue("shop", put(store, "serviceaccounts", "robot", "shop"))
    head, _, signature = token.rpartition(".")
    other = tokens.issue("shop", put(store, "serviceaccounts", "admin", "shop")).rpartition(".")[0]
    assert refused(tokens, f"Bearer {other}.{signature}")
    assert refused(tokens, f"Bearer {head}.{signature[:-2]}AA")


def test_a_token_for_another_audience_is_refused(store, tokens) -> None:
    account = put(store, "serviceaccounts", "robot", "shop")
    assert refused(tokens, f"Bearer {tokens.issue('shop', account, audience='vault')}")


def test_no_credentials_are_anonymous_and_the_admin_is_admin(tokens) -> None:
    assert tokens.user("") == ANONYMOUS
    assert tokens.user("bearer the-admin-token") == ADMIN


def test_only_the_admin_is_taken_for_others() -> None:
    headers = {"impersonate-user": ROBOT.name}
    assert impersonated(ADMIN, {}) == ADMIN
    assert impersonated(ROBOT, headers) is None
    assert impersonated(ADMIN, headers).name == ROBOT.name
    assert "system:serviceaccounts:shop" in impersonated(ADMIN, headers).groups


def allow(store: Store, rule: dict, *, kind: str = "Role", namespace: str = "shop") -> None:
    put(store, f"{kind.lower()}s.{RBAC}", "r", namespace if kind == "Role" else "", rules=[rule])
    subjects = [{"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}]
    put(store, f"rolebindings.{RBAC}", "b", namespace, roleRef={"kind": kind, "name": "r"}, subjects=subjects)


def test_rules_say_which_verb_on_which_resource_where(store) -> None:
    allow(store, {"apiGroups": ["apps"], "resources": ["deployments", "*/scale"], "verbs": ["get", "patch"]})
    rules = Rules(store)
    yes = [
        Ask("get", "apps", "deployments", namespace="shop", name="a"),
        Ask("patch", "apps", "replicasets", "scale", "shop"),
    ]
    no = [
        Ask("delete", "apps", "deployments", namespace="shop"),
        Ask("get", "", "deployments", namespace="shop"),
        Ask("get", "apps", "deployments", "status", "shop"),
        Ask("get", "apps", "deployments", namespace="other"),
        Ask("get", "apps", "deployments"),
    ]
    assert [rules.allows(ROBOT, ask) for ask in (*yes, *no)] == [True, True, *[False] * 5]
    assert not rules.allows(User("system:serviceaccount:shop:other"), yes[0])
    assert rules.allows(ADMIN, no[0])


def test_names_narrow_a_rule(store) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["*"]}
    allow(store, rule, kind="ClusterRole")
    rules = Rules(store)
    assert rules.allows(ROBOT, Ask("get", "", "configmaps", namespace="shop", name="a"))
    assert not rules.allows(ROBOT, Ask("get", "", "configmaps", namespace="shop", name="b"))
    assert not rules.allows(ROBOT, Ask("list", "", "configmaps", namespace="shop"))


def test_everybody_known_may_look_around_and_ask_for_themselves(store) -> None:
    rules = Rules(store)
    assert rules.allows(ROBOT, Ask("get", path="/apis/apps/v1"))
    assert not rules.allows(ROBOT, Ask("get", path="/metrics"))
    assert not rules.allows(ANONYMOUS, Ask("get", path="/apis"))
    assert rules.allows(ANONYMOUS, Ask("get", path="/version"))
    assert rules.allows(ROBOT, Ask("create", "authorization.k8s.io", "selfsubjectaccessreviews"))
    assert not rules.allows(ANONYMOUS, Ask("create", "authorization.k8s.io", "selfsubjectaccessreviews"))


def test_reviews_say_what_the_rules_say(store) -> None:
    allow(store, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    rules = Rules(store)
    asked = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}
    assert review({"spec": asked}, ROBOT, rules)["status"] == {"allowed": True}
    other = {"resourceAttributes": {**asked["resourceAttributes"], "namespace": "x"}}
    assert review({"spec": other}, ROBOT, rules)["status"]["allowed"] is False


def test_a_refusal_says_what_is_missing() -> None:
    assert Ask("list", "", "pods", namespace="N").refusal(ANONYMOUS) == (
        'User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "N"'
    )
    assert "at the cluster scope" in Ask("get", "apps", "deployments", "status").refusal(ROBOT)
