"""Query parameters and bodies of requests as options of a write or a delete. Raises StatusError 422 for wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opslib.lab.cluster.causes import unsupported
from opslib.lab.cluster.options import DeleteOptions, WriteOptions, part
from opslib.lab.cluster.statuses import Cause, bad_request, invalid_options
from opslib.lab.cluster.watches import truth

_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_VALIDATION = ("Ignore", "Strict", "Warn")


def write_options(
    verb: str, query: Mapping[str, str], agent: str, duplicates: tuple[str, ...], *, applying: bool
) -> WriteOptions:
    """Return how a write is asked for; a client that names no manager is known by its User-Agent."""
    kind = _KINDS.get(verb, "CreateOptions")
    validation = query.get("fieldValidation") or "Warn"
    if validation not in _VALIDATION:
        raise invalid_options(kind, [unsupported("fieldValidation", validation, _VALIDATION)])
    manager = query.get("fieldManager") or ("" if applying else agent.partition("/")[0] or "unknown")
    if len(manager) > 128:
        raise invalid_options(kind, [Cause("FieldValueInvalid", "Invalid value: too long", "fieldManager")])
    return WriteOptions(
        manager,
        dry_run=_dry_run(kind, query.get("dryRun", "")),
        validation=validation,
        force=truth(query.get("force", "")),
        duplicates=duplicates,
    )


def delete_options(query: Mapping[str, str], body: Any) -> DeleteOptions:
    """Return how a delete is asked for, by the body or by parameters."""
    given = body if isinstance(body, dict) else {}
    preconditions = part(given, "preconditions")
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    dry_run = given.get("dryRun") or query.get("dryRun", "")
    orphan = given.get("orphanDependents", truth(query.get("orphanDependents", "")))
    propagation = (
        given.get("propagationPolicy") or query.get("propagationPolicy") or ("Orphan" if orphan else "")
    )
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        supported = ("Background", "Foreground", "Orphan")
        raise invalid_options("DeleteOptions", [unsupported("propagationPolicy", propagation, supported)])
    try:
        grace_s = None if grace is None else int(grace)
    except (TypeError, ValueError) as error:
        raise bad_request("gracePeriodSeconds is no whole number") from error
    return DeleteOptions(
        propagation,
        grace_s,
        str(preconditions.get("uid") or ""),
        str(preconditions.get("resourceVersion") or ""),
        _dry_run("DeleteOptions", ",".join(map(str, dry_run)) if isinstance(dry_run, list) else str(dry_run)),
    )


def _dry_run(kind: str, text: str) -> bool:
    if text in {"", "All"}:
        return text == "All"
    message = f'Unsupported value: ["{text}"]: supported values: "All"'
    raise invalid_options(kind, [Cause("FieldValueNotSupported", message, "dryRun")])
