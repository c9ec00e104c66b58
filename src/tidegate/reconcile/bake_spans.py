"""When a rollout's shares stood still.

Requests that are counted by periods, such as CloudWatch's minutes, are compared only where a whole period lies within
one bake: in another one the two versions did not answer side by side all the time, and what disturbs both would look
like a difference."""

from dataclasses import dataclass, field


@dataclass
class BakeSpans:
    """Epoch seconds."""

    _spans: list[tuple[int, int | None]] = field(default_factory=list)
    """First second, and the first one after it; the last span may go on."""

    def follow(self, baking: bool, since: int) -> None:
        """The rollout's present phase began in the second before ``since``."""
        last = self._spans[-1] if self._spans else None
        goes_on = last is not None and last[1] is None
        if baking and goes_on and last is not None and last[0] == since:
            return
        if goes_on and last is not None:
            self._spans[-1] = (last[0], max(last[0], since - 1))
        if baking:
            self._spans.append((since, None))

    def covers(self, at: int, seconds: int) -> bool:
        """Whether a period lies within one bake."""
        return any(first <= at and (end is None or at + seconds <= end) for first, end in self._spans)
