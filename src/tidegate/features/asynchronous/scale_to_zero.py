"""How many instances a queue needs: some while there is work, none after it was empty for a while. Pure."""

from tidegate.domain.asynchronous import AsyncConfig, Backlog


def desired_count(config: AsyncConfig, present: int, backlog: Backlog, idle_since: float, now: float) -> int:
    """The desired number of instances of a variant. ``idle_since``: when the queue last had work, or the endpoint was
    made if that is later."""
    if config.idle_after is None:
        return present
    if backlog.size:
        return present or config.awake
    return 0 if now - idle_since >= config.idle_after else present
