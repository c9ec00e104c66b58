"""What a recommendation job reads, tells and finds; no process, no load."""

import json
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.recommendation import ConfigurationTrial, RecommendationJob, RecommendationLimits
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.features.recommender import jobs
from tidegate.features.recommender.configurations import (
    CandidateConfiguration,
    LoadProbe,
    MeasuredConfiguration,
    Objective,
)
from tidegate.features.recommender.search import Effort, SearchEffort, highest
from tidegate.prices import Catalogue

OBJECTIVE = Objective(95, 0.05)
ONE = CandidateConfiguration(2, 1, 16)
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MAX_BATCH_ROWS": "16"}
CONTAINER = ContainerDefinition("tidegate/xgboost", "s3://b/m.tar.gz", {"MINE": "1"})
MODEL = Model("m", (CONTAINER,), datetime(2026, 3, 1, tzinfo=UTC))


def job(**more: object) -> RecommendationJob:
    return RecommendationJob("j", MODEL, "s3://b/k", MODEL.created_at, **more)  # type: ignore[arg-type]


def probe(rate: float, latency: float) -> LoadProbe:
    return LoadProbe(rate, rate, latency, 0, 0.001, 2.0, 100 * 2**20)


def test_each_file_of_an_archive_is_one_body(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.json").write_bytes(b'{"rows":\n[1]}')
    (tmp_path / "two.json").write_bytes(b"[2]")
    (tmp_path / ".hidden").write_bytes(b"no")
    sent, kind = jobs.bodies(tmp_path, True, "")
    assert (sorted(sent), kind) == ([b"[2]", b'{"rows":\n[1]}'], "application/json")
    assert jobs.bodies(tmp_path, True, "text/x")[1] == "text/x"


def test_each_line_of_a_plain_table_is_one_body(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n3,4\n")
    sent, kind = jobs.bodies(tmp_path, False, "")
    assert (sorted(sent), kind) == ([b"1,2", b"3,4"], "text/csv")


def test_samples_with_nothing_in_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no files"):
        jobs.bodies(tmp_path, True, "")
    (tmp_path / "one.bin").touch()
    with pytest.raises(Invalid, match="an empty file"):
        jobs.bodies(tmp_path, False, "")


@pytest.mark.parametrize(
    ("roots", "allowed"),
    [(None, None), (("/a", "/b"), "/a:/b"), ((), "/state/j/nothing")],
)
def test_the_server_that_is_loaded_reads_no_more_than_the_one_that_took_the_job(
    roots: tuple[str, ...] | None, allowed: str | None
) -> None:
    file = jobs.RecommendationJobFile(job=job(), environment={"TIDEGATE_TRUST": ""}, file_roots=roots)
    found = jobs.server_environment(file, Path("/state/j"))
    assert found.get("TIDEGATE_FILE_ROOTS") == allowed
    assert found["TIDEGATE_TRUST"] == ""


def test_the_model_is_served_with_its_own_environment() -> None:
    assert jobs.model_of(job()) == {
        "image": "tidegate/xgboost",
        "data": "s3://b/m.tar.gz",
        "environment": {"MINE": "1"},
    }


def test_a_job_file_comes_back_as_it_was(tmp_path: Path) -> None:
    file = jobs.RecommendationJobFile(
        job=job(limits=RecommendationLimits(rate=2.0, tests=3), types=("ml.c5.large",)), file_roots=()
    )
    path = tmp_path / "job.json"
    jobs._keep(path, file)
    assert jobs.read(path) == file


def test_what_each_configuration_did_is_told_as_it_happens() -> None:
    answers = iter([probe(50, 0.2), probe(25, 0.1), probe(12, 0.01), probe(24, 0.02), probe(48, inf)])
    told: list[list[ConfigurationTrial]] = []
    watched = jobs.RecordingMeasure(lambda *_: next(answers), OBJECTIVE, told.append)
    for _ in range(5):
        watched(ONE, 1.0, 1.0)
    assert [(step.rate, step.latency) for (step,) in told] == [
        (0.0, None),
        (0.0, 0.2),
        (0.0, 0.1),
        (12, 0.01),
        (24, 0.02),
    ]
    assert json.dumps(told[-1][0].environment) == json.dumps(ENVIRONMENT)


def test_the_lowest_cost_of_a_request_comes_first() -> None:
    trial = MeasuredConfiguration(ONE, (probe(1000, 0.03), probe(2000, 0.2)))
    found = jobs.recommended(trial, OBJECTIVE, 2, Catalogue.load(), "us-east-1", job())
    costs = [each.hourly / each.per_minute for each in found]
    assert len(found) == jobs.MOST_FOUND
    assert costs == pytest.approx(sorted(costs), rel=1e-3)
    first = found[0]
    assert (first.latency, first.cpu, first.environment) == (0.03, 50.0, ENVIRONMENT)
    chosen = jobs.recommended(
        trial, OBJECTIVE, 2, Catalogue.load(), "us-east-1", job(types=("ml.m5.xlarge", "ml.g5.xlarge"))
    )
    assert [each.instance_type for each in chosen] == ["ml.m5.xlarge"]
    # 4 vCPUs at 500 requests a second each; 4 workers of 100 MiB beside 0.75 GiB in 16 GiB
    assert chosen[0].per_minute == 4 * 500 * 60
    assert chosen[0].memory == pytest.approx(100 * (0.75 + 400 / 1024) / 16, abs=0.01)


def test_nothing_to_recommend_is_said() -> None:
    with pytest.raises(Invalid, match=r"p95 within 50 ms; the nearest was 200\.0 ms"):
        jobs.recommended(
            MeasuredConfiguration(ONE, (probe(10, 0.2),)), OBJECTIVE, 2, Catalogue.load(), "us-east-1", job()
        )
    with pytest.raises(Invalid, match=r"no instance type among ml\.g5\.xlarge"):
        jobs.recommended(
            MeasuredConfiguration(ONE, (probe(10, 0.01),)),
            OBJECTIVE,
            2,
            Catalogue.load(),
            "us-east-1",
            job(types=("ml.g5.xlarge",)),
        )


@pytest.mark.parametrize("most", [10.0, 75.0, 1000.0])
def test_no_rate_above_the_most_is_looked_for(most: float) -> None:
    found = highest(
        ONE, lambda _, rate, __: probe(rate, 0.01), OBJECTIVE, min(50.0, most), SearchEffort(1.0), most
    )
    assert max(each.rate for each in found) == most
    assert len(found) <= 6


@pytest.mark.parametrize(("seconds", "load"), [(1, 0.3), (200, 1.0), (2700, 1.5)])
def test_loads_are_shorter_in_a_shorter_time(seconds: float, load: float) -> None:
    assert Effort.within(seconds).second.seconds == load
