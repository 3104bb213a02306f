"""A practice cluster in a process of its own, with an image of a small web server, for tests with real clients."""

import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WEB = """
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["HOSTNAME"].encode())

    def log_message(self, *_):
        print(self.path, flush=True)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
host, _, port = os.environ["POD_LISTEN_8080"].rpartition(":")
print("listening", flush=True)
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""
IMAGES = {
    "web": {"command": [sys.executable, "-c", WEB], "tags": ["v1", "v2"]},
    "once": {"command": [sys.executable, "-c", "print('done')"]},
}


@dataclass
class Practice:
    """The cluster and its process."""

    state: Path
    images: dict[str, Any] = field(default_factory=lambda: IMAGES)
    process: subprocess.Popen | None = None
    url: str = ""
    _authority: str = ""
    token: str = field(default="", repr=False)

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    def start(self) -> "Practice":
        self.state.mkdir(exist_ok=True)
        (self.state / "images.json").write_text(json.dumps(self.images))
        with (self.state / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "opslib.lab.cluster", "--state", str(self.state), "--lifeline"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")
                },
            )
        if not self.process.stdout.readline().startswith(b"ready: "):
            self.kill()
            raise AssertionError((self.state / "server.log").read_text())
        config = json.loads(self.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.url, self.token = cluster["server"], config["users"][0]["user"]["token"]
        self._authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return self

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(30)
        self.process.stdin.close()
        self.process.stdout.close()

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cadata=self._authority)
        return http.client.HTTPSConnection(
            "127.0.0.1", int(self.url.rpartition(":")[2]), context=context, timeout=60
        )

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request; the answer's JSON, or its text."""
        connection = self.connect()
        try:
            sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
            sent = {name.replace("_", "-"): value for name, value in sent.items() if value}
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        return answer.status, json.loads(text) if "json" in answer.headers["content-type"] else text


def until(condition: Callable[[], Any], within_s: float = 30.0) -> Any:
    """Wait for something to be true, and return it."""
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.05)
    return found
