"""A headless Chromium driven over its DevTools protocol: open a page, wait for a condition, evaluate, photograph."""

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
import websocket

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)  # fmt: skip


class Chromium:
    """One browser with one page; `requests` are the URLs it asked for, `complaints` what its console said was wrong,
    `dialogs` what it asked a person."""

    def __init__(self, binary, folder, size=(1400, 1000)):
        self.size = size
        self.process = subprocess.Popen(
            [
                binary,
                *FLAGS,
                f"--user-data-dir={folder}",
                f"--window-size={size[0]},{size[1]}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.requests, self.complaints, self.dialogs, self._number = [], [], [], 0
        try:
            self._socket = websocket.create_connection(self._page_url(Path(folder)), timeout=60)
        except BaseException:
            self.close()
            raise
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)

    def _page_url(self, folder, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, IndexError):
                port = (folder / "DevToolsActivePort").read_text().splitlines()[0]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                    pages = [t for t in json.load(answer) if t["type"] == "page"]
                return pages[0]["webSocketDebuggerUrl"]
            time.sleep(0.05)
        raise TimeoutError("Chromium did not open its DevTools port")

    def send(self, method, **params):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])

    def open(self, url):
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def evaluate(self, expression):
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    def wait(self, condition, timeout_s=60):
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(RuntimeError):
                if self.evaluate(f"Boolean({condition})"):
                    return
            time.sleep(0.1)
        raise TimeoutError(condition)

    def settled(self):
        """Wait until two frames have been drawn."""
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
        )

    def click(self, x, y):
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def scheme(self, name):
        """Prefer `light` or `dark`."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def resize(self, width, height):
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def photograph(self, path, *, whole=False):
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            self.resize(self.size[0], int(min(size["height"], 12_000)))
        shot = self.send("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        with contextlib.suppress(Exception):
            self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@contextlib.contextmanager
def running_chromium(size=(1400, 1000)):
    """Start a browser on an empty profile and stop it again."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no Chromium here: install Debian's package `chromium`")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Chromium(binary, folder, size)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def chromium():
    with running_chromium() as browser:
        yield browser


class Jupyter:
    """A JupyterLab server on a free loopback port, with a token, serving one folder."""

    def __init__(self, folder, environ, log):
        self.token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
                f"--IdentityProvider.token={self.token}", "--LabApp.expose_app_in_browser=True",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ],
            env=environ, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/lab/tree/{path}?token={self.token}&reset"

    def wait(self, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended with {self.process.returncode}")
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{self.port}/api/status?token={self.token}"
                with urllib.request.urlopen(url, timeout=5):
                    return
            time.sleep(0.2)
        raise TimeoutError("JupyterLab did not answer")

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


# No questions on the first start, and cells that are not in view are drawn too.
SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}


@contextlib.contextmanager
def running_jupyter(folder, **environ):
    """Serve a folder; settings, runtime files and history stay in a folder of their own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        names = (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "IPYTHONDIR",
            "JUPYTERLAB_SETTINGS_DIR",
        )
        places = {name: str(Path(own) / name.lower()) for name in names}
        settings = Path(places["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab")
        for name, text in SETTINGS.items():
            (settings / name).parent.mkdir(parents=True, exist_ok=True)
            (settings / f"{name}.jupyterlab-settings").write_text(text)
        with Path(own, "log").open("w+b") as log:
            jupyter = Jupyter(folder, os.environ | places | environ, log)
            try:
                jupyter.wait()
                yield jupyter
            finally:
                jupyter.close()


class Lab:
    """A notebook open in JupyterLab: run all, look at outputs, switch the theme."""

    NOTEBOOK = "[...jupyterapp.shell.widgets('main')].find(w => w.content?.widgets)"
    CELLS = f"({NOTEBOOK}).content.widgets.filter(c => c.model.type === 'code')"

    def __init__(self, browser, jupyter, path):
        self.browser = browser
        browser.open(jupyter.url(path))
        browser.wait(
            f"window.jupyterapp && ({self.NOTEBOOK})?.sessionContext?.session?.kernel?.status === 'idle'"
        )
        browser.evaluate(f"jupyterapp.shell.activateById(({self.NOTEBOOK}).id)")
        browser.wait(f"jupyterapp.shell.currentWidget === ({self.NOTEBOOK})")

    def command(self, name, **arguments):
        self.browser.evaluate(
            f"jupyterapp.commands.execute({name!r}, {json.dumps(arguments)}).then(() => true)"
        )

    def run_all(self, timeout_s=90):
        self.browser.evaluate("jupyterapp.commands.execute('notebook:run-all-cells'), true")
        failed = f"{self.CELLS}.some(c => c.model.outputs.toJSON().some(o => o.output_type === 'error'))"
        self.browser.wait(f"{self.CELLS}.every(c => c.model.executionCount !== null) || {failed}", timeout_s)
        self.idle(timeout_s)

    def idle(self, timeout_s=60):
        self.browser.wait(f"({self.NOTEBOOK}).sessionContext.session.kernel.status === 'idle'", timeout_s)

    def outputs(self):
        """Return the outputs of each code cell as nbformat would write them."""
        return self.browser.evaluate(f"{self.CELLS}.map(c => c.model.outputs.toJSON())")

    def photograph(self, folder, name):
        """Photograph the notebook from top to bottom, a window's height at a time."""
        panel = f"({self.NOTEBOOK}).content.node.querySelector('.jp-WindowedPanel-outer')"
        height, whole = self.browser.evaluate(f"[{panel}.clientHeight, {panel}.scrollHeight]")
        for i, top in enumerate(range(0, whole, height)):
            self.browser.evaluate(f"{panel}.scrollTop = {top}")
            self.browser.settled()
            self.browser.photograph(Path(folder) / f"{name}-{i}.png")

    def theme(self, name):
        self.command("apputils:change-theme", theme=name)


@pytest.fixture
def open_notebook(chromium):
    """Open a notebook of a folder in a JupyterLab of its own, which ends with the test."""
    with contextlib.ExitStack() as stack:

        def opened(folder, name, **environ):
            return Lab(chromium, stack.enter_context(running_jupyter(folder, **environ)), name)

        yield opened


@pytest.fixture(scope="session")
def opslib():
    """The command line, on the lab of a state folder."""

    def run(state, *words):
        environ = os.environ | {"OPSLIB_LAB_STATE": str(state)}
        command = [sys.executable, "-m", "opslib", *words]
        return subprocess.run(command, check=True, env=environ, capture_output=True, text=True, timeout=120)

    return run
