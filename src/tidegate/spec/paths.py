"""Paths of model data: relative to the spec file in its text, absolute ``file://`` addresses when sent."""

import copy
import posixpath
from typing import Any
from urllib.parse import quote

from tidegate.domain.registry_addresses import is_registry_address
from tidegate.host.features import features
from tidegate.spec.problem import KeyPath


def address(text: str, folder: str, home: str = "~") -> str:
    """Make ``text`` an absolute address. ``folder`` is the spec file's; ``home`` replaces a leading ``~``."""
    if text.startswith("file://"):
        text = text.removeprefix("file://")
        path = text if text.startswith("/") else posixpath.join(folder, text)
        return "file://" + _normalize(path, text)
    if "://" in text or is_registry_address(text):
        return text
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    return "file://" + quote(_normalize(posixpath.join(folder, text), text))


def artifacts(data: object) -> list[tuple[KeyPath, dict[str, Any]]]:
    """Find each model in a spec's plain data, with its path. Malformed parts are skipped; ``parse`` reports them."""
    found: list[tuple[KeyPath, dict[str, Any]]] = []
    if not isinstance(data, dict):
        return found
    found += _find_models(data, ())
    if isinstance(data.get("shadow"), dict):
        found += _find_models(data["shadow"], ("shadow",))
    variants = data.get("variants")
    for index, variant in enumerate(variants if isinstance(variants, list) else []):
        if isinstance(variant, dict):
            found += _find_models(variant, ("variants", index))
    return found


def _find_models(data: dict[str, Any], path: KeyPath) -> list[tuple[KeyPath, dict[str, Any]]]:
    """Models of an endpoint or a variant: the single one, or those of its containers."""
    found: list[tuple[KeyPath, dict[str, Any]]] = []
    if isinstance(data.get("model"), dict):
        found.append(((*path, "model"), data["model"]))
    for key in ("pipeline", "containers"):
        many = data.get(key)
        for index, each in enumerate(many if isinstance(many, list) else []):
            if isinstance(each, dict):
                found.append(((*path, key, index), each))
    return found


def resolve(data: object, folder: str, home: str = "~") -> object:
    """Copy a spec's plain data and make all addresses of model data, and those in sections, absolute."""
    resolved = copy.deepcopy(data)
    holders = [(model, "data") for _, model in artifacts(resolved)]
    for one in features():
        for section in one.feature.sections:
            holder = resolved.get(section.key) if isinstance(resolved, dict) else None
            holders += [(holder, key) for key in section.addresses if isinstance(holder, dict)]
    for holder, key in holders:
        if isinstance(holder.get(key), str) and holder[key]:
            holder[key] = address(holder[key], folder, home)
    return resolved


def _normalize(path: str, written: str) -> str:
    """Remove ``.`` and ``..``; keep a trailing slash, which means a tree."""
    return posixpath.normpath(path) + ("/" if written.endswith("/") else "")
