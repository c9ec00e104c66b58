"""Members that AWS has and this server does not: refused, since ignoring them would promise what is not done."""

from collections.abc import Iterable

from tidegate.domain.errors import Invalid
from tidegate.wire.operation import Params


def refuse(params: Params, names: Iterable[str]) -> None:
    """Raises Invalid for the first of these members that is set."""
    for name in names:
        if params.get(name) is not None:
            raise unsupported(name)


def unsupported(what: str) -> Invalid:
    return Invalid(f"{what} is not supported yet: leave it out")
