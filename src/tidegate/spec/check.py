"""Does plain data have the shape of a structure? Says what is wrong in a person's words, with the nearest name.

msgspec could say the same, but not with the keys of dicts in its paths and not with suggestions.
"""

import types
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from tidegate.spec.problem import KeyPath, SpecError, suggest

S = TypeVar("S", bound=msgspec.Struct)
_WORDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def convert_checked(kind: type[S], data: object) -> S:
    """``data`` as a ``kind``; raises SpecError at the first thing that does not fit."""
    _check(kind, data, ())
    return msgspec.convert(data, kind, strict=True)


def _check(kind: Any, value: object, path: KeyPath) -> None:
    options = _options(kind)
    if value is None and type(None) in options:
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


def _options(kind: Any) -> tuple[Any, ...]:
    """The plain types of an annotation: ``Annotated`` taken off, unions opened."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(option for part in get_args(kind) for option in _options(part))
    return (kind,)


def _matches(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def _quoting_hint(value: object, options: tuple[Any, ...]) -> str:
    """YAML reads 12, yes and 2026-01-01 as something else than text."""
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
