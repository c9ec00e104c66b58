"""Members that AWS supports and this server does not. They are refused, since ignoring them would promise something
that does not happen."""

from collections.abc import Iterable

from tidegate.domain.errors import Invalid
from tidegate.wire.operation import Params


def refuse(params: Params, names: Iterable[str]) -> None:
    """Raises Invalid if one of these members is set."""
    for name in names:
        if params.get(name) is not None:
            raise unsupported(name)


def unsupported(what: str) -> Invalid:
    return Invalid(f"{what} is not supported yet: leave it out")
