"""The commands as a person runs them: words, JSON, one-line errors, exit statuses. No platform is needed here;
where a server must answer, a stub stands in for it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.cli.stub_server import alarm_document, found, stub
from tidegate import __version__
from tidegate.cli.app import app
from tidegate.host.platform import free_port
from tidegate.serving.front import event_stream

EXAMPLES = Path(__file__).parents[3] / "examples"
MINIMAL = "endpoint: e\nmodel: {image: tidegate/xgboost, data: ./model.ubj}\n"


def tidegate(
    *arguments: str, before: Sequence[str] = (), **environment: str | None
) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
    url = nowhere()  # the default port may be another tidegate's
    port = url.rpartition(":")[2]
    given = {**kept, "TIDEGATE_URL": url, "TIDEGATE_PORT": port, "COLUMNS": "160", **environment}
    return subprocess.run(
        [*before, sys.executable, "-m", "tidegate.cli", *arguments],
        env={name: value for name, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


def nowhere() -> str:
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def one_line(done: "subprocess.CompletedProcess[str]", code: int = 1) -> str:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_names_every_command_and_each_has_an_example() -> None:
    def shown(*arguments: str) -> str:
        return CliRunner().invoke(app, [*arguments, "--help"], prog_name="tidegate").output

    named = ("up", "down", "deploy", "status", "invoke", "rehearse", "logs", "compare", "delete")
    for command in named:
        assert re.search(rf"^  {command}(, ls)? ", shown(), re.MULTILINE)
        assert "tidegate " + command in shown(command).partition("Example")[2]
    for command in ("watch", "pause", "resume", "abort", "promote", "retry", "undo", "history", "status"):
        assert f"tidegate rollout {command} fraud" in shown("rollout", command)


def test_wrong_usage_has_exit_status_2() -> None:
    assert tidegate("frobnicate").returncode == 2
    assert tidegate("status", "--frobnicate").returncode == 2
    assert tidegate("deploy").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("logs", "e"),
        ("show", "alarms"),
        ("delete", "e"),
        ("rollout", "pause", "e"),
        ("invoke", "e"),
    ],
)
def test_without_a_server_one_line_says_what_to_do(arguments: tuple[str, ...]) -> None:
    line = one_line(tidegate(*arguments, "--json"))
    assert "start it with 'tidegate up', or set TIDEGATE_URL" in line


def test_a_server_that_answers_oddly_is_told_apart() -> None:
    with stub({}) as (url, _):
        assert "answered 503 without a reason" in one_line(tidegate("status", TIDEGATE_URL=url))


def test_the_servers_own_words_reach_the_person() -> None:
    error = {"error": {"code": "NotFound", "message": 'there is no endpoint "e"'}}
    with stub({"/tidegate/v1/endpoints/e": (404, json.dumps(error).encode())}) as (url, _):
        assert one_line(tidegate("status", "e", TIDEGATE_URL=url)) == 'tidegate: there is no endpoint "e"'


def test_a_bad_address_is_refused() -> None:
    assert "is not an address" in one_line(tidegate("status", TIDEGATE_URL="8471"))


def test_down_where_nothing_runs_is_fine() -> None:
    done = tidegate("down", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"status": "not running"})


def test_version_with_and_without_a_server() -> None:
    assert tidegate("--version").stdout == f"tidegate {__version__}\n"
    done = tidegate("server", "version", "--json")
    assert json.loads(done.stdout) == {"version": __version__, "server": None}
    answer = {"version": "9.9", "host": "h", "port": 1, "state": "/s"}
    with stub({"/tidegate/v1/version": (200, json.dumps(answer).encode())}) as (url, _):
        assert (
            tidegate("server", "version", TIDEGATE_URL=url).stdout
            == f"tidegate {__version__}, server 9.9 at {url}\n"
        )


def test_requests_are_signed_when_there_are_keys() -> None:
    with stub({"/tidegate/v1/endpoints": (200, b'{"endpoints": []}')}) as (url, seen):
        tidegate("status", TIDEGATE_URL=url)
        keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret-secret", "AWS_REGION": "eu-west-1"}
        tidegate("status", TIDEGATE_URL=url, **keys)
    plain, signed = (one["headers"] for one in seen)
    assert "Authorization" not in plain
    assert signed["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-west-1/sagemaker/aws4_request" in signed["Authorization"]


def test_deploy_sends_absolute_paths_and_fingerprints(tmp_path: Path) -> None:
    (tmp_path / "model.ubj").write_bytes(b"model")
    (tmp_path / "e.yaml").write_text(MINIMAL)
    done = {"endpoint": "e", "config": "e-1", "change": "created", "message": 'endpoint "e" is being created'}
    with stub({"/tidegate/v1/deploy": (200, json.dumps(done).encode())}) as (url, seen):
        result = tidegate("deploy", str(tmp_path / "e.yaml"), "--override", TIDEGATE_URL=url)
    assert result.stdout == 'endpoint "e" is being created (config e-1, created)\n'
    asked = json.loads(seen[0]["body"])
    assert asked["override"] is True and asked["supersede"] is False and asked["by"]
    assert asked["spec"]["model"]["data"] == f"file://{tmp_path}/model.ubj"
    assert asked["spec"]["model"]["fingerprint"].startswith("sha256-")


def test_deploy_says_where_the_spec_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(MINIMAL + "rollout: {strategy: cannary}\n")
    (tmp_path / "model.ubj").write_bytes(b"")
    line = one_line(tidegate("deploy", str(path)))
    assert line == f"tidegate: {path}:3: rollout.strategy: unknown strategy 'cannary', did you mean 'canary'?"


def test_deploy_says_that_model_data_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(MINIMAL)
    line = one_line(tidegate("deploy", str(path)))
    assert line == f"tidegate: {path}:2: model data {tmp_path}/model.ubj: No such file or directory"


def test_deploy_of_what_is_no_file_or_no_text(tmp_path: Path) -> None:
    assert one_line(tidegate("deploy", str(tmp_path))).endswith("Is a directory")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert one_line(tidegate("deploy", str(tmp_path / "binary"))).endswith("not UTF-8 text")


def test_invoke_passes_the_answer_on_as_it_is() -> None:
    with stub({"/endpoints/e/invocations": (200, b"0.25")}) as (url, seen):
        assert tidegate("invoke", "e", "--body", "1,2", "--variant", "v", TIDEGATE_URL=url).stdout == "0.25"
        told = json.loads(tidegate("invoke", "e", "--body", "1,2", "--json", TIDEGATE_URL=url).stdout)
    assert (told["status"], told["body"]) == (200, "0.25")
    assert seen[0]["body"] == b"1,2"
    assert seen[0]["headers"]["X-Amzn-SageMaker-Target-Variant"] == "v"


def test_invoke_prints_a_stream_part_by_part() -> None:
    path = "/endpoints/e/invocations-response-stream"
    parts = b"".join(message for part in (b"one ", b"two\n") for message in event_stream.payload_parts(part))
    with stub({path: (200, parts)}) as (url, seen):
        done = tidegate("invoke", "e", "--stream", "--body", "1", "--accept", "text/plain", TIDEGATE_URL=url)
        assert (done.returncode, done.stdout) == (0, "one two\n")
        assert seen[-1]["headers"]["X-Amzn-SageMaker-Accept"] == "text/plain"
    with stub({path: (200, parts + event_stream.failure("StreamBroken", "the model fell over"))}) as (url, _):
        broken = tidegate("invoke", "e", "--stream", "--body", "1", TIDEGATE_URL=url)
        assert (broken.returncode, broken.stdout) == (1, "one two\n")
        assert "StreamBroken): the model fell over" in broken.stderr
    with stub({path: (424, b'{"Message": "no good", "OriginalMessage": "worse"}')}) as (url, _):
        line = one_line(tidegate("invoke", "e", "--stream", "--body", "1", TIDEGATE_URL=url))
        assert line == "tidegate: 424: no good (the model said: worse)"
    assert "exclude each other" in one_line(tidegate("invoke", "e", "--stream", "--json"))


def test_invoke_says_what_the_model_said() -> None:
    body = json.dumps({"Message": "Received server error (500)", "OriginalMessage": "boom"}).encode()
    with stub({"/endpoints/e/invocations": (424, body)}) as (url, _):
        line = one_line(tidegate("invoke", "e", "--body", "1", TIDEGATE_URL=url))
    assert line == "tidegate: 424: Received server error (500) (the model said: boom)"


def test_shadow_shows_both_sides_and_says_how_they_agree() -> None:
    side = {"requests": 1200.0, "errors": 0.0, "p50_ms": 0.61, "p99_ms": 1.5}
    one = {
        **{"config": "fraud-1", "variant": "AllTraffic", "shadow": "shadow", "share": 20.0, "copies": 240.0},
        **{"failed": 3.0, "dropped": 2.0, "compared": 237.0, "agreement": 0.9873, "mean_difference": 0.00251},
        **{
            "with_numbers": 237.0,
            "largest_difference": 0.25,
            "original": side,
            "copied": {**side, "requests": 240.0, "errors": 0.0125},
        },
    }
    document = {"seconds": 600, "kept": "/state/shadow/fraud", "comparisons": [one]}
    answers = {"/tidegate/v1/endpoints/fraud/shadow": (200, json.dumps(document).encode())}
    with stub(answers) as (url, seen):
        shown = tidegate("compare", "--shadow", "fraud", "--last", "10m", TIDEGATE_URL=url)
        told = tidegate("compare", "--shadow", "fraud", "--json", TIDEGATE_URL=url)
    assert [request["path"].partition("?")[2] for request in seen] == ["seconds=600", "seconds=3600"]
    assert json.loads(told.stdout) == document
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["AllTraffic", "fraud-1", "1,200", "0", "%", "0.61", "ms", "1.50", "ms"] in rows
    assert ["shadow", "(shadow)", "fraud-1", "240", "1.25", "%", "0.61", "ms", "1.50", "ms"] in rows
    assert "20 % copied: 240 copies, 3 failed, 2 dropped; 98.73 % of 237 pairs agree" in shown.stdout
    assert "difference 0.00251 on average, 0.25 at most" in shown.stdout
    assert "/state/shadow/fraud" in shown.stdout


def test_capture_shows_what_was_written_and_what_was_dropped() -> None:
    one = {
        **{"config": "fraud-1", "variant": "AllTraffic", "destination": "s3://captures/fraud", "percent": 20},
        **{"sides": ["input", "output"], "redacted": True, "captured": 1204.0, "dropped": 3.0, "backlog": 1250.0},
    }
    document = {"seconds": 600, "captures": [one]}
    answers = {"/tidegate/v1/endpoints/fraud/capture": (200, json.dumps(document).encode())}
    with stub(answers) as (url, seen):
        shown = tidegate("show", "capture", "fraud", "--last", "10m", TIDEGATE_URL=url)
        told = tidegate("show", "capture", "fraud", "--json", TIDEGATE_URL=url)
    assert [request["path"].partition("?")[2] for request in seen] == ["seconds=600", "seconds=3600"]
    assert json.loads(told.stdout) == document
    words = shown.stdout.split()
    assert words[:6] == ["VARIANT", "CONFIG", "SAMPLE", "CAPTURED", "DROPPED", "WAITING"]
    assert "AllTraffic fraud-1 20 % 1,204 3 1.2 KiB" in " ".join(words)
    assert "s3://captures/fraud (input and output, redacted)" in " ".join(words)


def test_up_says_that_the_state_folder_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = one_line(tidegate("up", "--detach", "--state", str(tmp_path / "file" / "state"), "--port", "1"))
    assert line.startswith(f"tidegate: state folder {tmp_path}/file/state cannot be used: Not a directory")


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may read everything")
def test_what_may_not_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    """For root only without the capabilities that let it read everything."""
    held_back = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    secret = tmp_path / "secret"
    secret.mkdir()
    spec = secret / "spec.yaml"
    spec.write_text(MINIMAL)
    spec.chmod(0)
    for arguments in (("deploy", str(spec)), ("invoke", "e", "--file", str(spec))):
        assert one_line(tidegate(*arguments, before=held_back)) == f"tidegate: {spec}: Permission denied"
    secret.chmod(0)
    said = one_line(tidegate("up", "--detach", "--state", str(secret), before=held_back))
    assert (
        said == f"tidegate: state folder {secret} cannot be used: Permission denied; choose another with --state"
    )
    secret.chmod(0o700)


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_up_says_that_a_port_cannot_be(tmp_path: Path, port: str) -> None:
    said = f"tidegate: port {port} cannot be used: choose one from 1 to 65535"
    assert one_line(tidegate("up", "--state", str(tmp_path), "--port", port)) == said
    assert one_line(tidegate("up", "--state", str(tmp_path), TIDEGATE_PORT=port)) == said


def test_up_says_that_another_server_answers_there(tmp_path: Path) -> None:
    with stub({"/healthz": (200, b"{}")}) as (url, _):
        port = url.rpartition(":")[2]
        line = one_line(tidegate("up", "--detach", "--state", str(tmp_path), "--port", port))
    assert "answers at" in line and "--port" in line


def test_a_setting_that_cannot_be_used_is_named() -> None:
    line = one_line(tidegate("up", "--detach", TIDEGATE_PORT="eighty"))
    assert line.startswith("tidegate: TIDEGATE_PORT='eighty' cannot be used")


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_simulates_to_success(example: Path) -> None:
    done = tidegate("rehearse", "--only", "timeline", str(example), "--json")
    assert done.returncode == 0, done.stderr
    timeline = json.loads(done.stdout)
    assert timeline["phase"] == "Succeeded"
    assert timeline["moments"][-1]["share"] == 10_000


def test_a_simulated_alarm_turns_the_rollout_back() -> None:
    fraud = str(EXAMPLES / "fraud.yaml")
    timeline = json.loads(
        tidegate("rehearse", "--only", "timeline", fraud, "--alarm", "errors@stage=2", "--json").stdout
    )
    assert timeline["phase"] == "RolledBack"
    assert timeline["reason"].endswith("-errors] in ALARM state during baking.")
    assert max(moment["share"] for moment in timeline["moments"]) == 5_000
    late = json.loads(tidegate("rehearse", "--only", "timeline", fraud, "--alarm", "slow@90m", "--json").stdout)
    assert 5_400 <= late["seconds"] < 5_500
    words = tidegate("rehearse", "--only", "timeline", fraud, "--alarm", "slow@90m").stdout
    assert "RolledBack after 1:30:" in words and "█" not in words, "a plot is for a terminal"


@pytest.mark.parametrize(
    ("alarm", "said"),
    [
        ("errors", "expected KEY@stage=N or KEY@TIME"),
        ("erors@1h", "unknown alarm 'erors', did you mean 'errors'?"),
        ("errors@stage=x", "expected a time such as"),
    ],
)
def test_a_wrong_alarm_of_a_simulation(alarm: str, said: str) -> None:
    assert said in one_line(
        tidegate("rehearse", "--only", "timeline", str(EXAMPLES / "fraud.yaml"), "--alarm", alarm)
    )


@pytest.mark.parametrize("alarm", ["errors@stage=9", "errors@300d"])
def test_an_alarm_that_comes_too_late_is_told(alarm: str) -> None:
    done = tidegate("rehearse", "--only", "timeline", str(EXAMPLES / "fraud.yaml"), "--alarm", alarm, "--json")
    assert (done.returncode, json.loads(done.stdout)["phase"]) == (0, "Succeeded")
    assert done.stderr.startswith("no --alarm fired before the rollout ended: it has 4 stage(s) and takes ")


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_a_name_that_would_be_another_path_is_refused(name: str) -> None:
    for arguments in (("status", name), ("invoke", name, "--body", "1"), ("rollout", "pause", name)):
        assert one_line(tidegate(*arguments)).startswith(f"tidegate: invalid endpoint name {name!r}: names are")


def test_logs_say_that_there_is_no_such_replica() -> None:
    logs = {"replicas": [{"replica": "r-12", "lines": ["x"]}]}
    with stub({"/tidegate/v1/endpoints/e/logs": (200, json.dumps(logs).encode())}) as (url, _):
        line = one_line(tidegate("logs", "e", "--replica", "r-13", TIDEGATE_URL=url))
        assert line == "tidegate: there is no log of replica 'r-13', did you mean 'r-12'?"
        assert tidegate("logs", "e", "--replica", "r-12", TIDEGATE_URL=url).stdout == "r-12 | x\n"


def test_models_are_shown_by_instance() -> None:
    model = {"name": "acme.tar.gz", "state": "loaded", "bytes": 20_000, "requests_per_second": 1.25}
    model |= {"pinned": True, "version": "1", "reason": ""}
    answers = {"requests": 40, "errors": 1, "p50_ms": 1.2, "p99_ms": 30.0, "seconds_since_last": 5.0}
    model |= {"answers": answers}
    first = {"replica": "r-1", "memory": 2**30, "held": 20_000, "resident": 0, "loaded": 1, "models": [model]}
    page = json.dumps({"replicas": [first, {"replica": "r-2"}]}).encode()
    with stub({"/tidegate/v1/endpoints/e/models": (200, page)}) as (url, seen):
        rows = tidegate("show", "models", "e", "--limit", "5", TIDEGATE_URL=url).stdout.splitlines()
        assert (
            json.loads(tidegate("show", "models", "e", "--json", TIDEGATE_URL=url).stdout)["replicas"][0] == first
        )
    assert seen[0]["path"].endswith("/models?limit=5")
    assert rows[1].split() == ["r-1", "(1", "loaded)", "19.5", "KiB/1.0", "GiB"]
    assert rows[2].split()[:6] == ["acme.tar.gz", "loaded,", "pinned", "19.5", "KiB", "1.25"]
    assert rows[2].split()[6:] == ["1.2/30", "ms", "2.5%", "5s", "ago"]
    assert rows[3].split() == ["r-2", "(no", "response)"]


def test_an_endpoint_of_one_model_each_says_so() -> None:
    with stub({"/tidegate/v1/endpoints/e/models": (200, b'{"replicas": []}')}) as (url, _):
        done = tidegate("show", "models", "e", TIDEGATE_URL=url)
    assert done.stdout == 'no instance of endpoint "e" serves multiple models\n'


def test_watching_an_endpoint_at_rest_says_so() -> None:
    endpoint = {"name": "e", "status": "InService", "why": "e-1 serves", "rollout": None, "config": "e-1"}
    answers = {
        "/tidegate/v1/endpoints/e": (200, json.dumps(endpoint).encode()),
        "/tidegate/v1/endpoints/e/events": (200, b'{"events": [], "next": 0}'),
    }
    with stub(answers) as (url, _):
        done = tidegate("rollout", "watch", "e", TIDEGATE_URL=url)
    assert (done.returncode, done.stderr) == (0, 'endpoint "e" has no rollout in progress: e-1 serves\n')


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    name, reason = "e-1-" + "x" * 50, "because " * 40 + "of this"
    alarm = alarm_document(name, "ALARM", state_reason=reason)
    with stub({"/tidegate/v1/alarms": found({"alarms": [alarm]})}) as (url, _):
        shown = tidegate("show", "alarms", TIDEGATE_URL=url, COLUMNS=None).stdout
    assert name in shown and reason in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_the_schema_is_json() -> None:
    assert json.loads(tidegate("spec", "schema").stdout)["title"] == "tidegate spec file"
