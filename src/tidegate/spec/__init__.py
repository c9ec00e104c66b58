"""Spec files: what a person writes to deploy an endpoint, made into domain objects. Pure; reads no file.

``load`` reads YAML text and keeps its line numbers, ``resolve`` makes its paths absolute, ``parse`` checks plain
data and makes a ``DeployWish``; ``schema`` is the JSON Schema of the same structures.
"""

from tidegate.spec.build import parse
from tidegate.spec.paths import artifacts, resolve
from tidegate.spec.structures import schema
from tidegate.spec.yaml_text import LoadedSpec, load

__all__ = ["Loaded", "artifacts", "load", "parse", "resolve", "schema"]
