"""Locations of the captures of an endpoint."""

from tidegate.domain.endpoint import Endpoint
from tidegate.rollout import desired_state


def captured_addresses(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the folders of what production variants capture; shadows get copies of the same requests."""
    variants = (spec.variant for spec in desired_state.fleets(endpoint).values())
    found = {
        f"{one.capture.destination.rstrip('/')}/{endpoint.name}/{one.name}/"
        for one in variants
        if one.capture is not None and one.capture.enabled and not one.shadow
    }
    return tuple(sorted(found))
