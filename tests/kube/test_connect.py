"""An environment leads to the cluster it names, and never to whatever context happens to be chosen."""

import json
from pathlib import Path

import pytest

from opslib.core.errors import UsageError
from opslib.core.settings import Environment, Settings, load_environment
from opslib.kube import connect_cluster


def kubeconfig(path: Path, *contexts: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0],
        "clusters": [{"name": c, "cluster": {"server": f"https://{c}.example"}} for c in contexts],
        "users": [{"name": c, "user": {"token": "t0ken"}} for c in contexts],
        "contexts": [
            {"name": c, "context": {"cluster": c, "user": c, "namespace": f"{c}-ns"}} for c in contexts
        ],
    }
    path.write_text(json.dumps(config))
    return path


def test_the_context_and_the_namespace_are_the_environments(tmp_path) -> None:
    (tmp_path / "opslib.toml").write_text(
        '[environments.prod]\nkubeconfig = "some.kubeconfig"\nkube_context = "prod"\nnamespace = "shop"\n'
        '[environments.stage]\nkubeconfig = "some.kubeconfig"\nkube_context = "stage"\n'
    )
    kubeconfig(tmp_path / "some.kubeconfig", "prod", "stage")
    settings = Settings(tmp_path / "notebooks", config=tmp_path / "opslib.toml")

    prod, stage = (connect_cluster(load_environment(name, settings), settings) for name in ("prod", "stage"))

    assert (prod._transport.host, prod.namespace) == ("https://prod.example", "shop")
    assert (stage._transport.host, stage.namespace) == ("https://stage.example", "stage-ns")
    assert prod._transport._signature() == {"authorization": "Bearer t0ken"}


def test_kubeconfig_variable_is_where_a_context_is_looked_for(tmp_path) -> None:
    file = kubeconfig(tmp_path / "elsewhere", "prod")
    settings = Settings.from_environ({"KUBECONFIG": str(file)}, tmp_path)

    found = connect_cluster(Environment("prod", kube_context="prod"), settings)

    assert found._transport.host == "https://prod.example"


def test_an_environment_that_names_no_cluster_has_none(tmp_path) -> None:
    file = kubeconfig(tmp_path / "elsewhere", "prod")

    with pytest.raises(UsageError, match="names no cluster") as error:
        connect_cluster(Environment("lab"), Settings(tmp_path, kubeconfig=str(file)))
    assert "kube_context" in error.value.hint


@pytest.fixture
def account(tmp_path, monkeypatch) -> Path:
    """The files of a service account, as in a pod."""
    from kubernetes.config import incluster_config

    for name, content in {"token": "t0ken", "ca.crt": "pem", "namespace": "shop\n"}.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr("opslib.kube.transport._IN_CLUSTER", tmp_path / "token")
    monkeypatch.setattr("opslib.kube.transport.PoolTransport", lambda configuration: configuration)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return tmp_path


def test_in_a_pod_its_service_account_is_who_asks(account) -> None:
    found = connect_cluster(Environment("here"), Settings(account))

    assert (found._transport.host, found.namespace) == ("https://10.0.0.1:443", "shop")
    assert found._transport.ssl_ca_cert == str(account / "ca.crt")
    assert found._transport.api_key["BearerToken"] == "bearer t0ken"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("token", b""),
        ("ca.crt", b""),
        ("ca.crt", None),
        ("namespace", None),
        ("namespace", b"\xff"),
        ("token", b"\xff"),
    ],
)
def test_a_service_account_that_is_not_whole_is_said(account, name, content) -> None:
    (account / name).unlink()
    if content is not None:
        (account / name).write_bytes(content)

    with pytest.raises(UsageError, match="service account"):
        connect_cluster(Environment("here"), Settings(account))


@pytest.mark.parametrize("content", [None, "", "{", "- a", '{"contexts": 3}', "\0"])
def test_a_kubeconfig_that_cannot_be_used_says_so(tmp_path, content) -> None:
    file = tmp_path / "bad"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UsageError, match="cannot use the kubeconfig"):
        connect_cluster(Environment("x", kubeconfig=str(file)), Settings(tmp_path))


def test_a_context_that_is_not_there_is_a_usage_error(tmp_path) -> None:
    file = kubeconfig(tmp_path / "config", "prod")

    with pytest.raises(UsageError, match="cannot use the kubeconfig"):
        connect_cluster(Environment("x", kubeconfig=str(file), kube_context="prd"), Settings(tmp_path))
