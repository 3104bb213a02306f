"""One request on a resource, from verb and parameters to the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opslib.lab.cluster import bodies, protobuf, statuses
from opslib.lab.cluster.access import Rules, Tokens, User
from opslib.lab.cluster.api import Api, Logs, Usage
from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.lists import Page, Selection, list_page
from opslib.lab.cluster.options import LogOptions, Object
from opslib.lab.cluster.parameters import delete_options, write_options
from opslib.lab.cluster.paths import Target
from opslib.lab.cluster.reviews import review
from opslib.lab.cluster.schema import schema_of
from opslib.lab.cluster.subresources import Evict, act
from opslib.lab.cluster.tables import Tables
from opslib.lab.cluster.watches import Watch, Watches, truth

_PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_TOLD_WHOLE = ("pods", "services", "namespaces", "customresourcedefinitions.apiextensions.k8s.io")
_JSON = ("", "*/*", "application/json", *_PATCHES)  # also an apply patch, which clients send as JSON


@dataclass(frozen=True, slots=True)
class Question:
    """One request, read and allowed."""

    target: Target
    verb: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: User

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def obj(self) -> tuple[Any, tuple[str, ...]]:
        """Return the body and the fields that it has twice. Raises StatusError 400, 415."""
        if self.media_type == _PROTOBUF:
            return protobuf.parse(self.body), ()
        if self.media_type not in _JSON:
            raise statuses.not_acceptable_body()
        value, duplicates = bodies.parse(self.body)
        return value, tuple(duplicates)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: a JSON value, or bytes as they come."""

    content: Any = None
    code: int = 200
    warnings: Sequence[str] = ()
    stream: AsyncIterator[bytes] | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Handlers:
    """Answers requests; `evict` asks budgets before it deletes a pod, `logs` and `usage` come from the kubelet."""

    api: Api
    tokens: Tokens
    rules: Rules
    watches: Watches
    evict: Evict
    logs: Logs
    usage: Usage
    _by_verb: dict[str, Callable[[Question], Awaitable[Answer]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
        self._by_verb.update({verb: getattr(self, f"_{verb}") for verb in verbs})

    async def answer(self, asked: Question) -> Answer:
        """Return the answer to one request. Raises StatusError."""
        target, known = asked.target, (*asked.target.resource.subresources, "")
        part = (target.resource.name, target.subresource)
        if target.subresource not in known and part != ("namespaces", "finalize"):
            if target.resource.name == "pods":
                raise statuses.not_implemented(f"pods/{target.subresource}")
            raise statuses.no_such_resource()
        if not asked.verb or (asked.verb not in target.resource.verbs and not target.subresource):
            raise statuses.method_not_allowed()
        return await self._by_verb[asked.verb](asked)

    async def _get(self, asked: Question) -> Answer:
        target = asked.target
        if target.subresource == "log":
            return await self._log(asked)
        if target.subresource == "scale":
            return Answer(self.api.get_scale(target.resource.name, target.namespace, target.name))
        if not target.resource.stored:
            found = [m for m in self.usage.pods(target.namespace) if m["metadata"]["name"] == target.name]
            if not found:
                raise statuses.not_found(target.resource, target.name)
            return Answer(found[0])
        obj = self.api.get(target.resource.name, target.namespace, target.name)
        if (tables := self._tables(asked)) is None:
            return Answer(_spoken(target, obj))
        return Answer(tables.table([obj], {"resourceVersion": obj["metadata"]["resourceVersion"]}))

    async def _list(self, asked: Question) -> Answer:
        target, res = asked.target, asked.target.resource
        selection = Selection.of(target.namespace, asked.query, res)
        if res.stored:
            page = list_page(self.api.store, res, selection, asked.query)
        else:
            measured = [m for m in self.usage.pods(target.namespace) if selection.matches(m)]
            page = Page(measured, self.api.store.revision)
        if tables := self._tables(asked):
            return Answer(tables.table(page.items, page.metadata()))
        return Answer(_listed(target, page.items, page.metadata()))

    async def _watch(self, asked: Question) -> Answer:
        target, tables = asked.target, self._tables(asked)
        view = tables.event if tables else None
        if view is None and target.version != target.resource.version:
            view = lambda obj: _spoken(target, obj)  # noqa: E731 - one of two views
        selection = Selection.of(target.namespace, asked.query, target.resource)
        watch = self.watches.open(target.resource, selection, asked.query, view)
        return Answer(stream=self._streamed(watch))

    async def _streamed(self, watch: Watch) -> AsyncIterator[bytes]:
        try:
            async for lines in watch.stream():
                yield lines
        finally:
            self.watches.close(watch)

    async def _create(self, asked: Question) -> Answer:
        target = asked.target
        obj, duplicates = asked.obj()
        if not isinstance(obj, dict):
            raise statuses.bad_request("the body is no object")
        if target.subresource:
            return Answer(act(self.api, self.tokens, self.evict, target, obj), 201)
        res = target.resource
        if not res.stored:
            named, _ = decode(schema_of(res), res, {**obj, "kind": res.kind, "apiVersion": res.api_version})
            return Answer(review(named, asked.user, self.rules), 201)
        agent = asked.headers.get("user-agent", "")
        options = write_options("create", asked.query, agent, duplicates, applying=False)
        created = self.api.create(res.name, target.namespace, obj, options)
        return Answer(_spoken(target, created), 201, options.warnings)

    async def _update(self, asked: Question) -> Answer:
        target = asked.target
        obj, duplicates = asked.obj()
        if not isinstance(obj, dict):
            raise statuses.bad_request("the body is no object")
        agent = asked.headers.get("user-agent", "")
        options = write_options("update", asked.query, agent, duplicates, applying=False)
        updated = self.api.update(
            target.resource.name, target.namespace, target.name, obj, options, subresource=target.subresource
        )
        return Answer(_spoken(target, updated), 200, options.warnings)

    async def _patch(self, asked: Question) -> Answer:
        target, patch_type = asked.target, _PATCHES.get(asked.media_type)
        if patch_type is None:
            raise statuses.not_acceptable_body(", ".join(_PATCHES))
        patch, duplicates = asked.obj()
        agent, applying = asked.headers.get("user-agent", ""), patch_type == "apply"
        options = write_options("patch", asked.query, agent, duplicates, applying=applying)
        name, new = target.resource.name, False
        if applying:
            new = self.api.store.get(name, target.namespace, target.name) is None
        patched = self.api.patch(
            name, target.namespace, target.name, patch, patch_type, options, subresource=target.subresource
        )
        return Answer(_spoken(target, patched), 201 if new else 200, options.warnings)

    async def _delete(self, asked: Question) -> Answer:
        target, res = asked.target, asked.target.resource
        options = delete_options(asked.query, asked.obj()[0] if asked.body else {})
        last = self.api.delete(res.name, target.namespace, target.name, options)
        metadata = last["metadata"]
        waiting = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        if res.name in _TOLD_WHOLE or waiting:
            return Answer(_spoken(target, last))
        details = {"name": metadata["name"], "group": res.group, "kind": res.plural, "uid": metadata["uid"]}
        details = {key: value for key, value in details.items() if value}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return Answer({**status, "details": details})

    async def _deletecollection(self, asked: Question) -> Answer:
        target, query = asked.target, asked.query
        options = delete_options(query, asked.obj()[0] if asked.body else {})
        deleted = self.api.delete_collection(
            target.resource.name,
            target.namespace,
            options,
            labels=query.get("labelSelector", ""),
            fields=query.get("fieldSelector", ""),
        )
        return Answer(_listed(target, deleted, {"resourceVersion": str(self.api.store.revision)}))

    async def _log(self, asked: Question) -> Answer:
        query, target = asked.query, asked.target
        self.api.get("pods", target.namespace, target.name)
        wanted = LogOptions(
            query.get("container", ""),
            truth(query.get("previous", "")),
            truth(query.get("follow", "")),
            _whole(query, "tailLines"),
            _whole(query, "sinceSeconds"),
            truth(query.get("timestamps", "")),
        )
        stream = await self.logs.read(target.namespace, target.name, wanted)
        return Answer(stream=stream, media_type="text/plain")

    def _tables(self, asked: Question) -> Tables | None:
        if "as=Table" not in asked.headers.get("accept", ""):
            return None
        include = asked.query.get("includeObject") or "Metadata"
        return Tables(asked.target.resource, self.api.clock.now_ns, include)


def _spoken(target: Target, obj: Object) -> Object:
    """Return an object in the version that the client speaks; all versions of a kind have the same fields."""
    if target.version == target.resource.version or obj.get("kind") != target.resource.kind:
        return obj
    return {**obj, "apiVersion": target.api_version}


def _listed(target: Target, items: Sequence[Object], metadata: Mapping[str, Any]) -> Object:
    head = {"kind": f"{target.resource.kind}List", "apiVersion": target.api_version}
    return {**head, "metadata": metadata, "items": [_spoken(target, obj) for obj in items]}


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise statuses.bad_request(f"{name}: Invalid value: {text[:64]!r}: it is no whole number")
    return int(text)
