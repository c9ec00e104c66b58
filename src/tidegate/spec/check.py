"""Check plain data against a structure, with readable errors and suggestions.

msgspec can validate as well, but without keys of dicts in its paths and without suggestions.
"""

import types
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.spec.problem import KeyPath, SpecError, suggest

S = TypeVar("S", bound=msgspec.Struct)
_WORDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def convert_checked(kind: type[S], data: object) -> S:
    """Convert ``data`` to a ``kind``. Raises SpecError for the first mismatch."""
    _check(kind, data, ())
    return msgspec.convert(data, prepare_type(kind), strict=True)


def _check(kind: Any, value: object, path: KeyPath) -> None:
    options = plain_types(kind)
    if value is None and type(None) in options:
        return
    if not isinstance(value, dict | list) and any(
        option in _WORDS and _matches(value, option) for option in options
    ):
        return
    for option in options:
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return _check_struct(option, value, path)
        if get_origin(option) is dict:
            return _check_mapping(get_args(option)[1], value, path)
        if get_origin(option) is list:
            return _check_list(get_args(option)[0], value, path)
    if not any(_matches(value, option) for option in options):
        expected = " or ".join(_WORDS[option] for option in options if option in _WORDS)
        raise SpecError(path, f"expected {expected}, got {_describe(value)}{_quoting_hint(value, options)}")


def _check_struct(kind: type[msgspec.Struct], value: object, path: KeyPath) -> None:
    given = _require_keys(value, path)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in given:
        if key not in fields:
            raise SpecError((*path, key), f"unknown key {key!r}{suggest(key, fields)}", shown=path)
    for name, field in fields.items():
        if name in given:
            _check(field.type, given[name], (*path, name))
        elif field.required:
            raise SpecError(path, f"{name!r} is missing")


def _check_mapping(kind: Any, value: object, path: KeyPath) -> None:
    for key, each in _require_keys(value, path).items():
        _check(kind, each, (*path, key))


def _check_list(kind: Any, value: object, path: KeyPath) -> None:
    if not isinstance(value, list):
        raise SpecError(path, f"expected a list, got {_describe(value)}")
    for index, each in enumerate(value):
        _check(kind, each, (*path, index))


def _require_keys(value: object, path: KeyPath) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise SpecError(path, f"expected keys and values, got {_describe(value)}")
    for key in value:
        if not isinstance(key, str):
            raise SpecError(path, f"key {_describe(key)} must be text: put it in quotes")
    return value


def plain_types(kind: Any) -> tuple[Any, ...]:
    """Plain types of an annotation: without ``Annotated``, and unions expanded."""
    if get_origin(kind) is Annotated:
        return plain_types(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(option for part in get_args(kind) for option in plain_types(part))
    return (kind,)


def _matches(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def _quoting_hint(value: object, options: tuple[Any, ...]) -> str:
    """Hint for text that YAML reads as another type, such as 12, yes and 2026-01-01."""
    plain = isinstance(value, bool | int | float | date)
    return ": put it in quotes" if plain and str in options else ""


def _describe(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, date):
        return f"the date {value}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
