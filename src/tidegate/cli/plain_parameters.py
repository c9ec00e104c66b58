"""Reads plain options without Typer's own reader, which imports pydantic: that takes longer than most commands.

Text, paths that are not checked, lists of text, and numbers within their bounds are read here. Anything else, such as
a number with a mistake in it, is left to Typer, which knows how to say what is wrong. Where Typer has no such reader
(before 0.27) nothing is replaced.
"""

import re
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_UNREAD = object()


class PlainCommand(TyperCommand):
    """A command whose plain options are read here."""

    def get_params(self, ctx: Any) -> Any:
        found = super().get_params(ctx)
        read_plainly(found)
        return found


class PlainGroup(TyperGroup):
    """The same for the options of a group."""

    def get_params(self, ctx: Any) -> Any:
        found = super().get_params(ctx)
        read_plainly(found)
        return found


def read_plainly(parameters: Iterable[Any]) -> None:
    """Give each parameter of a command the plain reader."""
    for parameter in parameters:
        if getattr(parameter, "_runtime_param", _UNREAD) is None:
            parameter._runtime_param = PlainReader(parameter.type_descriptor)


class PlainReader:
    """Stands where Typer's ``RuntimeParam`` would."""

    def __init__(self, descriptor: Any) -> None:
        self._type = _without_none(descriptor.annotation)
        self._info = descriptor.parameter_info

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        found = self._read(value, several=param.multiple or param.nargs == -1)
        if found is not _UNREAD:
            return found
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)

    def _read(self, value: Any, *, several: bool) -> Any:
        if value is None:
            return () if several else None
        if several:
            return [str(one) for one in value] if self._type == list[str] else _UNREAD
        if self._type is Path:
            return Path(value) if self._is_unchecked_path() else _UNREAD
        if self._type is str:
            return str(value)
        if self._type in (int, float):
            return self._number(value)
        return value if isinstance(value, bool) and self._type is bool else _UNREAD

    def _is_unchecked_path(self) -> bool:
        checks = ("exists", "readable", "writable", "resolve_path", "allow_dash", "path_type")
        return not any(getattr(self._info, check, None) for check in checks)

    def _number(self, value: Any) -> Any:
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            return _UNREAD
        number = float(value)
        if self._type is int and number != int(number):
            return _UNREAD
        least, most = getattr(self._info, "min", None), getattr(self._info, "max", None)
        if (least is not None and number < least) or (most is not None and number > most):
            return _UNREAD
        return int(value) if self._type is int else number


def _without_none(annotation: Any) -> Any:
    """``str`` for ``str | None``."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation
