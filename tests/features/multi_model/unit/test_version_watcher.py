"""What a newer version of a model is judged by."""

from types import SimpleNamespace
from typing import Any

import pytest

from tidegate.features.multi_model.worker import model_canary
from tidegate.features.multi_model.worker.version_watcher import VersionWatcher
from tidegate.serving.contract.invocation import GONE, Answer, Call, Done, ModelFailed, Outcome


@pytest.mark.parametrize(("outcome", "asked"), [(GONE, 0), (ModelFailed(500, "no"), 1)])
def test_a_client_that_left_is_no_failure_of_the_newer_version(
    outcome: Outcome, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Older:
        def __init__(self) -> None:
            self.calls: list[Call] = []

        def submit(self, call: Call, done: Done) -> None:
            self.calls.append(call)
            done(Answer(b"", "text/csv"))

    failures: list[object] = []

    def count(canary: object, *_: object) -> object:
        failures.append(canary)
        return canary

    monkeypatch.setattr(model_canary, "count_failure", count)
    watcher = VersionWatcher.__new__(VersionWatcher)
    watcher._rule = None  # type: ignore[assignment]
    older, found = Older(), list[Outcome]()
    entry: Any = SimpleNamespace(update=None)
    update: Any = SimpleNamespace(canary=SimpleNamespace(over=False), concluding=False)
    old: Any = SimpleNamespace(engine=older)
    watcher._finish_new(entry, update, old, (Call(b"", {}), found.append), 0.0, outcome)
    assert (len(found), len(older.calls), len(failures)) == (1, asked, asked)
