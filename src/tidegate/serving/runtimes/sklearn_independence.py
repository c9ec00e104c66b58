"""Decides whether a scikit-learn model's rows are independent, by its parts: only scikit-learn's own estimators,
which were reviewed, and no other code.

A user's transformer or function may do anything, such as a mean over the rows of a request, so a model with one gets
one request at a time. Of scikit-learn's own estimators, those in ``_ACROSS`` let rows influence each other.
"""

from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

_ACROSS = {
    "NMF": "it looks at all rows to decide when to stop",
    "MiniBatchNMF": "it looks at all rows to decide when to stop",
}
_OWN = ("sklearn",)
_OTHERS = ("xgboost", "lightgbm")
"""Libraries whose models score each row independently."""
_DATA = ("builtins", "collections", "numpy", "scipy", "pandas")
"""Packages whose objects are data."""
_MOST = 200_000
"""Most objects that are inspected."""
_CODE = (FunctionType, BuiltinFunctionType, MethodType)


def why_alone(model: Any) -> str:
    """Why requests to the model are scored alone; empty if its rows are independent."""
    seen: set[int] = set()
    left: list[Any] = [model]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, int | float | str | bytes | None | np.generic | np.dtype):
            continue
        seen.add(id(one))
        if len(seen) > _MOST:
            return "the model holds too much to look through"
        if reason := _objection(one):
            return reason
        left += _parts(one)
    return ""


def _objection(one: Any) -> str:
    kind = one if isinstance(one, type) else type(one)
    root = _root(kind)
    if isinstance(one, FunctionTransformer) and not (one.func is None or isinstance(one.func, np.ufunc)):
        return f"a function of its own may look at all rows ({_name(one.func)})"
    if isinstance(one, _CODE):
        return "" if _root(one) in _OWN else f"code of its own may look at all rows ({_name(one)})"
    if (
        getattr(one, "strategy", None) in ("stratified", "uniform")
        or getattr(one, "sample_posterior", False) is True
    ):
        return f"{kind.__name__} draws numbers at random"
    if kind.__name__ in _ACROSS and root in _OWN:
        return f"{kind.__name__}: {_ACROSS[kind.__name__]}"
    if root not in (*_OWN, *_OTHERS, *_DATA) or isinstance(one, ModuleType):
        return f"code of its own may look at all rows ({kind.__module__}.{kind.__qualname__})"
    return ""


def _parts(one: Any) -> Iterable[Any]:
    if isinstance(one, type):
        return ()
    if isinstance(one, dict):
        return [*one.keys(), *one.values()]
    if isinstance(one, list | tuple | set | frozenset):
        return one
    if isinstance(one, np.ndarray):
        return list(one.flat) if one.dtype.hasobject and one.dtype.kind == "O" else ()
    if _root(type(one)) in _OWN:
        return list(getattr(one, "__dict__", {}).values())
    return ()


def _root(what: Any) -> str:
    return str(getattr(what, "__module__", None) or "").partition(".")[0]


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
