"""How a write or a delete is asked for, beside the object itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]  # never changed in place once it is stored or was read: writers copy


def part(obj: Any, name: str) -> Object:
    """Return a part of a body that nobody has checked yet; empty where there is none, or something else."""
    value = obj.get(name) if isinstance(obj, dict) else None
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """`manager` owns the fields; `validation` is Ignore, Warn or Strict; what is to be warned of goes to `warnings`.

    `duplicates` are fields that the body of the request had twice.
    """

    manager: str
    dry_run: bool = False
    validation: str = "Ignore"
    force: bool = False
    duplicates: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """`propagation` is Background, Foreground or Orphan ("": Background); `grace_s` is for pods (0: at once)."""

    propagation: str = ""
    grace_s: int | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a pod's logs is wanted; `container` "" is the only one of the pod."""

    container: str = ""
    previous: bool = False
    follow: bool = False
    tail_lines: int | None = None
    since_s: float | None = None
    timestamps: bool = False
