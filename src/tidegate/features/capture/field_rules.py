"""Rules about fields: by the name of a member at any depth, or by its whole path."""

from collections.abc import Mapping

from tidegate.domain.capture import Redacted

ROOT = "$."


class FieldRules:
    """``rules``: ``ssn`` or ``$.employee.bank.iban`` -> what becomes of the value. Places in lists are no part of a
    path: ``$.rows.ssn`` is in every row, and so is ``$.rows[*].ssn``."""

    def __init__(self, rules: Mapping[str, Redacted]) -> None:
        self._names = {name: action for name, action in rules.items() if not name.startswith(ROOT)}
        self._paths = {
            tuple(name.removeprefix(ROOT).replace("[*]", "").split(".")): action
            for name, action in rules.items()
            if name.startswith(ROOT)
        }

    @property
    def names(self) -> frozenset[str]:
        """All names that the rules mention."""
        return frozenset(self._names) | {name for path in self._paths for name in path}

    @property
    def binding(self) -> bool:
        """Whether any of them removes something, so that it must be known where its field is."""
        actions = {*self._names.values(), *self._paths.values()}
        return bool(actions - {Redacted.KEEP})

    def action(self, path: tuple[str, ...]) -> Redacted | None:
        """The action for the value at this path; None: no rule is about it. A path is more than a name."""
        found = self._paths.get(path)
        return found if found is not None else self._names.get(path[-1])
