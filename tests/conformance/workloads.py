"""What the tests run: a small web server that does as it is told, as manifests for both clusters."""

import http.client
from typing import Any

from clusters import IMAGE

TARGET = """
import http.server, os, signal, sys, threading, time

flags = {"health": os.environ.get("HEALTH", "1"), "ready": os.environ.get("READY", "1")}
held = []

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, _, value = self.path.lstrip("/").partition("=")
        code, text = 200, os.environ["HOSTNAME"]
        if name in flags and value:
            flags[name] = value
        elif name in flags:
            code = 200 if flags[name] == "1" else 503
        elif name == "hold":
            held.append(b"x" * (int(value) << 20))
        elif name == "burn":
            end = time.thread_time() + int(value) / 1e3
            while time.thread_time() < end:
                pass
        elif name == "env":
            text = os.environ.get(value, "")
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass

def end(*_):
    print("told to end", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
host, _, port = (os.environ.get("POD_LISTEN_8080") or "0.0.0.0:8080").rpartition(":")
print("listening", flush=True)
http.server.ThreadingHTTPServer.request_queue_size = 64
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


def container(code: str = TARGET, **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": IMAGE, "args": ["-c", code], "ports": [{"containerPort": 8080}], **more}


def probe(path: str, **more: Any) -> dict[str, Any]:
    return {"httpGet": {"path": f"/{path}", "port": 8080}, "periodSeconds": 1, **more}


def pod(name: str, *, spec: dict[str, Any] | None = None, **of_container: Any) -> dict[str, Any]:
    labels = {"app": name}
    containers = {"terminationGracePeriodSeconds": 5, "containers": [container(**of_container)]}
    return {"metadata": {"name": name, "labels": labels}, "spec": {**containers, **(spec or {})}}


def deployment(
    name: str, replicas: int = 1, *, spec: dict[str, Any] | None = None, **of_container: Any
) -> dict[str, Any]:
    labels = {"app": name}
    of_container.setdefault("readinessProbe", probe("ready"))
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [container(**of_container)]},
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
            **(spec or {}),
        },
    }


def service(name: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}}


def tell(pod: Any, what: str) -> str:
    """Ask a pod at its own address."""
    connection = http.client.HTTPConnection(pod["status"]["podIP"], 8080, timeout=5)
    try:
        connection.request("GET", f"/{what}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
