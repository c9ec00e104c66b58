"""``plan`` as a person runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.app import app
from tidegate.domain.errors import Invalid
from tidegate.features.planner import planning as planner
from tidegate.spec import yaml_text

ANSWERS = "name: fraud\nrate: 20\nlatency: 100ms\ncriticality: high\n"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder, where answers are kept."""
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def run(*arguments: str, answers: str = "") -> tuple[str, str]:
    """What came to stdout and to stderr."""
    done = CliRunner().invoke(app, ["plan", *arguments], input=answers, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def refused(*arguments: str, answers: str = "") -> str:
    with pytest.raises(Invalid) as raised:
        CliRunner().invoke(app, ["plan", *arguments], input=answers, catch_exceptions=False)
    return raised.value.message


def test_an_example_in_words() -> None:
    shown, _ = run("--example", "payroll-fraud", "--why")
    assert "ml.c5.xlarge" in shown and "Linear: 50 % (1 of 2 instances) steps" in shown
    assert "Is a response needed for each individual request? yes" in shown
    assert "ModelLatency p99 above 100ms, 2 of 3 periods of 1m" in shown


def test_a_refusal_in_json_has_the_changes_that_would_make_a_plan() -> None:
    given = ["plan", "--example", "payroll-fraud", "--set", "payload=1 GB", "--json"]
    done = CliRunner().invoke(app, given)
    refusal = json.loads(done.stdout)["error"]
    assert isinstance(done.exception, Invalid) and refusal["message"] == done.exception.message
    assert refusal["code"] == "Invalid" and refusal["relaxations"]
    assert all(one["changes"] and one["month"] > 0 and one["say"] for one in refusal["relaxations"])


def test_answers_from_a_file_with_one_changed(tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(ANSWERS)
    told = json.loads(run("--answers", str(file), "--set", "criticality=low", "--set", "spot=no", "--json")[0])
    assert told["answers"]["criticality"] == "low" and told["strategy"]["kind"] == "all_at_once"
    assert told["answers"]["rate"] == 20
    file.write_text("- 1\n")
    assert "expected keys and values" in refused("--answers", str(file))
    file.write_text("rate: [\n")
    assert f"{file}:" in refused("--answers", str(file))
    assert "expected KEY=VALUE" in refused("--answers", str(file), "--set", "rate")
    assert "not both" in refused("--answers", str(file), "--example", "assist")


ALWAYS_ASKED = ["fraud", "", "100ms", "95", "", "high", "", "tabular", ""]
"""Name, individual answers, latency, rate, pattern, criticality, harm, kind of model and frameworks."""
DECISIVE = ["", "20ms", "", "payroll", ""]
"""Payload, processing time, its 99th percentile, shape and region."""


def typed(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_it_asks_where_nothing_is_given() -> None:
    lines = ["fraud", "", "100 parsecs", "100ms", "", "95", "", "high", "money", "", "tabular", ""]
    shown, asked = run("--json", answers=typed(*lines, *DECISIVE))
    told = json.loads(shown)
    assert told["answers"]["latency"] == 0.1 and told["answers"]["shape"] == "payroll"
    assert told["mode"] == "real_time" and told["size"]["max"] == 10
    assert "latency: '100 parsecs': expected a time with its unit" in asked
    assert "harm: 'money': 'money' is not understood; say it like one missed fraud" in asked
    assert "rate: this has to be answered" in asked
    assert "payroll: working hours" in asked, "choices are explained"
    assert "Spot" not in asked, "further questions are asked of those who want them"
    assert "1 of 9. What is the endpoint" in asked


def test_it_asks_what_decides_and_says_why_and_what_it_took_instead_of_an_answer() -> None:
    shown, asked = run("--why", answers=typed(*ALWAYS_ASKED, *DECISIVE))
    assert "10 of 13. How large is the largest request" in asked, "the count grows with what decides"
    assert "without an answer 5 ms; from 25 ms it is real time on 2 to 3 x ml.c5.xlarge" in asked
    assert "12 of 14. Within what time are 99 of 100 requests" in asked, "an answer may bring another question"
    assert "Do people see its answers" not in asked, "what is critical has the same rollout either way"
    told = " ".join(shown.split())
    assert "user_facing is taken to be no; the plan is the same whatever the answer" in told
    assert "as of trees and linear models; the plan is the same from 20 MB to 2 GB" in told


def test_a_question_that_does_not_decide_can_be_answered_at_any_prompt() -> None:
    lines = [*ALWAYS_ASKED, "model_size=3 GB", "models=3", "", "20ms", "back", "30ms", "", "payroll", ""]
    shown, asked = run("--json", answers=typed(*lines))
    told = json.loads(shown)["answers"]
    assert (told["model_size"], told["processing_time"]) == (3e9, 0.03)
    assert "payload: 'models=3': expected an amount" in asked, "it names no question"
    assert not [one for one in json.loads(shown)["assumptions"] if one.startswith("model_size")]


def test_answers_survive_an_interruption_and_are_gone_back_to(state: Path) -> None:
    lines = ["fraud", "", "1s", "back", "100ms", "?", "95", *ALWAYS_ASKED[4:], "16 KB"]
    message = refused("--json", answers=typed(*lines))
    assert "'tidegate plan --continue' goes on" in message and (state / "plan-answers.json").exists()
    shown, asked = run("--continue", "--json", answers=typed(*DECISIVE[1:]))
    told = json.loads(shown)["answers"]
    assert (told["name"], told["latency"], told["payload"]) == ("fraud", 0.1, 16_000)
    assert "11 of 13. How long does the model work" in asked, "what was answered is not asked again"


def test_a_contradiction_is_raised_where_it_arises() -> None:
    lines = [*ALWAYS_ASKED, "", "200ms", *DECISIVE[1:]]
    _, asked = run("--json", answers=typed(*lines))
    before, _, after = asked.partition("the model works 200 ms on a request")
    assert "11 of 13" in before and "11 of 13" in after, "the same question is asked again"


def test_an_answer_that_is_given_again_is_kept_if_the_new_one_is_refused_and_is_the_last_one_if_not() -> None:
    lines = [
        *ALWAYS_ASKED,
        "",
        "20ms",
        "processing_time=200ms",
        "payload=32 KB",
        "back",
        "16 KB",
        "",
        "payroll",
        "",
    ]
    shown, asked = run("--json", answers=typed(*lines))
    told = json.loads(shown)["answers"]
    assert "the model works 200 ms on a request" in asked
    assert (told["processing_time"], told["payload"]) == (0.02, 16_000)


def test_nothing_is_continued_where_nothing_was_begun() -> None:
    assert "start with 'tidegate plan'" in refused("--continue")


def test_a_path_in_a_plan_is_relative_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    run("--example", "payroll-fraud", "--model", "model.tar.gz", "--out", "plans/plan.yaml")
    spec = yaml_text.load((tmp_path / "plans/plan.yaml").read_text()).data
    assert isinstance(spec, dict) and spec["model"]["data"] == "../model.tar.gz"


def test_further_questions_and_nobody_to_answer() -> None:
    _, asked = run("--all", "--json", answers=typed("job", "no", "1000") + "\n" * 40)
    assert "Spot" in asked and "How many such jobs" in asked and "ordinary busy hour" not in asked
    assert "give --answers or --example" in refused(answers="fraud\n")
    assert "name" not in run("--set", "name=x", answers="\n\n5\n" + "\n" * 40)[1].partition("?")[0]


def test_the_spec_is_written_with_its_reasons(tmp_path: Path) -> None:
    out = tmp_path / "plan.yaml"
    model = tmp_path / "model.ubj"
    model.write_bytes(b"")
    _, told = run("--example", "payroll-fraud", "--model", str(model), "--out", str(out))
    assert f"wrote {out}: tidegate deploy {out}" in told and "put in" not in told
    data = yaml_text.load(out.read_text()).data
    assert isinstance(data, dict) and data["model"]["data"] == model.as_uri()
    assert "# Deployment Strategy: Linear" in out.read_text()
    _, told = run("--example", "monthly-attrition", "--out", str(out))
    assert "tidegate batch" in told and "once your model data is put in" in told
    assert "No such file" in refused("--example", "assist", "--out", str(tmp_path / "no" / "plan.yaml"))


def test_model_data_of_several_containers() -> None:
    given = ["--model", "xgboost=s3://m/a.tar.gz", "--model", "shap=s3://m/b.tar.gz"]
    told = json.loads(run("--example", "salary-explained", *given, "--json")[0])
    assert [one["data"] for one in told["spec"]["containers"]] == ["s3://m/a.tar.gz", "s3://m/b.tar.gz"]
    assert "NAME is one of xgboost, shap" in refused("--example", "salary-explained", "--model", "s3://m/a")
    assert "there is one model" in refused("--example", "assist", "--model", "a", "--model", "b")


@pytest.mark.parametrize("name", planner.examples())
def test_every_example_is_shown(name: str) -> None:
    shown, _ = run("--example", name)
    assert "Estimated Cost" in shown
