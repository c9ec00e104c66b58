"""Read YAML text to plain data with line numbers, and with limits against malicious files."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import yaml

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.spec.build import parse
from tidegate.spec.placeholders import refuse_placeholders
from tidegate.spec.problem import KeyPath, SpecError

MAX_CHARACTERS = 256 * 1024
MAX_VALUES = 10_000
"""After expansion of aliases, so that a few lines cannot become a billion values."""
MAX_DEPTH = 32
MAX_PROBLEMS = 50
_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class LoadedSpec:
    """Plain data of a spec file. ``lines`` counts from 1; a value without a line of its own has that of its
    parent."""

    source: str
    data: object
    lines: dict[KeyPath, int]

    def wish(self, now: datetime, data: object = None) -> DesiredDeployment:
        """``parse``, with the file's name and line in errors. ``data``: the same data with paths resolved."""
        with self._locate_errors():
            return parse(self.data if data is None else data, now)

    def problems(self, now: datetime, data: object = None) -> list[str]:
        """Everything that ``parse`` refuses, each with the file's name and line: after one mistake the rest is
        checked without the value that has it. What follows from that alone is not reported."""
        left = copy.deepcopy(self.data if data is None else data)
        found, removed = list[str](), list[KeyPath]()
        while len(found) < MAX_PROBLEMS:
            try:
                parse(left, now)
                break
            except SpecError as error:
                if not _follows(error, removed):
                    found.append(self._locate(error))
                if not _remove(left, error.path):
                    break
                removed.append(error.path)
            except Invalid as error:
                found.append(f"{self.source}: {error}")
                break
        return found

    def refuse_placeholders(self) -> None:
        """Raises Invalid, with file and line, for an address that only stands for model data."""
        with self._locate_errors():
            refuse_placeholders(self.data)

    @contextmanager
    def _locate_errors(self) -> Iterator[None]:
        """Adds the file's name and the line to a SpecError."""
        try:
            yield
        except SpecError as error:
            raise Invalid(self._locate(error)) from None

    def _locate(self, error: SpecError) -> str:
        return f"{self.source}:{self.line(error.path)}: {error}"

    def line(self, path: KeyPath) -> int:
        """Line of the value at ``path``, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def _follows(error: SpecError, removed: Sequence[KeyPath]) -> bool:
    """Whether the error is about what was removed: a value that is missing now, or the name of one."""
    around = any(error.path == gone[: len(error.path)] for gone in removed)
    return around or any(isinstance(gone[-1], str) and repr(gone[-1]) in str(error) for gone in removed)


def _remove(data: object, path: KeyPath) -> bool:
    """Remove the value at ``path``; whether there was one."""
    for key in path[:-1]:
        data = _step(data, key)
    match data, path[-1:]:
        case dict(), (key,) if key in data:
            del data[key]
            return True
        case list(), (int(place),) if place < len(data):
            del data[place]
            return True
    return False


def _step(data: object, key: str | int) -> object:
    match data, key:
        case dict(), _:
            return data.get(key)
        case list(), int() if key < len(data):
            return data[key]
    return None


def load(text: str, source: str = "spec") -> LoadedSpec:
    """Load one plain YAML document. Raises Invalid with ``source`` and line."""
    if len(text) > MAX_CHARACTERS:
        raise Invalid(f"{source}: {len(text)} characters, the limit is {MAX_CHARACTERS}")
    reader = _YamlReader(source)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise Invalid(f"{source}: the file is empty")
            data = reader.read(loader, node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise Invalid(f"{source}:{line}: {_describe(error)}") from None
    except (yaml.YAMLError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise Invalid(f"{source}: not YAML: {first}") from None
    except RecursionError:
        raise Invalid(f"{source}: nested too deeply") from None
    return LoadedSpec(source, data, reader.lines)


def _describe(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    if "'\\t'" in problem:
        return "not YAML: a tab where only spaces are allowed"
    if problem == "but found another document":
        return "a second document: one file describes one endpoint"
    return f"not YAML: {problem}"


class _YamlReader:
    def __init__(self, source: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._source = source
        self._count = 0

    def read(self, loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath) -> object:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._count += 1
        if self._count > MAX_VALUES:
            raise Invalid(f"{self._source}:{line}: more than {MAX_VALUES} values")
        if len(path) > MAX_DEPTH:
            raise Invalid(f"{self._source}:{line}: nested more than {MAX_DEPTH} deep")
        if node.tag not in _PLAIN:
            raise Invalid(f"{self._source}:{line}: tag {node.tag.replace(_TAG, '!!')} is not plain data")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(loader, each, (*path, index)) for index, each in enumerate(node.value)]
        return loader.construct_object(node)

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, path: KeyPath) -> dict[object, object]:
        found: dict[object, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise Invalid(f"{self._source}:{line}: a key must be plain text")
            if key_node.tag == f"{_TAG}merge":
                raise Invalid(f"{self._source}:{line}: merge keys ('<<') are not supported: write the keys out")
            key: object = loader.construct_object(key_node)
            if key in found:
                raise Invalid(f"{self._source}:{line}: key {key!r} is given twice")
            inner: KeyPath = (*path, key if isinstance(key, str) else str(key))
            self.lines[inner] = line
            found[key] = self.read(loader, value_node, inner)
        return found
