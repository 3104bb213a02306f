"""The one way that every write takes: decode, carry over, default, admit, validate, account for fields, keep.

Nothing is kept of a dry run, and nothing is written where nothing changes.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from opslib.core.clock import Clock
from opslib.lab.cluster import admission, decode, deletion, statuses, strategies
from opslib.lab.cluster.apply import Writer, server_side_apply, track_update, unchanged
from opslib.lab.cluster.causes import invalid, required
from opslib.lab.cluster.defaults import apply_defaults, generated
from opslib.lab.cluster.definitions import CRDS, Definitions
from opslib.lab.cluster.metadata import stamp, suffix, with_metadata
from opslib.lab.cluster.options import DeleteOptions, Object, WriteOptions
from opslib.lab.cluster.resources import Resource, Resources
from opslib.lab.cluster.store import Store
from opslib.lab.cluster.validation import validate

_NAME_LIMIT = 58  # of a generated name before its suffix


class Pipeline:
    """Writes objects into the store."""

    def __init__(
        self,
        store: Store,
        resources: Resources,
        definitions: Definitions,
        clock: Clock,
        service_network: IPv4Network,
    ) -> None:
        self._store = store
        self._resources = resources
        self._definitions = definitions
        self._clock = clock
        self._network = service_network

    def prepared(self, res: Resource, namespace: str, name: str, obj: Object) -> Object:
        """Return a body as an object of its resource. Raises StatusError 400 when it says it is something else."""
        kind, version = str(obj.get("kind") or res.kind), str(obj.get("apiVersion") or res.api_version)
        group = version.rpartition("/")[0]
        if kind != res.kind or group != res.group or version.rpartition("/")[2] not in res.versions:
            raise statuses.bad_request(
                f"the object provided is unrecognized (must be of type {res.kind}): {version}, Kind={kind}"
            )
        metadata = obj.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise statuses.bad_request("metadata is no object")
        given = metadata.get("namespace") or namespace
        if res.namespaced and given != namespace:
            raise statuses.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        named = metadata.get("name") or name
        if name and named != name:
            text = f"the name of the object ({named}) does not match the name on the URL ({name})"
            raise statuses.bad_request(text)
        fields = {**metadata, "namespace": namespace if res.namespaced else None, "name": named or None}
        fields = {key: value for key, value in fields.items() if value is not None}
        return {**obj, "apiVersion": res.api_version, "kind": res.kind, "metadata": fields}

    def create(self, res: Resource, namespace: str, obj: Object, options: WriteOptions) -> Object:
        """Keep a new object."""
        new = self.prepared(res, namespace, "", obj)
        if new["metadata"].get("resourceVersion"):
            raise statuses.internal("resourceVersion should not be set on objects to be created")
        self._require_namespace(res, new)
        born = strategies.born(res, _named(new), self._clock.now_ns())
        new = self._decoded(res, born, options)
        return self._created(res, new, options, managed=None)

    def _created(self, res: Resource, new: Object, options: WriteOptions, managed: Any) -> Object:
        new = apply_defaults(res, new)
        if managed is None:  # nobody manages what generation and admission add
            asked = {key: value for key, value in new.items() if key != "status" or not res.has_status}
            managed = track_update(self._definitions.schema(res), None, asked, self._writer(res, options))
        new = generated(res, new)
        self._refuse_invalid(res, new, None, "")
        new = self._admitted(res, new)
        name = new["metadata"]["name"]
        if self._store.get(res.name, new["metadata"].get("namespace", ""), name) is not None:
            raise statuses.already_exists(res, name)
        new = with_metadata(new, managedFields=managed or None)
        return new if options.dry_run else self._keep(res, new)

    def replace(
        self,
        res: Resource,
        live: Object,
        new: Object,
        options: WriteOptions,
        subresource: str,
        *,
        patch: Any = None,
    ) -> Object:
        """Keep a changed object, as far as this write may change it; `patch` is what a strict error shows."""
        self._check_identity(res, live, new, patched=patch is not None)
        given = new["metadata"].get("managedFields")
        new = self._decoded(res, new, options, patch)
        base = live["metadata"].get("managedFields")
        if given is not None:  # one empty entry clears them, as an empty list does
            base = [entry for entry in new["metadata"].get("managedFields", ()) if entry]
        new = with_metadata(strategies.carried(res, live, new, subresource), managedFields=base or None)
        new = apply_defaults(res, new)
        if strategies.same(live, new) and (given is None or given == live["metadata"].get("managedFields")):
            return live
        self._refuse_invalid(res, new, live, subresource)
        if base and not strategies.same(live, new):
            writer = self._writer(res, options, subresource)
            managed = track_update(self._definitions.schema(res), live, new, writer)
            new = with_metadata(new, managedFields=managed or None)
        return self._replaced(res, live, new, options)

    def apply(
        self, res: Resource, key: tuple[str, str], applied: Any, options: WriteOptions, subresource: str
    ) -> Object:
        """Apply server-side: the manager owns what it names, and takes from others only by force."""
        if not isinstance(applied, dict):
            raise statuses.bad_request("the body is no object")
        if not options.manager:
            cause = required("fieldManager", "is required for apply patch")
            raise statuses.invalid_options("PatchOptions", [cause])
        wanted = self._applied(res, *key, applied)
        live = self._store.get(res.name, *key)
        if live is None:
            self._require_namespace(res, wanted)
        else:
            self._check_identity(res, live, wanted, patched=True)
        schema = self._definitions.schema(res)
        writer = self._writer(res, options, subresource)
        new = server_side_apply(schema, live, wanted, writer, force=options.force)
        managed = new["metadata"].get("managedFields", [])
        if live is None:
            new = strategies.born(res, new, self._clock.now_ns())
        new, _ = decode.decode(schema, res, new)
        if live is None:
            return self._created(res, new, options, managed)
        new = with_metadata(strategies.carried(res, live, new, subresource), managedFields=managed or None)
        new = apply_defaults(res, new)
        if unchanged(live, new):
            return live
        self._refuse_invalid(res, new, live, subresource)
        return self._replaced(res, live, new, options)

    def _applied(self, res: Resource, namespace: str, name: str, applied: Object) -> Object:
        version = applied.get("apiVersion")
        if applied.get("kind") != res.kind or version not in _versions(res):
            raise statuses.bad_request(f"invalid object type: {version}, Kind={applied.get('kind')}")
        wanted = self.prepared(res, namespace, name, applied)
        if wanted["metadata"].get("managedFields") is not None:
            raise statuses.bad_request("metadata.managedFields must be nil")
        return wanted

    def remove(self, res: Resource, live: Object) -> Object:
        """Forget an object; where it was the last of a definition that is to go, that goes too."""
        metadata = live["metadata"]
        gone = self._store.remove(res, metadata.get("namespace", ""), metadata["name"])
        if res.name == CRDS:
            self._definitions.undefine(gone)
        elif res.custom:
            self._end_definition(res)
        return gone

    def mark(self, res: Resource, marked: Object) -> Object:
        """Keep an object that is marked for deletion; a definition then takes its objects with it."""
        kept = self._store.put(res, marked)
        if res.name != CRDS:
            return kept
        kept = self._store.put(res, self._definitions.terminating(kept))
        custom = self._definitions.resource_of(kept)
        for obj in self._store.scan(custom.name):
            ending = deletion.marked(custom, obj, DeleteOptions(), self._clock.now_ns())
            if deletion.finished(custom, ending):
                self.remove(custom, obj)
            else:
                self._store.put(custom, ending)
        self._end_definition(custom)
        return kept

    def _end_definition(self, custom: Resource) -> None:
        crds = self._resources.find(CRDS)
        definition = self._store.get(CRDS, "", custom.name)
        if crds is None or definition is None or self._store.scan(custom.name):
            return
        if "deletionTimestamp" in definition["metadata"]:
            self.remove(crds, definition)

    def _keep(self, res: Resource, new: Object) -> Object:
        kept = self._store.put(res, new)
        if res.name == CRDS and "deletionTimestamp" not in new["metadata"]:
            established = self._definitions.define(kept)
            kept = kept if established == kept else self._store.put(res, established)
        return kept

    def _replaced(self, res: Resource, live: Object, new: Object, options: WriteOptions) -> Object:
        new = strategies.next_generation(res, live, new)
        new = with_metadata(new, resourceVersion=live["metadata"]["resourceVersion"])
        if options.dry_run:
            return new
        if deletion.finished(res, new):
            gone = self.remove(res, live)
            return with_metadata(new, resourceVersion=gone["metadata"]["resourceVersion"])
        return self._keep(res, new)

    def _writer(self, res: Resource, options: WriteOptions, subresource: str = "") -> Writer:
        return Writer(options.manager, res, stamp(self._clock.now_ns()), subresource)

    def _check_identity(self, res: Resource, live: Object, new: Object, *, patched: bool) -> None:
        """Raise StatusError 409 when the write is meant for another object, or for another state of it.

        Another uid in a patch, server-side apply included, is an invalid change: 422.
        """
        old, metadata = live["metadata"], new["metadata"]
        version, uid = metadata.get("resourceVersion"), metadata.get("uid")
        if version and version != old["resourceVersion"]:
            raise statuses.conflict(res, old["name"])
        if uid and uid != old["uid"]:
            if patched:
                cause = invalid("metadata.uid", uid, "field is immutable")
                raise statuses.invalid(res, old["name"], [cause])
            text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['uid']}"
            raise statuses.refused_conflict(res, old["name"], text)

    def _decoded(self, res: Resource, obj: Object, options: WriteOptions, patch: Any = None) -> Object:
        new, unknown = decode.decode(self._definitions.schema(res), res, obj, patch)
        if not unknown and not options.duplicates:
            return new
        if options.validation == "Strict":
            if patch is not None:
                raise decode.strict_patch(patch, unknown, list(options.duplicates))
            raise decode.strict(res, unknown, list(options.duplicates))
        if options.validation == "Warn":
            options.warnings.extend(decode.warnings(unknown, list(options.duplicates)))
        return new

    def _require_namespace(self, res: Resource, new: Object) -> None:
        if not res.namespaced:
            return
        name = new["metadata"]["namespace"]
        found = self._store.get("namespaces", "", name)
        namespaces = self._resources.find("namespaces")
        assert namespaces is not None  # it is built in
        if found is None:
            raise statuses.not_found(namespaces, name)
        if "deletionTimestamp" in found["metadata"]:
            text = f"unable to create new content in namespace {name} because it is being terminated"
            cause = statuses.Cause(
                "NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace"
            )
            raise statuses.forbidden(res, new["metadata"].get("name", ""), text, [cause])

    def _refuse_invalid(self, res: Resource, new: Object, live: Object | None, subresource: str) -> None:
        causes = validate(res, self._definitions.schema(res), new, live, subresource)
        if causes:
            raise statuses.invalid(res, new["metadata"].get("name", ""), causes)

    def _admitted(self, res: Resource, new: Object) -> Object:
        if res.name == "namespaces":
            return admission.namespace(new)
        if res.name == "pods":
            return admission.pod(new, self._account_of(res, new))
        if res.name == "services":
            services = self._store.scan("services")
            taken = {o["spec"].get("clusterIP", "") for o in services}
            return admission.service(res, new, self._network, taken)
        return self._definitions.admitted(new) if res.name == CRDS else new

    def _account_of(self, res: Resource, pod: Object) -> Object:
        namespace = pod["metadata"]["namespace"]
        name = pod["spec"].get("serviceAccountName") or pod["spec"].get("serviceAccount") or "default"
        account = self._store.get("serviceaccounts", namespace, name)
        if account is None:
            text = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise statuses.forbidden(res, pod["metadata"]["name"], text)
        return account


def _versions(res: Resource) -> tuple[str, ...]:
    return tuple(f"{res.group}/{version}" if res.group else version for version in res.versions)


def _named(new: Object) -> Object:
    metadata = new["metadata"]
    if metadata.get("name") or not metadata.get("generateName"):
        return new
    return with_metadata(new, name=str(metadata["generateName"])[:_NAME_LIMIT] + suffix())
