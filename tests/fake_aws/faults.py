"""What can go wrong between a client and AWS."""

from dataclasses import dataclass, field


class AwsRefusal(Exception):
    """An error answer. ``status`` is the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> AwsRefusal:
    return AwsRefusal("ValidationException", message)


@dataclass
class Faults:
    """By operation: how many of the next calls go wrong. Setters are plain assignments, such as
    ``faults.throttled["CreateModel"] = 2``."""

    throttled: dict[str, int] = field(default_factory=dict)
    """Refused with ThrottlingException; nothing happens."""
    lost: dict[str, int] = field(default_factory=dict)
    """Carried out, but the answer never comes: the client's read times out."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Never arrive: the client's read times out, and nothing happens."""
    broken: dict[str, int] = field(default_factory=dict)
    """HTTP 500; nothing happens."""
    denied: set[str] = field(default_factory=set)
    """Refused with AccessDeniedException, always."""
    expired: set[str] = field(default_factory=set)
    """Refused with ExpiredTokenException, always."""

    def before(self, operation: str) -> None:
        if operation in self.denied:
            raise AwsRefusal(
                "AccessDeniedException",
                f"User: arn:aws:iam::123456789012:user/dev is not authorized to perform: {operation}",
            )
        if operation in self.expired:
            told = "The security token included in the request is expired"
            raise AwsRefusal("ExpiredTokenException", told, 403)
        if _take(self.throttled, operation):
            raise AwsRefusal("ThrottlingException", "Rate exceeded")
        if _take(self.broken, operation):
            raise AwsRefusal("InternalFailure", "internal error", 500)

    def drops(self, operation: str) -> bool:
        return _take(self.dropped, operation)

    def loses(self, operation: str) -> bool:
        return _take(self.lost, operation)


def _take(left: dict[str, int], operation: str) -> bool:
    if left.get(operation, 0) <= 0:
        return False
    left[operation] -= 1
    return True
