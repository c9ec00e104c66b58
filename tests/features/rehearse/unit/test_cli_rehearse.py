"""``rehearse`` as a person runs it: the timeline, what guards detect, the outcome of many runs, and all of it."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli import plot_files
from tidegate.cli.app import app
from tidegate.domain.errors import Invalid
from tidegate.features.rehearse.promise import (
    Baseline,
    LabelFlow,
    Predictions,
    Quantity,
    VersionFault,
    expectations,
)

FRAUD = str(Path(__file__).parents[4] / "examples" / "fraud.yaml")
QUICK = """
endpoint: quick
model: {image: tidegate/xgboost, data: ./model.ubj}
rollout: {strategy: canary, size: 10%, wait: 5m, final_bake: 1m}
alarms:
  errors: {metric: Invocation5XXErrors, statistic: Average, above: 2%, period: 1m, periods: 2}
"""


@pytest.fixture
def quick(tmp_path: Path) -> str:
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK)
    return str(path)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None, done.exception
    return done.stdout


def test_a_promise_in_words_and_in_json(tmp_path: Path) -> None:
    drawn = tmp_path / "power.svg"
    words = run("rehearse", FRAUD, "--rps", "40", "--only", "detection", "--plot", str(drawn))
    assert "a successful rollout takes 3h 10m" in words
    assert "error-rate +1 %: detected in the first bake" in words
    assert "no alarm of the rollout watches prediction-shift" in words
    assert ET.parse(drawn).getroot().tag.endswith("svg")
    found = json.loads(run("rehearse", FRAUD, "--rps", "40", "--only", "detection", "--json"))
    assert found["kept"] is True
    assert found["seconds"] == 3 * 3_600 + 600 + 30
    assert [stage["share"] for stage in found["stages"]] == [25, 50, 75, 100]
    assert found["assumed"].startswith("latency of a good version not given")


def test_a_promise_that_is_not_kept_says_what_would_do(quick: str) -> None:
    words = run("rehearse", quick, "--rps", "40", "--only", "detection", "--see", "error-rate=2.5%")
    assert "error-rate +2.5 %: not detected" in words
    assert "proposal: an alarm on Average of Invocation5XXErrors at" in words
    found = json.loads(
        run("rehearse", quick, "--rps", "40", "--only", "detection", "--see", "error-rate=2.5%", "--json")
    )
    kinds = {one["what"]: one for one in found["wanted"][0]["proposals"]}
    assert found["kept"] is False
    assert kinds["bake"]["bake"] > 300
    assert kinds["canary"]["share"] > 10
    for one in kinds.values():
        assert one["power"] >= 0.95
        assert one["false_alarm"] <= 0.01


def test_a_rehearsal_in_words_and_in_json(quick: str, tmp_path: Path) -> None:
    drawn = tmp_path / "rehearsal.html"
    common = ("rehearse", quick, "--only", "runs", "--rps", "40", "--runs", "20", "--fault", "error-rate=30%")
    words = run(*common, "--plot", str(drawn))
    assert "bad versions rolled back: 20 of 20" in words
    assert "good versions rolled back by mistake: 0 of 20" in words
    assert drawn.read_text().startswith("<!doctype html>")
    found = json.loads(run(*common, "--json"))
    assert found["faulty"]["back"]["count"] == 20
    assert len(found["faulty"]["each_requests"]) == 20


GUARDED = QUICK.replace("alarms:", "evidence: {compare: [errors, paired], copies: 1m}\nalarms:")


@pytest.fixture
def guarded(tmp_path: Path) -> str:
    path = tmp_path / "guarded.yaml"
    path.write_text(GUARDED)
    return str(path)


def test_a_promise_says_what_each_kind_of_evidence_sees(guarded: str) -> None:
    common = ("rehearse", guarded, "--only", "detection", "--rps", "40", "--usual", "positive=0.001%")
    words = run(*common)
    assert "Kinds of evidence: the smallest harm that each one sees first, with 95 %" in words
    assert "1,200 pairs" in words
    assert "features: the model has no stages" in words
    assert "labels are rare" in words and "a replay of old" in words
    found = {one["kind"]: one for one in json.loads(run(*common, "--json"))["kinds"]}
    assert found["errors"]["smallest"] > 0
    assert found["latency"]["proposal"] == "evidence: {compare: [latency]}"


def test_a_rehearsal_shows_by_stage_which_comparison_spoke_and_when(guarded: str) -> None:
    common = (
        "rehearse",
        guarded,
        "--only",
        "runs",
        "--rps",
        "40",
        "--runs",
        "2",
        "--fault",
        "wrong-predictions=50%",
    )
    words = run(*common)
    assert "differences that evidence found in bad versions" in words
    assert "copies  paired (AllTraffic)" in words
    assert "verdict at the end of each stage, of good versions" in words
    assert "late labels are left out" in words
    found = json.loads(run(*common, "--json"))
    assert [(one["comparison"], one["stage"], one["count"]) for one in found["faulty"]["evidence"]["spoke"]] == [
        ("paired", 0, 2)
    ]
    assert any("taken to differ by" in one for one in found["evidence"])


def test_a_simulation_with_requests_has_the_verdict_of_each_stage(guarded: str) -> None:
    common = ("rehearse", guarded, "--only", "timeline", "--rps", "40", "--fault", "error-rate=30%")
    words = run(*common)
    assert "evidence by stage" in words and "RolledBack" not in words.split("evidence by stage")[1]
    found = json.loads(run(*common, "--json"))
    assert (found["run"]["cause"], found["phase"]) == ("Evidence", "RolledBack")
    assert [(one["stage"], one["finding"]) for one in found["run"]["findings"]][-1][1] == "fail"


def test_what_nothing_would_see_is_not_rehearsed(guarded: str, quick: str) -> None:
    for spec, fault, said in (
        (quick, "wrong-predictions=5%", "compare: [paired]"),
        (guarded, "changed-columns=5%", "[features]"),
        (guarded, "auc-loss=0.1", "labelled rows"),
    ):
        done = CliRunner().invoke(app, ["rehearse", spec, "--rps", "40", "--fault", fault])
        assert isinstance(done.exception, Invalid)
        assert said in str(done.exception)


def test_a_simulation_takes_alarms_or_requests_and_says_what_it_assumes(guarded: str) -> None:
    for options in (["--alarm", "errors@stage=1", "--rps", "40"], ["--fault", "error-rate=5%"]):
        assert isinstance(
            CliRunner().invoke(app, ["rehearse", "--only", "timeline", guarded, *options]).exception, Invalid
        )
    done = CliRunner().invoke(app, ["rehearse", "--only", "timeline", guarded])
    assert "evidence is assumed to find nothing worse" in done.stderr


def test_the_whole_report_has_all_parts_of_the_same_rollout(quick: str, tmp_path: Path) -> None:
    drawn = tmp_path / "report.svg"
    common = ("rehearse", quick, "--rps", "40", "--runs", "5", "--fault", "error-rate=30%", "--plot", str(drawn))
    words = run(*common)
    places = [words.index(title) for title in ("One rollout\n", "What the guards detect\n", "Many rollouts\n")]
    assert places == sorted(places) and words.count("a successful rollout takes") == 1
    assert "error-rate +30 %: detected in the first bake" in words, "the rehearsed fault is what is to be detected"
    assert max(map(len, words.splitlines())) <= 80
    assert drawn.read_text().count("<svg") == 1 and "One rollout" in drawn.read_text()
    found = json.loads(run(*common, "--json"))
    assert found["timeline"]["phase"] == "RolledBack" and found["faulty"]["back"]["count"] == 5
    assert found["detection"]["seconds"] == found["seconds"] and found["detection"]["wanted"][0]["size"] == 0.3
    for part, member in (("timeline", found["timeline"]), ("detection", found["detection"])):
        alone = json.loads(run(*common[:6], *common[6:8], "--only", part, "--json"))
        assert alone == {**member, "assumed": found["assumed"]}, part


def test_without_requests_there_is_the_timeline_alone(quick: str) -> None:
    found = json.loads(run("rehearse", quick, "--json"))
    assert (found["timeline"]["phase"], found["detection"]) == ("Succeeded", None)
    for options in (["--only", "detection"], ["--only", "runs"], ["--see", "error-rate=1%"]):
        done = CliRunner().invoke(app, ["rehearse", quick, *options])
        assert isinstance(done.exception, Invalid) and "--rps" in str(done.exception)
    assert CliRunner().invoke(app, ["rehearse", quick, "--only", "everything"]).exit_code == 2


def test_former_commands_do_what_they_did(quick: str) -> None:
    """For one release: the same JSON, and a hint on stderr."""
    for former, options, member in (
        ("simulate", ["--alarm", "errors@stage=1"], "moments"),
        ("simulate", ["--rps", "40", "--fault", "error-rate=30%"], "run"),
        ("promise", ["--rps", "40", "--see", "error-rate=2.5%"], "kept"),
    ):
        done = CliRunner().invoke(app, [former, quick, *options, "--json"])
        assert member in json.loads(done.stdout) and done.stderr.startswith(f"tidegate: {former} is now: ")


def test_a_shift_of_predictions_needs_to_know_the_usual_ones(quick: str) -> None:
    done = CliRunner().invoke(app, ["rehearse", quick, "--rps", "40", "--fault", "prediction-shift=0.2"])
    assert isinstance(done.exception, Invalid)
    assert "--usual mean" in str(done.exception)


def test_faults_as_text() -> None:
    many = ["error-rate=5%", "latency=+80ms", "prediction-shift=0.2", "refusal-rate=3%", "failed-start"]
    assert expectations.parse_fault(many) == VersionFault(0.05, 80_000, 0.2, 0.03, True)
    hidden = ["wrong-predictions=20%", "changed-columns=5%", "auc-loss=0.1", "no-data"]
    assert expectations.parse_fault(hidden) == VersionFault(
        wrong_predictions=0.2, changed_columns=0.05, auc_loss=0.1, no_data=True
    )
    labels = expectations.parse_baseline(["positive=0.5%", "labelled=20%", "label-delay=30d", "positives=300"])
    assert (labels.labels, labels.positives) == (LabelFlow(0.005, 0.2, 30 * 86_400), 300)
    assert expectations.parse_wanted(["latency=50ms"]) == {Quantity.LATENCY: 50_000}
    made = expectations.parse_baseline(["error-rate=0.1%", "p99=80ms", "p50=20ms", "mean=0.4", "deviation=0.1"])
    assert made.latency is not None
    assert made.latency.points == ((0.5, 20_000), (0.99, 80_000))
    assert (made.error_rate, made.predictions) == (0.001, Predictions(0.4, 0.1))
    assert expectations.parse_baseline(["error-rate=0", "refusal-rate=2%"]) == Baseline(0.0, refusal_rate=0.02)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eror-rate=5%", "did you mean 'error-rate'"),
        ("error-rate", "expected something like"),
        ("error-rate=500%", "from 0% to 100%"),
        ("error-rate=much", "is not a number"),
        ("latency=80", "add a unit"),
        ("prediction-shift=nan", "is not a number"),
    ],
)
def test_faults_that_cannot_be_meant(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        expectations.parse_fault([text])


@pytest.mark.parametrize("text", ["20ms", "p50=x", "q50=20ms", "p=20ms", "p50=20ms", "mean=1", "deviation=1"])
def test_usual_ways_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(Invalid):
        expectations.parse_baseline([text])


def test_a_plot_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"\.svg, \.html or \.png"):
        plot_files.check_path(tmp_path / "plot.gif")
    with pytest.raises(Invalid, match="there is no folder"):
        plot_files.check_path(tmp_path / "nowhere" / "plot.svg")


def test_a_title_cannot_break_out_of_a_figure() -> None:
    bars = plot_files.histogram("<script>", "x", "y", [1.0, 2.0], [(1.0, "50 %")])
    assert "<script>" not in plot_files.render_svg('a"b', [bars])
    assert ET.fromstring(plot_files.render_svg('a"b', [bars])).get("aria-label") == 'a"b'
