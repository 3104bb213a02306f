"""Where a lab's servers are, as a file says it, and the environment that asks them."""

import json
from pathlib import Path

import pytest

from opslib.core.errors import UsageError
from opslib.core.settings import Settings, load_environment
from opslib.lab.servers import Servers, read_servers
from opslib.lab.state import Folder
from opslib.lab.supervisor.plan import environment_toml

JAEGER = {"url": "http://127.0.0.1:16686/", "otlp": "http://127.0.0.1:4318", "pid": 7, "version": "v2"}
STORE = {"elasticsearch": {"url": "http://e"}, "rsyslog": {"folder": "containers"}}


def read(folder: Path, content: object) -> Servers:
    path = folder / "servers.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_servers(path)


def test_what_a_stack_prints_is_understood(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "jaeger": JAEGER,
            "jaeger-elasticsearch": {},
            "prometheus-2": {"url": "http://p2"},
            "prometheus-3": {"url": "http://p3", "scrape": "/var/scrape"},
            **STORE,
        },
    )

    assert found == Servers(
        jaeger="http://127.0.0.1:16686",
        otlp="http://127.0.0.1:4318",
        prometheus="http://p3",
        scrape="/var/scrape",
        elasticsearch="http://e",
        logs=str(tmp_path / "containers"),
    )


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        [],
        {},
        {"jaeger": "http://j"},
        {"jaeger": {"url": "http://j"}},
        {"prometheus": {"url": "file:///etc"}},
        {"elasticsearch": {"url": "http://e"}},
        {"rsyslog": {"folder": 7}},
    ],
)
def test_what_says_nothing_usable_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, content)
    assert "jaeger" in error.value.hint


def test_the_servers_are_an_environment_beside_the_labs_own(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    servers = {"jaeger": "http://j", "otlp": "http://o", "elasticsearch": "http://e", "prometheus": ""}
    folder.environment.write_text(environment_toml(folder.kubeconfig, servers))
    own, asked = (
        load_environment(name, Settings(tmp_path, lab_state=tmp_path)) for name in ("lab", "lab-servers")
    )

    assert (asked.traces.kind, asked.traces.url) == ("jaeger", "http://j")
    assert (asked.logs.kind, asked.logs.url, asked.logs.options) == (
        "elasticsearch",
        "http://e",
        {"index": "filebeat-*"},
    )
    assert asked.metrics is None
    assert asked.changes == own.changes
    assert (asked.namespace, asked.kubeconfig, asked.services) == (
        own.namespace,
        own.kubeconfig,
        own.services,
    )
    assert own.traces.kind == own.logs.kind == "capture"


def test_a_lab_without_servers_has_no_such_environment(tmp_path: Path) -> None:
    assert "lab-servers" not in environment_toml(Folder(tmp_path).kubeconfig, {})
