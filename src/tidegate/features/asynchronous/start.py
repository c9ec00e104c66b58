"""The loop of queues, joined with the dispatcher that it keeps running."""

from dataclasses import dataclass
from pathlib import Path

from tidegate.compose.background import Services, Worker
from tidegate.features.asynchronous.dispatcher_supervisor import DispatcherSupervisor, start_settings
from tidegate.features.asynchronous.loop import Queues
from tidegate.host.installation import Installation
from tidegate.settings import Settings


@dataclass(frozen=True)
class QueueLoop(Worker):
    queues: Queues
    dispatcher: DispatcherSupervisor

    async def turn(self) -> None:
        await self.queues.turn()

    async def drain(self) -> None:
        await self.dispatcher.stop()


def make_loop(services: Services) -> QueueLoop:
    start = start_settings(services.settings, services.queue_socket)
    dispatcher = DispatcherSupervisor(start, services.folder.installation)
    queues = Queues(
        *(services.store, services.queue, services.metrics, services.clock, services.observed, services.kick),
        *(dispatcher.update, services.targets),
    )
    return QueueLoop(queues, dispatcher)


async def stop_dispatcher(settings: Settings, installation: Installation) -> None:
    """A dispatcher outlives controllers, and would go on with the queue as it was."""
    await DispatcherSupervisor(start_settings(settings, Path()), installation).stop()
