"""Manifests from files, folders, Kustomize folders and Helm charts: all of them read, or none and an error.

Kustomize and Helm are run as their own programs, so that what is planned is what their users know.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from opslib.core.errors import ManifestError, UsageError
from opslib.core.words import printable
from opslib.manifests.documents import read_documents
from opslib.manifests.images import pinned
from opslib.manifests.model import Manifest, manifests_of, refuse_doubles

SUFFIXES = {".yaml", ".yml", ".json"}
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MAX_FILES = 2_000
MAX_BYTES = 64 * 1024**2
RENDER_TIMEOUT_S = 60


def load_manifests(
    paths: Sequence[str | Path] | str | Path,
    *,
    images: Mapping[str, str] | None = None,
    release: str = "release",
    namespace: str = "",
    values: Sequence[str | Path] = (),
) -> tuple[Manifest, ...]:
    """Return the objects of files and folders, in the order of their names, images replaced by `images`.

    Args:
        paths: files, folders (read with all below), Kustomize folders, Helm charts.
        images: reference as written -> reference with a digest, as `read_images` reads them.
        release: Helm's name for this installation.
        namespace: Helm's namespace.
        values: Helm's value files.

    Raises:
        ManifestError: something is no manifest (with file and line), twice there, or could not be rendered.
        UsageError: nothing is there, or a program is missing.
    """
    found: list[Manifest] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for text, source in _texts(Path(path), release, namespace, values):
            for line, value in read_documents(text, source):
                found += manifests_of(value, f"{source}:{line}")
    if not found:
        raise UsageError(
            "there is no manifest in what was named", hint="name .yaml or .json files, or folders of them"
        )
    refuse_doubles(found)
    return pinned(found, images or {})


def _texts(
    path: Path, release: str, namespace: str, values: Sequence[str | Path]
) -> Iterator[tuple[str, str]]:
    """Yield texts and what to call them."""
    if path.is_dir() and (path / "Chart.yaml").exists():
        given = [part for value in values for part in ("--values", str(value))]
        where = ["--namespace", namespace] if namespace else []
        command = ["helm", "template", release, str(path.resolve()), "--include-crds", *where, *given]
        yield _rendered(command, path, "helm"), f"{path}(helm)"
    elif path.is_dir() and any((path / name).exists() for name in KUSTOMIZATIONS):
        own = shutil.which("kustomize")
        command = (
            ["kustomize", "build", str(path.resolve())]
            if own
            else ["kubectl", "kustomize", str(path.resolve())]
        )
        yield _rendered(command, path, "kustomize or kubectl"), f"{path}(kustomize)"
    else:
        left = MAX_BYTES
        for file in _files(path):
            text = _read(file, left)
            left -= len(text)
            yield text, str(file)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = path.resolve()
    found = [f for f in sorted(path.rglob("*")) if f.suffix in SUFFIXES and f.is_file()]
    found = [f for f in found if not any(part.startswith(".") for part in f.relative_to(path).parts)]
    if len(found) > MAX_FILES:
        raise UsageError(f"{path} holds more than {MAX_FILES} files", hint="name the folders that are meant")
    for file in found:
        if not file.resolve().is_relative_to(inside):
            raise ManifestError(f"{file} leads out of {path}", hint="name the file that it leads to")
        if file.name in {*KUSTOMIZATIONS, "Chart.yaml"}:
            raise UsageError(
                f"{file.parent} is a folder of its own kind", hint="name it by itself, to be rendered"
            )
    return found


def _read(file: Path, left: int) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(left + 1)
        text = data.decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise UsageError(f"cannot read {file}: {reason}", hint="name files of UTF-8 text") from error
    if len(data) > left:
        raise ManifestError(f"the manifests are larger than {MAX_BYTES // 1024**2} MB together")
    return text


def _rendered(command: list[str], path: Path, programs: str) -> str:
    if shutil.which(command[0]) is None:
        raise UsageError(
            f"{path} is rendered by {programs}, which is not installed",
            hint="install it, or render to a file first",
        )
    try:
        done = subprocess.run(command, capture_output=True, timeout=RENDER_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ManifestError(f"{command[0]} did not end within {RENDER_TIMEOUT_S} s") from error
    if done.returncode:
        said = printable(done.stderr.decode("utf-8", "replace").strip(), 1000)
        raise ManifestError(
            f"{command[0]} could not render: {said}", hint=f"try it alone: {' '.join(command)}"
        )
    if len(done.stdout) > MAX_BYTES:
        raise ManifestError(f"{command[0]} rendered more than {MAX_BYTES // 1024**2} MB")
    return done.stdout.decode("utf-8", "replace")
