"""Removes containers of this installation whose worker is gone: after a restart of the machine, or where the process
that removes them was killed, too."""

import logging

from tidegate.compose.background import Services, Worker
from tidegate.domain.errors import Invalid
from tidegate.features.containers.worker.engine_command import (
    OWNER,
    WORKER,
    ContainerEngine,
    find_engine,
    identify_process,
)

log = logging.getLogger("tidegate")


class Sweeper(Worker):
    """A container names the process that it ends with; it is left alone while that process lives."""

    def __init__(self, installation: str) -> None:
        self._installation = installation

    async def turn(self) -> None:
        try:
            engine = find_engine()
        except Invalid:
            return  # nor is there a container
        for name in await list_stale(engine, self._installation):
            log.warning("removing the container %s, whose instance is gone", name)
            await engine.run(*engine.removal(name)[1:])


async def list_stale(engine: ContainerEngine, installation: str) -> list[str]:
    """Names of the installation's containers whose worker has ended."""
    shown = f'{{{{.Names}}}} {{{{.Label "{WORKER}"}}}}'
    reply = await engine.run("ps", "--all", "--filter", f"label={OWNER}={installation}", "--format", shown)
    found = (line.partition(" ") for line in reply.output.splitlines())
    return [name for name, _, worker in found if not _is_alive(worker)]


def _is_alive(worker: str) -> bool:
    pid = worker.partition(".")[0]
    return pid.isdecimal() and identify_process(int(pid)) == worker


def make_sweeper(services: Services) -> Sweeper:
    return Sweeper(services.folder.installation.id)
