"""The only reader of the process environment, and of `opslib.toml`: where things are, under which names.

`opslib.toml` is looked for in the working directory and its parents, so a notebook finds it from its own folder.
A running lab writes an ordinary environment file into its state folder; it is found the same way.
"""

from __future__ import annotations

import importlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from opslib.core.errors import EnvironmentNotFoundError, UsageError, near_names
from opslib.core.redact import USUAL, Redaction

CONFIG_NAME = "opslib.toml"
LAB_STATE = Path(".opslib") / "lab"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where one signal is asked for: `kind` chooses the backend, the rest is the backend's own."""

    kind: str
    url: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Environment:
    """One `[environments.NAME]` table; `services` maps a service's name to its names elsewhere."""

    name: str
    traces: SourceSettings | None = None
    logs: SourceSettings | None = None
    metrics: SourceSettings | None = None
    changes: SourceSettings | None = None
    protected: bool = False
    kube_context: str = ""
    kubeconfig: str = ""  # a file; else KUBECONFIG, else ~/.kube/config
    namespace: str = ""
    registry: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    redaction: Redaction = USUAL  # of evidence; secrets are always masked
    origin: Path | None = None  # the file it was read from; relative paths in it start there


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process environment says, read once by the command or the first call of a kernel."""

    cwd: Path
    config: Path | None = None  # OPSLIB_CONFIG: this file instead of the one found by walking up
    lab_state: Path | None = None  # OPSLIB_LAB_STATE: the lab's state folder
    run_dir: Path | None = None  # OPSLIB_RUN_DIR: set by the runner for its kernels
    debug: bool = False  # OPSLIB_DEBUG: tracebacks of internal errors
    kubeconfig: str = ""  # KUBECONFIG: files, separated as paths are

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Settings:
        env = os.environ if environ is None else environ

        def path(name: str) -> Path | None:
            return Path(env[name]) if env.get(name) else None

        return cls(
            cwd or Path.cwd(),
            config=path("OPSLIB_CONFIG"),
            lab_state=path("OPSLIB_LAB_STATE"),
            run_dir=path("OPSLIB_RUN_DIR"),
            debug=bool(env.get("OPSLIB_DEBUG")),
            kubeconfig=env.get("KUBECONFIG", ""),
        )

    def to_dict(self) -> dict[str, str | bool]:
        """Return the settings as JSON, for a process that is to have the same ones."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            key: value if isinstance(value, bool) else str(value) for key, value in values.items() if value
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Settings:
        """Return settings that `to_dict` has written. Raises UsageError for others."""
        paths = {
            key: Path(str(saved[key])) for key in ("cwd", "config", "lab_state", "run_dir") if key in saved
        }
        try:
            return cls(**{**saved, **paths})
        except TypeError as error:
            raise UsageError(f"settings of another version: {error}") from error

    def find_lab_state(self) -> Path:
        """Return the lab's state folder: OPSLIB_LAB_STATE, the nearest one upwards, else the default here."""
        if self.lab_state is not None:
            return self.lab_state
        for folder in (self.cwd, *self.cwd.parents):
            if (folder / LAB_STATE).is_dir():
                return folder / LAB_STATE
        return self.cwd / LAB_STATE

    def config_files(self) -> Iterator[Path]:
        """Yield the environment files that exist, the user's first."""
        if self.config is not None:
            yield self.config
        else:
            found = (folder / CONFIG_NAME for folder in (self.cwd, *self.cwd.parents))
            yield from (path for path in found if path.is_file())
        lab = self.find_lab_state() / CONFIG_NAME
        if lab.is_file():
            yield lab


