"""`Cluster` over a `Transport`: each method is one call with its time-out, its retries and its errors in our words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import ClusterError, NotFoundError, OpslibError, RefusedError, near_names
from opslib.core.redact import Redactor
from opslib.core.words import printable
from opslib.kube.failures import failure, is_status, read_object
from opslib.kube.objects import Kind, Object, Ref, below, group_path, ref_of
from opslib.kube.protocol import Change, Item, Result
from opslib.kube.retry import Retry, with_retries
from opslib.kube.secrets import error_without_secrets
from opslib.kube.watching import Watch
from opslib.kube.wire import APPLY, JSON_PATCH, Request, Response, Transport

IN_FLIGHT = 32
PAGE = 500
LIST_TRIES = 3
MAX_LOG_BYTES = 64 * 1024


class Client:
    """One cluster; safe to share between threads."""

    def __init__(
        self, transport: Transport, clock: Clock, *, namespace: str = "default", retry: Retry | None = None
    ) -> None:
        self.namespace = namespace
        self._transport = transport
        self._clock = clock
        self._retry = retry or Retry()
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._discovering = threading.Lock()

    def identity(self) -> str:
        try:
            found = self.get(Ref("v1", "Namespace", "", "kube-system"))
        except RefusedError:
            found = None
        return str(found["metadata"]["uid"]) if found else self._transport.host

    def version(self) -> str:
        return printable(str(self.ask(Request("GET", "/version")).get("gitVersion", "unknown")), 60)

    def kind(self, api_version: str, kind: str) -> Kind:
        with self._discovering:
            if kind not in self._kinds.get(api_version, {}):  # asked again on each miss: a CRD may have come
                self._kinds[api_version] = self._discover(api_version)
            found = self._kinds[api_version]
        if kind not in found:
            raise NotFoundError(
                f"the cluster has no kind {printable(kind, 60)} in {printable(api_version, 100)}",
                hint=near_names(kind, found) if found else "its CustomResourceDefinition may be missing",
            )
        return found[kind]

    def _discover(self, api_version: str) -> dict[str, Kind]:
        response = self._answer(Request("GET", group_path(api_version)))
        if response.status == 404:
            return {}
        listed = self._object(Request("GET", group_path(api_version)), response).get("resources", ())
        return {
            r["kind"]: Kind(
                api_version, r["kind"], r["name"], bool(r["namespaced"]), tuple(r.get("verbs", ()))
            )
            for r in listed
            if "/" not in r["name"]
        }

    def get(self, ref: Ref) -> Object | None:
        request = Request("GET", self._path(ref))
        response = self._answer(request)
        return None if response.status == 404 else self._object(request, response)

    def get_all(self, refs: Iterable[Ref]) -> dict[Ref, Object]:
        groups: dict[tuple[str, str, str], list[Ref]] = {}
        for ref in refs:
            groups.setdefault((ref.api_version, ref.kind, ref.namespace), []).append(ref)
        found: dict[Ref, Object] = {}
        single: list[Ref] = []
        for (api_version, kind, namespace), group in groups.items():
            listed = (
                self._list_if_few(self.kind(api_version, kind), namespace, 10 * len(group))
                if len(group) > 20
                else None
            )
            if listed is None:
                single += group
            else:
                wanted = {ref.name: ref for ref in group}
                found |= {
                    wanted[name]: item for item in listed if (name := item["metadata"]["name"]) in wanted
                }
        for ref, result in zip(single, self.each(self.get, single), strict=True):
            if isinstance(result, OpslibError):
                raise result
            found |= {ref: result} if result is not None else {}
        return found

    def _list_if_few(self, kind: Kind, namespace: str, most: int) -> list[Object] | None:
        """Return all objects of a kind, None where there are more than is worth reading."""
        page = self.ask(Request("GET", kind.path(namespace), {"limit": str(most)}))
        return None if page.get("metadata", {}).get("continue") else _items(kind, page)

    def list_objects(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        return self.list_at(kind, namespace, labels=labels, fields=fields)[0]

    def list_at(self, kind: Kind, namespace: str, *, labels: str, fields: str) -> tuple[list[Object], str]:
        """Return all objects, and the resourceVersion to watch from."""
        query = _selectors(labels, fields) | {"limit": str(PAGE)}
        items: list[Object] = []
        token, tries = "", 0
        while True:
            request = Request("GET", kind.path(namespace), query | ({"continue": token} if token else {}))
            response = self._answer(request)
            if (
                response.status == 410 and tries < LIST_TRIES
            ):  # the pages' moment is forgotten: from the start
                items, token, tries = [], "", tries + 1
                continue
            page = self._object(request, response)
            items += _items(kind, page)
            metadata = page.get("metadata", {})
            token = metadata.get("continue", "")
            if not token:
                return items, str(metadata.get("resourceVersion", ""))

    def watch(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Iterator[Change]:
        query = _selectors(labels, fields)
        watch = Watch(
            lambda: self.list_at(kind, namespace, labels=labels, fields=fields),
            lambda more, wait_s: self._transport.stream(
                Request("GET", kind.path(namespace), query | more, timeout_s=wait_s)
            ),
            lambda response: failure(self._transport.host, Request("GET", kind.path(namespace)), response),
            self._clock,
        )
        return watch.changes()

    def apply(self, body: Object, *, manager: str, dry_run: bool = False, force: bool = False) -> Object:
        query = _dry(dry_run) | {
            "fieldManager": manager,
            "force": str(force).lower(),
            "fieldValidation": "Strict",
        }
        with error_without_secrets(body):
            return self.ask(Request("PATCH", self._path(ref_of(body)), query, body, APPLY))

    def patch(
        self, ref: Ref, operations: Sequence[Object], *, dry_run: bool = False, subresource: str = ""
    ) -> Object:
        kind = self.kind(ref.api_version, ref.kind)
        path = kind.path(ref.namespace, ref.name, subresource)
        # Where a first try got through unseen, a second one would find its own `test` failing.
        repeatable = not any(operation.get("op") != "replace" for operation in operations)
        return self.ask(
            Request("PATCH", path, _dry(dry_run), list(operations), JSON_PATCH, repeatable=repeatable)
        )

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        ref = ref_of(body)
        path = self.kind(ref.api_version, ref.kind).path(ref.namespace)
        query = _dry(dry_run) | {"fieldValidation": "Strict"}
        with error_without_secrets(body):
            return self.ask(Request("POST", path, query, body, repeatable=dry_run))

    def delete(self, ref: Ref, *, uid: str, dry_run: bool = False, orphan: bool = False) -> None:
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        body |= {"propagationPolicy": "Orphan" if orphan else "Background"} | (
            {"dryRun": ["All"]} if dry_run else {}
        )
        request = Request("DELETE", self._path(ref), {}, body)
        response = self._answer(request)
        if response.status != 404:
            self._object(request, response)

    def logs(
        self, namespace: str, pod: str, container: str, *, tail_lines: int = 20, previous: bool = False
    ) -> str:
        query = {"container": container, "tailLines": str(tail_lines), "limitBytes": str(MAX_LOG_BYTES)}
        query |= {"previous": "true"} if previous else {}
        request = Request(
            "GET", Kind("v1", "Pod", "pods", namespaced=True).path(namespace, pod, "log"), query
        )
        response = self._answer(request)
        if response.status != 200:
            raise failure(self._transport.host, request, response)
        return Redactor().text(response.body.decode("utf-8", "replace"))

    def ask_service(self, service: Ref, port: str, path: str) -> int:
        kind = self.kind("v1", "Service")
        proxy = kind.path(service.namespace, f"{service.name}:{port}", "proxy")
        request = Request("GET", proxy + below(path), timeout_s=5.0)
        response = self._transport.send(request)  # once: a second answer would not tell of the first
        if response.status >= 300 and is_status(response):
            raise failure(self._transport.host, request, response)
        return response.status

    def may(self, verb: str, kind: Kind, namespace: str = "", name: str = "") -> bool:
        asked = {
            "verb": verb,
            "group": kind.group,
            "resource": kind.plural,
            "namespace": namespace,
            "name": name,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(self.ask(Request("POST", path, body=body)).get("status", {}).get("allowed"))

    def each(self, call: Callable[[Item], Result], items: Iterable[Item]) -> list[Result | OpslibError]:
        def safely(item: Item) -> Result | OpslibError:
            try:
                return call(item)
            except OpslibError as error:
                return error

        with ThreadPoolExecutor(IN_FLIGHT, "opslib-kube") as pool:
            try:
                return list(pool.map(safely, items))
            except BaseException:  # an interrupt: what is in flight ends, what waits is not begun
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def ask(self, request: Request) -> Object:
        """Return the JSON object of an answer that is no error."""
        return self._object(request, self._answer(request))

    def _answer(self, request: Request) -> Response:
        return with_retries(self._transport.send, request, self._clock, self._retry)

    def _object(self, request: Request, response: Response) -> Object:
        if response.status >= 300:
            raise failure(self._transport.host, request, response)
        return read_object(self._transport.host, response)

    def _path(self, ref: Ref) -> str:
        kind = self.kind(ref.api_version, ref.kind)
        if kind.namespaced and not ref.namespace:
            raise ClusterError(
                f"{ref} has no namespace", hint="the caller places objects before it asks for them"
            )
        return kind.path(ref.namespace, ref.name)


def _items(kind: Kind, page: Object) -> list[Object]:
    of = {"apiVersion": kind.api_version, "kind": kind.kind}  # items of built-in kinds come without
    return [{**of, **item} for item in page.get("items") or ()]


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}


def _dry(dry_run: bool) -> dict[str, str]:  # noqa: FBT001 - only ever passed on
    return {"dryRun": "All"} if dry_run else {}
