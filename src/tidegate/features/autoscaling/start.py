"""The loop of autoscaling, joined."""

from tidegate.compose.background import Services
from tidegate.features.autoscaling.loop import Scaling


def make_loop(services: Services) -> Scaling:
    parts = services.store, services.metrics, services.clock, services.ids
    return Scaling(*parts, services.observe_now, services.queue, services.kick, services.targets)
