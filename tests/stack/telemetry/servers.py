"""Real telemetry servers for tests: one is started when a test first asks for it, and all are ended with the session.

A server of the user's own stands in where OPSLIB_TEST_JAEGER, _PROMETHEUS, _ELASTICSEARCH, _OPENSEARCH or _LOKI has its URL.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from catalogue import ask
from running import scrape

HERE = Path(__file__).parent


class Servers:
    """`servers["jaeger"]` is what `up` prints of it; `given` are the process environment's variables."""

    def __init__(self, state: Path, given: Mapping[str, str]) -> None:
        self.state = state
        self._given = given
        self._running: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        own = self._given.get(f"OPSLIB_TEST_{name.partition('-')[0].upper()}")
        if own:
            parts = urlsplit(own)
            return {"url": own.rstrip("/"), "otlp": f"{parts.scheme}://{parts.hostname}:4318"}
        if name not in self._running:
            self._running = json.loads(self._call("up", name))
        return self._running[name]

    def scrape(self, job: str, address: str) -> None:
        """Let the Prometheus servers ask HOST:PORT[/PATH] as `job`, each second."""
        scrape(self.state, job, address)

    def close(self) -> None:
        self._call("down")
        self._running = {}

    def _call(self, command: str, *names: str) -> str:
        done = subprocess.run(
            [HERE / command, "--state", self.state, *names],
            check=False,
            capture_output=True,
            text=True,
            env=dict(self._given),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    started = Servers(tmp_path_factory.mktemp("telemetry") / "state", dict(os.environ))
    yield started
    started.close()


def send_spans(otlp: str, resource_spans: list[Any]) -> None:
    """Send spans in OTLP's JSON."""
    ask(f"{otlp}/v1/traces", json.dumps({"resourceSpans": resource_spans}))


def bulk(store: str, index: str, documents: Iterable[Mapping[str, Any]]) -> None:
    """Index documents, and wait until they can be found."""
    lines = "".join(f'{{"create": {{}}}}\n{json.dumps(document)}\n' for document in documents)
    answer = ask(f"{store}/{index}/_bulk?refresh=true", lines, kind="application/x-ndjson")
    assert not answer["errors"], answer
