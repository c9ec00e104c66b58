"""The loop of shadow tests, joined."""

from tidegate.compose.background import Services
from tidegate.features.shadow.loop import Experiments


def make_loop(services: Services) -> Experiments:
    return Experiments(services.store, services.clock, services.ids, services.kick, services.targets)
