"""Model folders with code in them, loaded in the test's own process, which is put back as it was."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.runtimes import module_isolation, user_code
from tidegate.serving.scoring.thread_engine import AnswerStream

TRUSTED = {"TIDEGATE_TRUST": "code"}


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # Models that tests of other files loaded in this process keep their names.
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path_factory.getbasetemp())):
            monkeypatch.delitem(sys.modules, name)
    environ, path, modules, bytecode = dict(os.environ), list(sys.path), dict(sys.modules), sys.dont_write_bytecode
    monkeypatch.setattr(user_code, "_environment", {})
    monkeypatch.setattr(module_isolation, "_folders", set())
    yield
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        module = sys.modules[name]
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        if any(file.startswith(where) for where in module_isolation._folders):
            del sys.modules[name]
    sys.dont_write_bytecode = bytecode


def folder(where: Path, **files: str) -> Path:
    """A model folder ``where/model`` with these files in ``code/``; ``__`` in a name is a folder's ``/``."""
    model = where / "model"
    for name, text in files.items():
        path = model / "code" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    model.mkdir(exist_ok=True)
    return model


def call(body: bytes = b"", content_type: str = "", accept: str = "", **more: str) -> Call:
    headers: Mapping[str, str] = {"content-type": content_type, "accept": accept, **more}
    return Call(body, {name.encode(): value.encode() for name, value in headers.items() if value})


def said(answer: Answer | AnswerStream) -> tuple[bytes, str]:
    """The body, of a stream its parts joined, and the content type."""
    body = answer.body if isinstance(answer, Answer) else b"".join(answer.parts)
    return body, answer.content_type


def failure(error: Exception) -> tuple[int, str]:
    """As the engine tells it."""
    if isinstance(error, ModelFailed):
        return error.status, error.message
    return 500, f"{type(error).__name__}: {error}"
