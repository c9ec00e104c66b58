"""What a job's processes load before they need it, and what they do not load at all."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import TransformInput, TransformJob, TransformOutput, job_fleet
from tidegate.features.batch.runner import table_records
from tidegate.features.batch.service import fleet
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.engines import assembly
from tidegate.serving.formats import arrow_io

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PARQUET, STREAM = "application/x-parquet; charset=utf-8", "application/vnd.apache.arrow.stream"


def job(content_type: str, accept: str = "") -> TransformJob:
    model = Model("m", (ContainerDefinition("i", environment={"A": "1"}),), NOW)
    source = TransformInput("file:///in", content_type=content_type)
    return TransformJob("j", model, source, TransformOutput("file:///out", accept=accept), NOW)


def test_a_runner_of_files_imports_no_client_of_s3_and_no_library_of_arrays() -> None:
    """They were most of the time that its start takes."""
    heavy = "{'botocore', 'numpy', 'pyarrow'}"
    code = f"import tidegate.features.batch.runner.__main__, sys; print(*({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"


def test_answers_that_are_tables_are_joined_without_pandas() -> None:
    code = """
import io, sys
from tidegate.features.batch.runner import table_io
import pyarrow
table = pyarrow.table({"prediction": pyarrow.Array.from_buffers(pyarrow.int8(), 2, [None, pyarrow.py_buffer(b"ab")])})
answer, sink = table_io._to_parquet(table), io.BytesIO()
table_io.join(iter([answer, answer]), answer, sink)
rows = table_io.slicer(sink.getvalue())(1, 3)
print(rows[:4], len(sink.getvalue()) > 100, "pandas" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "b'PAR1' True False\n"


@pytest.mark.parametrize(
    ("content_type", "accept", "tables"),
    [("text/csv", "", False), (PARQUET, "", True), ("text/csv", STREAM, True), (STREAM, "text/csv", True)],
)
def test_workers_are_told_of_tables_and_the_runner_imports_what_reads_them(
    content_type: str, accept: str, tables: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    [container] = fleet(job(content_type, accept)).variant.model.containers
    check_environment(container.environment)  # a program of the user's is started with it, too
    spec = ContainerSpec(
        runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="", environment=container.environment
    )
    assert (spec.transforms, spec.expects_tables) == (True, tables)
    imported = threading.Event()
    monkeypatch.setattr(table_records, "table_io", imported.set)
    rows = content_type == PARQUET
    table_records.import_early(job(content_type, accept), rows)
    if rows or accept == STREAM:
        assert imported.wait(20)
    else:
        assert not [one for one in threading.enumerate() if one.name == "tables"]
        assert not imported.is_set()


def test_an_import_that_fails_early_is_left_to_whoever_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def broken() -> None:
        tried.set()
        raise ImportError("broken")

    monkeypatch.setattr(table_records, "table_io", broken)
    table_records.import_early(job(PARQUET), True)
    assert tried.wait(20)


@pytest.mark.parametrize("tables", [True, False])
def test_the_process_that_reads_tables_starts_before_the_model_is_loaded(
    tables: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(arrow_io, "prepare", lambda: happened.append("prepared"))

    def load(*_: object) -> None:
        happened.append("loaded")
        raise RuntimeError("enough")

    monkeypatch.setattr(assembly, "load", load)
    variables = fleet(job(PARQUET if tables else "text/csv")).variant.model.containers[0].environment
    container = ContainerSpec(
        runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir=str(tmp_path), environment=variables
    )
    spec = ReplicaSpec(replica="r", fleet=job_fleet("j"), config_name="c", socket="s", containers=(container,))
    for each in (container, replace(container, environment={"TIDEGATE_BATCH_TABLES": "true"})):
        with pytest.raises(RuntimeError, match="enough"):
            asyncio.run(assembly.open_container(spec, each, lambda *_, **__: None))
    assert happened == [*(["prepared"] * tables), "loaded", "loaded"]
