"""Names of Services for the cluster's processes: an HTTP proxy, since a process cannot have a resolver of its own.

Pods have it in HTTP_PROXY, with their namespace as the user, so that `http://payment` is the Service of the caller's
namespace; `payment.shop` and `payment.shop.svc.cluster.local` are the same from everywhere. A name that is no Service
is answered 502; a Service that nobody is behind cuts the connection, as kube-proxy refuses it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from urllib.parse import urlsplit

from opslib.lab.cluster.network.relay import Hop, Policy, Refused, Request
from opslib.lab.cluster.network.services import Key, NoEndpointError, Services

_DOMAIN = ".svc.cluster.local"


def proxy(services: Services) -> Policy:
    """Return how the names proxy routes."""

    def route(request: Request) -> Hop:
        url = urlsplit(request.target)
        if url.scheme != "http" or not url.hostname:
            raise Refused(
                "501 Not Implemented", "only http://NAME[:PORT]/PATH is proxied, for Services of the cluster"
            )
        key, port = service_key(url.hostname, _namespace(request)), url.port or 80
        try:
            services.ready(key, port)
        except NoEndpointError as error:
            raise Refused("502 Bad Gateway", f"{url.hostname}: {error}") from error
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = tuple(h for h in request.headers if not h[0].startswith("proxy-"))
        return Hop(key, port, replace(request, target=target, headers=headers))

    return Policy(route, attempts=1, hides_failure=False)


def service_key(name: str, namespace: str) -> Key:
    """Return the Service that a name means in a namespace."""
    short = name.removesuffix(".").removesuffix(_DOMAIN).removesuffix(".svc")
    service, _, other = short.partition(".")
    return other or namespace, service


def _namespace(request: Request) -> str:
    try:
        user = base64.b64decode(request.header("proxy-authorization").partition(" ")[2]).decode()
    except (binascii.Error, ValueError):
        user = ""
    return user.partition(":")[0] or "default"
