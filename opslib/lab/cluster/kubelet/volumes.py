"""Volumes of a pod, real folders: there is no mount namespace, so a container's files lie under its `POD_ROOT`.

A volume is a folder of the pod; each mount is a link to it, below the root of the container that mounts it. A path in a
container is `POD_ROOT` + path, and the same without `POD_ROOT` in a real cluster, where that is not set.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslib.lab.cluster.kubelet.env import ConfigError, Sources, content, field
from opslib.lab.cluster.options import Object


@dataclass(frozen=True, slots=True)
class Volumes:
    """The volumes of one pod under `root`; `host` is where the node's own paths are, `mint` gives its token."""

    sources: Sources
    root: Path
    host: Path
    mint: Callable[[Object], str]

    @property
    def pod(self) -> Object:
        return self.sources.pod

    def write(self) -> None:
        """Fill all volumes, again when what they hold has changed. Raises ConfigError, with the volume's name."""
        for volume in self.pod["spec"].get("volumes") or []:
            folder = self._folder(volume)
            try:
                files = self._files(volume)
            except ConfigError as error:
                raise ConfigError(
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                ) from error
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                _replace(_inside(folder, name), data)
            if "hostPath" not in volume and "emptyDir" not in volume:
                _remove_others(folder, files)

    def mount(self, container: Object) -> Path:
        """Make a container's root with its mounts and return it. Raises ConfigError for a path that leads out."""
        root = self.root / "containers" / str(container["name"])
        by_name = {volume["name"]: volume for volume in self.pod["spec"].get("volumes") or []}
        for mount in container.get("volumeMounts") or []:
            path = _inside(root, mount["mountPath"])
            source = _inside(self._folder(by_name[mount["name"]]), mount.get("subPath") or "")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                path.unlink()
            path.symlink_to(source)
        for folder in ("tmp", "dev"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        return root

    def remove(self) -> None:
        """Delete what the pod had; paths of the node stay."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _folder(self, volume: Object) -> Path:
        if "hostPath" in volume:
            return _inside(self.host, volume["hostPath"]["path"])
        return self.root / "volumes" / str(volume["name"])

    def _files(self, volume: Object) -> dict[str, bytes]:
        if "emptyDir" in volume or "hostPath" in volume:
            return {}
        for source in ("configMap", "secret", "downwardAPI"):
            if source in volume:
                return self._projection(source, volume[source])
        if "projected" in volume:
            merged: dict[str, bytes] = {}
            for entry in volume["projected"].get("sources") or []:
                for source, of in entry.items():
                    merged |= self._projection(source, of)
            return merged
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise ConfigError(f"the practice cluster has no volumes of this kind: {kinds}")

    def _projection(self, source: str, of: Mapping[str, Any]) -> dict[str, bytes]:
        if source == "serviceAccountToken":
            return {of["path"]: self.mint(self.pod).encode()}
        if source == "downwardAPI":
            paths = {i["path"]: (i.get("fieldRef") or {}).get("fieldPath", "") for i in of.get("items") or []}
            return {name: field(self.pod, path).encode() for name, path in paths.items()}
        data = content("configmaps" if source == "configMap" else "secrets", of, self.sources.lookup)
        if not of.get("items"):
            return data
        missing = [item["key"] for item in of["items"] if item["key"] not in data]
        if missing and not of.get("optional"):
            raise ConfigError(f"references non-existent config key: {missing[0]}")
        return {item["path"]: data[item["key"]] for item in of["items"] if item["key"] in data}


def _inside(root: Path, path: str) -> Path:
    parts = Path(path.lstrip("/")).parts
    if ".." in parts:
        raise ConfigError(f"the path {path} leads out of its volume")
    return root.joinpath(*parts)


def _replace(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    os.replace(new, path)  # noqa: PTH105 - a reader sees the old file or the new one


def _remove_others(folder: Path, files: Mapping[str, bytes]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in files:
            path.unlink(missing_ok=True)
