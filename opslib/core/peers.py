"""Whom a client span calls: the first attribute present names it, and a loopback address never names anybody."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from opslib.core.columns import (
    PEER_ADDRESS_ATTRIBUTES,
    PEER_DATABASE_ATTRIBUTES,
    PEER_SERVICE_ATTRIBUTES,
    PEER_SYSTEM_ATTRIBUTES,
)
from opslib.core.evidence import PEER_TYPES, PeerType

# A server span's own address, and the caller that some name in `peer.service` there, are not whom it calls.
CALLING_KINDS = ("CLIENT", "PRODUCER", "UNSPECIFIED")

_PRECEDENCE: tuple[tuple[PeerType, tuple[str, ...]], ...] = (
    ("service", PEER_SERVICE_ATTRIBUTES),
    ("database", PEER_DATABASE_ATTRIBUTES),
    ("address", PEER_ADDRESS_ATTRIBUTES),
    ("system", PEER_SYSTEM_ATTRIBUTES),
)
PEER_ATTRIBUTES: tuple[str, ...] = tuple(name for _, names in _PRECEDENCE for name in names)
_TYPE_OF: dict[str, PeerType] = {name: kind for kind, names in _PRECEDENCE for name in names}


def is_loopback(address: str) -> bool:
    """Tell whether an address, with or without port and brackets, is this machine's own."""
    host = address.strip().lower()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if host.rstrip(".") == "localhost" or host.endswith(".localhost"):
        return True
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback or parsed.is_unspecified)


def resolve_peer(attributes: Mapping[str, Any]) -> tuple[str | None, int]:
    """Return the peer's name and the index into PEER_TYPES of what named it; only texts that are not empty name one."""
    for attribute in PEER_ATTRIBUTES:
        value = attributes.get(attribute)
        if not isinstance(value, str) or not value.strip():
            continue
        kind = _TYPE_OF[attribute]
        if kind == "address" and is_loopback(value):
            continue
        return value, PEER_TYPES.index(kind)
    return None, 0