def environ_of_children(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for processes of ours: without what steers OpenTelemetry, or sends loopback to a proxy."""
    env = os.environ if environ is None else environ
    return {
        name: value
        for name, value in env.items()
        if not name.startswith("OTEL_") and not name.upper().endswith("_PROXY")
    }


def own_environ() -> dict[str, str]:
    """Return this process's environment, for a program that is configured by it as containers are."""
    return dict(os.environ)


def environ_of_containers(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what processes of the practice cluster have of this environment: where programs are, and the language."""
    env = os.environ if environ is None else environ
    kept = {"PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    return {name: value for name, value in env.items() if name in kept or name.startswith("COV")}


def secret_of(
    reference: str, where: str, *, origin: Path | None = None, environ: Mapping[str, str] | None = None
) -> str:
    """Return the secret behind `env:NAME`, `file:PATH` (relative to `origin`) or `keyring:SERVICE/USER`.

    Raises UsageError where it is a secret itself, or names nothing; the message never holds the secret.
    """
    scheme, _, name = reference.partition(":")
    found: str | None = None
    if scheme == "env":
        found = (os.environ if environ is None else environ).get(name)
    elif scheme == "file":
        found = _text_of(Path(name) if origin is None else origin.parent / name, where)
    elif scheme == "keyring":
        found = _of_keyring(name)
    else:
        raise UsageError(
            f"{where} is given by reference only", hint="env:NAME, file:PATH or keyring:SERVICE/USER"
        )
    if not found:
        raise UsageError(f"{where}: there is nothing behind {reference!r}", hint="set it, and ask again")
    return found


def _text_of(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: cannot read {path}: {type(error).__name__}", hint="name a file") from None


def _of_keyring(name: str) -> str | None:
    try:
        keyring = importlib.import_module("keyring")  # the user's own package, if any
    except ImportError:
        raise UsageError("there is no keyring here", hint="pip install keyring, or use env:NAME") from None
    service, _, user = name.partition("/")
    found: str | None = keyring.get_password(service, user)
    return found


def load_environment(name: str, settings: Settings) -> Environment:
    """Return the environment of this name from the first file that has it. Raises EnvironmentNotFoundError."""
    known: list[str] = []
    for path in settings.config_files():
        tables = _read(path).get("environments", {})
        if not isinstance(tables, dict):
            raise UsageError(f"{path}: `environments` is no table", hint="write [environments.NAME]")
        if isinstance(tables.get(name), dict):
            return _environment(name, tables[name], path)
        known += tables
    if name == "lab":
        raise EnvironmentNotFoundError(
            f"no lab is running (looked in {settings.find_lab_state()})", hint="start one: opslib lab up"
        )
    raise EnvironmentNotFoundError(
        f"there is no environment {name!r}",
        hint=f"{near_names(name, known)}; they are defined in {CONFIG_NAME}",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", hint="it is a file of UTF-8 text") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits is a ValueError alone
        raise UsageError(
            f"{path} is no valid TOML: {error}", hint="the line and column stand in the message"
        ) from error


# setting -> its type, and that of the values where it is a table
_PLAIN: dict[str, tuple[type, type | None]] = {
    "protected": (bool, None),
    "kube_context": (str, None),
    "kubeconfig": (str, None),
    "namespace": (str, None),
    "registry": (str, None),
    "links": (dict, str),
    "services": (dict, dict),
    "redaction": (dict, None),
}
_EXAMPLES = {
    "protected": "protected = true",
    "kube_context": 'kube_context = "prod"',
    "kubeconfig": 'kubeconfig = "prod.kubeconfig"',
    "namespace": 'namespace = "shop"',
    "registry": 'registry = "registry.example/shop"',
    "links": 'links = {grafana = "https://..."}',
    "services": 'services = {payment = {traces = "payment-service"}}',
    "redaction": "redaction = {emails = true, keys = ['x-customer']}",
}


def _environment(name: str, table: dict[str, Any], origin: Path) -> Environment:
    signals = {"traces", "logs", "metrics", "changes"}
    unknown = set(table) - set(_PLAIN) - signals
    if unknown:
        word = min(unknown)
        raise UsageError(
            f"{origin}: environment {name!r} has no setting {word!r}",
            hint=near_names(word, {*_PLAIN, *signals}),
        )
    fields: dict[str, Any] = {key: table[key] for key in _PLAIN if key in table}
    for key, value in fields.items():
        kind, of = _PLAIN[key]
        items = value.values() if isinstance(value, dict) and of else ()
        if not isinstance(value, kind) or not all(isinstance(item, of or object) for item in items):
            raise UsageError(f"{origin}: {name}.{key} has the wrong type", hint=f"such as {_EXAMPLES[key]}")
    if "redaction" in fields:
        try:
            fields["redaction"] = Redaction.from_dict(fields["redaction"])
        except ValueError as error:
            raise UsageError(f"{origin}: {name}.redaction: {error}", hint=_EXAMPLES["redaction"]) from error
    for signal in signals & set(table):
        fields[signal] = _source(table[signal], f"{origin}: {name}.{signal}")
    return Environment(name, origin=origin, **fields)


def _source(table: Any, where: str) -> SourceSettings:
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        raise UsageError(f"{where} needs a `kind`", hint='such as {kind = "capture", path = "incident-42"}')
    if "\0" in str(table.get("path", "")):
        raise UsageError(f"{where}: a path holds no null character", hint="write the folder's name")
    options = {key: value for key, value in table.items() if key not in {"kind", "url"}}
    return SourceSettings(table["kind"], str(table.get("url", "")), options)
