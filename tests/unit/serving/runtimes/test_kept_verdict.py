"""What probes found is kept for later starts, and counts for the same model under the same conditions only."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import TweedieRegressor

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.engines.assembly import prepare_later_starts
from tidegate.serving.engines.bounded import Bounded
from tidegate.serving.formats import row_decoder
from tidegate.serving.runtimes import kept_verdict, row_probes, sklearn
from tidegate.serving.runtimes.kept_verdict import (
    ProbeVerdict,
    VerdictFile,
    decide_batching,
    find_verdict,
    identify,
)
from tidegate.serving.runtimes.row_probes import Dependent, ProbeBudget, matrix_pool
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.scoring.batching import Batcher

WIDTH = 3
BUDGET = ProbeBudget(matrix_pool(WIDTH), 8, 5.0, known=True)
SHORT = replace(BUDGET, seconds=0.0)
RANDOM = np.random.default_rng(3)
TRAINING = RANDOM.normal(size=(60, WIDTH))
LABELS = (TRAINING[:, 0] > 0).astype(int)
Model = Callable[[Any], Any]


def independent(rows: Any) -> Any:
    return rows.sum(axis=1)


def dependent(rows: Any) -> Any:
    return rows.sum(axis=1) - rows.mean()


def scorer(model: Model) -> TabularScorer:
    return TabularScorer(model, row_decoder.Features(WIDTH), None, batches=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "model"
    found.mkdir()
    (found / "model.bin").write_bytes(b"first")
    (tmp_path / "model.complete").touch()
    return found


def verdict_of(folder: Path, budget: ProbeBudget = BUDGET, **environment: str) -> VerdictFile:
    found = find_verdict(folder, identify(folder), budget, environment)
    assert found is not None
    return found


def load(folder: Path, model: Model, budget: ProbeBudget = BUDGET) -> tuple[TabularScorer, int]:
    """As a start does; also how often the model was called."""
    calls = []

    def counted(rows: Any) -> Any:
        calls.append(len(rows))
        return model(rows)

    table = scorer(counted)
    decide_batching(table, budget, verdict_of(folder, budget))
    return table, len(calls)


def test_a_later_start_of_the_same_model_runs_no_probe(folder: Path) -> None:
    first, probed = load(folder, independent)
    second, again = load(folder, independent)
    assert probed > 20
    assert again == 0
    assert first.batches and second.batches
    assert np.array_equal(first._scale, second._scale)


def test_a_model_that_was_changed_is_probed_again_and_found_out(folder: Path) -> None:
    load(folder, independent)
    (folder / "model.bin").write_bytes(b"other")
    with pytest.raises(Dependent):
        load(folder, dependent)


def test_a_model_of_scikit_learn_is_probed_at_its_first_start_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "model.complete").touch()
    skops.io.dump(RandomForestClassifier(3, random_state=0).fit(TRAINING, LABELS), folder / "model.skops")
    monkeypatch.setattr(sklearn, "_TRIAL", 10.0)
    assert sklearn.load(folder, {}).batches
    budgets: list[ProbeBudget] = []

    def noted(run: Model, budget: ProbeBudget) -> row_probes.ProbeFinding:
        budgets.append(budget)
        return row_probes.judge(run, budget)

    monkeypatch.setattr(kept_verdict, "judge", noted)
    assert sklearn.load(folder, {}).batches
    assert budgets == []
    skops.io.dump(RandomForestClassifier(4, random_state=0).fit(TRAINING, LABELS), folder / "model.skops")
    sklearn.load(folder, {})
    sklearn.load(folder, {"MAX_BATCH_ROWS": "9"})
    assert [budget.cap for budget in budgets] == [64, 9]


@pytest.mark.parametrize("name", ["model.joblib", "model.skops"])
def test_a_model_whose_reading_may_run_code_is_always_probed(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "model.complete").touch()
    model = TweedieRegressor().fit(TRAINING, LABELS)  # its loss is of a type that skops does not know
    (joblib.dump if name.endswith("joblib") else skops.io.dump)(model, folder / name)
    table = sklearn.load(folder, {"TIDEGATE_TRUST": "pickle"})
    assert table.batches
    assert table.checks_left is None
    assert not (tmp_path / "model.rows").exists()


# --- what it depends on ---


def changed_bytes(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    about = (folder / "model.bin").stat()
    (folder / "model.bin").write_bytes(b"fi" + b"rSt")
    os.utime(folder / "model.bin", ns=(about.st_atime_ns, about.st_mtime_ns))
    return verdict_of(folder)


def another_file(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    (folder / "weights.bin").write_bytes(b"")
    return verdict_of(folder)


def another_name(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    (folder / "model.bin").rename(folder / "model.bim")
    return verdict_of(folder)


def another_library(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    patch.setattr(np, "__version__", "99")
    return verdict_of(folder)


def other_code(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    patch.setattr(kept_verdict, "_CODE", "other")
    return verdict_of(folder)


def another_processor(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    patch.setattr(kept_verdict, "_processor", lambda: b"flags: none")
    return verdict_of(folder)


def other_kernels(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    patch.setenv("OPENBLAS_CORETYPE", os.environ.get("OPENBLAS_CORETYPE", "") + "2")
    return verdict_of(folder)


def another_setting(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    return verdict_of(folder, SKLEARN_METHOD="predict_proba")


def another_batch(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    return verdict_of(folder, replace(BUDGET, cap=9))


def other_rows(folder: Path, patch: pytest.MonkeyPatch) -> VerdictFile:
    rows = BUDGET.pool.rows.copy()
    rows[0, 0] = np.nextafter(rows[0, 0], 1, dtype=np.float32)
    return verdict_of(folder, replace(BUDGET, pool=replace(BUDGET.pool, rows=rows)))


@pytest.mark.parametrize(
    "change",
    [
        changed_bytes,
        another_file,
        another_name,
        another_library,
        other_code,
        another_processor,
        other_kernels,
        another_setting,
        another_batch,
        other_rows,
    ],
)
def test_a_verdict_counts_under_the_same_conditions_only(
    change: Callable[[Path, pytest.MonkeyPatch], VerdictFile], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verdict_of(folder)
    before.write(ProbeVerdict(True, "", 1.0))
    assert before.read() is not None
    after = change(folder, monkeypatch)
    assert after.key != before.key
    assert after.read() is None


def test_text_that_is_no_unicode_is_a_setting_like_others(folder: Path) -> None:
    assert verdict_of(folder, CODE="\udcff").key != verdict_of(folder, CODE="\udcfe").key


def test_a_file_that_was_changed_after_it_was_read_has_no_verdict(folder: Path) -> None:
    seen = identify(folder)
    (folder / "model.bin").write_bytes(b"other")
    assert find_verdict(folder, seen, BUDGET, {}) is None


def test_nothing_is_kept_of_a_folder_that_the_platform_did_not_fill(folder: Path) -> None:
    folder.with_name("model.complete").unlink()
    assert identify(folder) is None
    assert find_verdict(folder, None, BUDGET, {}) is None


def test_nothing_is_kept_of_a_model_that_reaches_out_of_its_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (folder / "weights").symlink_to(tmp_path / "elsewhere")
    assert identify(folder) is None


def test_a_model_that_is_as_long_to_read_as_to_probe_is_probed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_verdict, "MOST", 4)
    assert identify(folder) is None


def test_nothing_is_kept_where_our_own_code_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_verdict, "_CODE", "")
    assert find_verdict(folder, identify(folder), BUDGET, {}) is None


def test_code_without_sources_has_no_digest(tmp_path: Path) -> None:
    """An empty list of files would be the same for every version."""
    for folder in ("formats", "runtimes", "scoring"):
        assert kept_verdict._digest_code(tmp_path) == ""
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("pass")
    before = kept_verdict._digest_code(tmp_path)
    (tmp_path / "scoring" / "code.py").write_text("exit")
    assert "" != before != kept_verdict._digest_code(tmp_path)


# --- files that do not count ---


def cut(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def touched(path: Path, patch: pytest.MonkeyPatch) -> None:
    content = path.read_bytes()
    assert b'"complete":true' in content
    path.write_bytes(content.replace(b'"why":""', b'"why":"x"'))


def readable(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.chmod(0o644)


def linked(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def of_another_user(path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)


def a_pipe(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def of_any_size(path: Path, patch: pytest.MonkeyPatch) -> None:
    """Sealed as it should be, but any two answers would count as equal."""
    content = msgspec.json.decode(path.read_bytes(), type=kept_verdict._Content)
    content = msgspec.structs.replace(content, scale=np.array(np.inf).tobytes()).sealed()
    path.write_bytes(msgspec.json.encode(content))


def of_no_numbers(path: Path, patch: pytest.MonkeyPatch) -> None:
    content = msgspec.json.decode(path.read_bytes(), type=kept_verdict._Content)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(content, dtype="O").sealed()))


@pytest.mark.parametrize(
    "spoil", [cut, touched, readable, linked, of_another_user, a_pipe, of_any_size, of_no_numbers]
)
def test_the_probes_run_again_where_the_file_is_not_whole_or_not_our_own(
    spoil: Callable[[Path, pytest.MonkeyPatch], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = verdict_of(folder)
    kept.write(ProbeVerdict(True, "", 1.0))
    spoil(kept.path, monkeypatch)
    assert kept.read() is None
    with pytest.raises(Dependent):
        load(folder, dependent)


def test_a_verdict_that_came_with_the_model_data_does_not_count(folder: Path) -> None:
    kept = verdict_of(folder)
    kept.write(ProbeVerdict(True, "", 1.0))
    kept.path.rename(folder / kept.path.name)
    with pytest.raises(Dependent):
        load(folder, dependent)


def test_a_folder_that_cannot_be_written_to_keeps_nothing(folder: Path, tmp_path: Path) -> None:
    kept = replace(verdict_of(folder), path=tmp_path / "none" / "model.rows")
    kept.write(ProbeVerdict(True, "", 1.0))
    assert kept.read() is None


# --- probes that loading had no time for ---


def test_probes_that_ran_out_of_time_are_not_kept_until_all_were_run(folder: Path) -> None:
    table, _ = load(folder, independent, SHORT)
    assert table.batches
    assert not verdict_of(folder, SHORT).path.exists()
    assert table.checks_left is not None
    assert table.checks_left() == ""
    later, calls = load(folder, independent, SHORT)
    assert (later.batches, later.checks_left, calls) == (True, None, 0)


def test_a_model_that_is_too_slow_for_all_probes_has_the_first_ones_at_each_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_verdict, "LONGEST", 0.0)
    table, probed = load(folder, independent, SHORT)
    assert table.checks_left is not None
    assert table.checks_left() == ""
    later, again = load(folder, independent, SHORT)
    assert probed == again > 0
    assert later.checks_left is None


def test_a_failure_for_lack_of_memory_says_nothing_of_the_model(folder: Path) -> None:
    def starved(rows: Any) -> Any:
        if np.isnan(rows).all():
            raise MemoryError
        return independent(rows)

    load(folder, starved)
    assert not verdict_of(folder).path.exists()


def failing_late(rows: Any) -> Any:
    """The first probes, with rows that are ordinary, show nothing."""
    if np.abs(np.nan_to_num(rows)).max() > 1e3:
        return dependent(rows)
    return independent(rows)


SPEC = ReplicaSpec(
    replica="r",
    fleet=FleetId("e", 1, "v"),
    config_name="c",
    containers=(ContainerSpec(runtime=RuntimeChoice(RuntimeKind.SKLEARN), model_dir="/none"),),
    socket="/none/s",
)


class Loop:
    """As much of an event loop as an engine needs that is asked nothing."""


async def test_what_is_found_out_while_serving_ends_batching_and_is_kept(folder: Path) -> None:
    table, _ = load(folder, failing_late, SHORT)
    batcher: Batcher[Any, Any] = Batcher(table, Loop())  # type: ignore[arg-type]
    engine = Bounded(batcher, 5, 1.0, Loop())  # type: ignore[arg-type]
    assert batcher._cap > 1
    await prepare_later_starts(SPEC, engine)
    assert batcher._cap == 1
    with pytest.raises(Dependent):
        load(folder, failing_late, SHORT)


def test_lack_of_memory_at_a_batch_is_not_kept_as_the_models_fault(folder: Path) -> None:
    table, _ = load(folder, independent, SHORT)

    def starved(rows: Any) -> Any:
        if len(rows) > 1:
            raise MemoryError
        return independent(rows)

    assert table.checks_left is not None
    table._predict = starved
    assert "MemoryError" in table.checks_left()
    assert verdict_of(folder, SHORT).read() is None


def test_a_model_that_fails_at_the_later_probes_is_batched_no_more(folder: Path) -> None:
    broken: list[bool] = []

    def model(rows: Any) -> Any:
        if broken and len(rows) == 1 and abs(rows[0, 0]) < 1e-3:
            broken.append(True)
            if len(broken) > 3:
                raise FloatingPointError("out of order")
        return independent(rows)

    table, _ = load(folder, model, SHORT)
    assert table.checks_left is not None
    broken.append(True)
    assert "out of order" in table.checks_left()
    assert verdict_of(folder, SHORT).read() is None
