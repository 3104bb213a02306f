"""What has to be there before a container can start: its image, and all that its configuration names.

Both are waited for, visibly: ErrImagePull and ImagePullBackOff, CreateContainerConfigError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from opslib.core.quantity import parse_quantity
from opslib.lab.cluster.kubelet.backoff import Backoff
from opslib.lab.cluster.kubelet.env import ConfigError, environment, expand
from opslib.lab.cluster.kubelet.images import Image, PullError
from opslib.lab.cluster.kubelet.node import Home
from opslib.lab.cluster.kubelet.running import Program
from opslib.lab.cluster.options import Object

_RETRY_S = 2.0  # of a configuration that is not complete
_SHOWN_S = 1.0  # an image that cannot be pulled, before it backs off


@dataclass(frozen=True, slots=True)
class Preparation:
    """Prepares one start of a container; `tell` writes an event, `wait` shows why the container waits."""

    home: Home
    spec: Object
    tell: Callable[[str, str, str], None]
    wait: Callable[[str, str], None]

    async def pulled(self) -> Image:
        """Return the image, as soon as it can be had."""
        reference, backoff = self.spec["image"], Backoff(self.home.node.backoff_scale)
        loop = asyncio.get_running_loop()
        while True:
            try:
                return self._pull(reference)
            except PullError as error:
                failed_s, cause = loop.time(), str(error)
            backoff = backoff.next(failed_s, failed_s)
            self.tell("Warning", "Failed", f'Failed to pull image "{reference}": {cause}')
            self.tell("Warning", "Failed", "Error: ErrImagePull")
            self.wait("ErrImagePull", cause)
            await asyncio.sleep(min(_SHOWN_S, backoff.delay_s / 2))
            text = f'Back-off pulling image "{reference}"'
            self.tell("Normal", "BackOff", text)
            self.tell("Warning", "Failed", "Error: ImagePullBackOff")
            self.wait("ImagePullBackOff", f"{text}: ErrImagePull: {cause}")
            await asyncio.sleep(failed_s + backoff.delay_s - loop.time())

    def _pull(self, reference: str) -> Image:
        images, policy = self.home.node.images, self.spec.get("imagePullPolicy", "IfNotPresent")
        present = policy == "Never" or (policy != "Always" and images.is_present(reference))
        if not present:
            self.tell("Normal", "Pulling", f'Pulling image "{reference}"')
        image = images.pull(reference, self.home.pull_secrets())
        done = f'Successfully pulled image "{reference}" in 0s (0s including waiting). Image size: 0 bytes.'
        there = f'Container image "{reference}" already present on machine'
        self.tell("Normal", "Pulled", there if present else done)
        return image

    async def configured(self, image: Image) -> Program:
        """Return the program, as soon as its configuration is complete."""
        while True:
            try:
                return self._program(image)
            except ConfigError as error:
                self.tell("Warning", "Failed", f"Error: {error}")
                self.wait("CreateContainerConfigError", str(error))
            await asyncio.sleep(_RETRY_S)

    def _program(self, image: Image) -> Program:
        home, spec = self.home, self.spec
        root = home.volumes.mount(spec)
        base = {**home.node.base_env(home.pod, spec), "POD_ROOT": str(root), "HOME": str(root), **image.env}
        env = environment(spec, home.sources, base)
        command = spec.get("command") or [*image.command]
        args = spec.get("args") or ([] if spec.get("command") else [*image.args])
        folder = root / (spec.get("workingDir") or "").lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        limits = (spec.get("resources") or {}).get("limits") or {}
        cpu, memory = limits.get("cpu"), limits.get("memory")
        return Program(
            [expand(word, env) for word in [*command, *args]],
            env,
            folder,
            parse_quantity(cpu).nano / 1e9 if cpu else None,
            parse_quantity(memory).whole if memory else None,
        )
