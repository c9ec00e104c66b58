"""Spec files: YAML that describes an endpoint, converted to domain objects. Pure; reads no file.

``load`` reads YAML text with line numbers, ``resolve`` makes paths absolute, ``parse`` checks plain data and returns
a ``DesiredDeployment``; ``parse_runnable`` also refuses model data that is only a placeholder, as do all who start
something. ``schema`` is the JSON Schema of the same structures."""

from tidegate.spec.build import parse, parse_runnable
from tidegate.spec.paths import artifacts, resolve
from tidegate.spec.sections import schema
from tidegate.spec.yaml_text import LoadedSpec, load

__all__ = [
    "LoadedSpec",
    "artifacts",
    "load",
    "parse",
    "parse_runnable",
    "resolve",
    "schema",
]
