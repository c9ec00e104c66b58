"""Command lines of the documentation, in the order of their page, with the files that they need."""

import json
import os
import re
import shlex
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.documentation import ROOT, read_page
from tidegate.cli.commands import ENTRIES

OWN = ("README.md", "getting-started.md", "ci-cd.md", "lab.md", "fastapi.md")
"""Pages that are run on a server of their own, which they start and stop."""
FENCE = re.compile(r"^```(\w*)(?: ([\w.-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("tidegate", "make", "pip", "python", "python3", "aws", "curl", "sudo", "systemctl")
COMMAND = re.compile(rf"^(?:[A-Z_]+=\S+ )*(?:{'|'.join(PROGRAMS)}) ")
SPAN = re.compile(r"`((?:[A-Z_]+=\S+ )*tidegate [a-z][^`|]*)`")
COMMAND_NAMES = {"tidegate compare --shadow", *(f"tidegate {entry.name}" for _, entry in ENTRIES)}
"""Of two words, too: a sentence may name a command of a group."""
PLACEHOLDER = re.compile(r"(?<![\w=])[A-Z][A-Z_]+(?![\w=])")

AWS = "asks AWS itself"
S3 = "needs an S3: tests/features/batch/integration/test_platform_transform.py has one"
CLUSTER = "asks a cluster: tests/kubernetes has one"
FAKE_AWS = "asks AWS itself: tests/unit/targets has a fake"
RECORDED = "needs a rollout that ended: tests/features/release_record/integration has one"
COMPARED = "needs a rollout under load: tests/features/evidence/integration/test_platform_evidence.py has one"
ASKS = "asks a person for a password: tests/unit/cli/test_cli_access.py pipes one"
TRACED = (
    "needs a collector: tests/features/tracing/integration/test_platform_tracing.py has one, and sends the same"
)
PART = "names the command in a sentence, without its arguments"
EXAMPLE = (
    "needs what the machine may not have: "
    "tests/features/examples/integration/test_platform_examples.py runs it where it can"
)
LIVE = (
    "runs for half a minute: tests/features/lessons/integration/test_platform_live_challenges.py waits for its end"
)
NOT_RUN: Mapping[str, str] = {
    "tidegate learn start incident": LIVE,
    "tidegate learn stop incident": LIVE,
    "python tidegate-examples/assist/client.py assist": EXAMPLE,
    "TIDEGATE_TRUST=code tidegate up --detach": "starts such a server: runtimes.md has the same",
    "tidegate examples up document-ocr --version better": EXAMPLE,
    "python tidegate-examples/document-ocr/client.py document-ocr": EXAMPLE,
    "tidegate queue show document-ocr": EXAMPLE,
    "tidegate cost prices update": AWS,
    "tidegate cost prices update --region eu-central-1": AWS,
    "tidegate recommend --on sagemaker --role arn:aws:iam::123456789012:role/sagemaker --model fraud "
    "--sample s3://data/samples.tar.gz --slo p95=50ms --rps 300 --with types=ml.c5.large,ml.m5.large": AWS,
    "tidegate recommend --model model.tar.gz --sample rows.csv --slo p99=50ms --rps 300": (
        "measures for minutes: test_platform_recommend.py does so for less long"
    ),
    "TIDEGATE_MLFLOW_URL=http://mlflow.internal:5000 TIDEGATE_SECRETS=/etc/tidegate/secrets tidegate up": (
        "asks an MLflow server: tests/features/model_registry/integration has one"
    ),
    "tidegate batch fraud.yaml s3://data/in/ s3://data/out/ --join --on-bad-rows errors": S3,
    "tidegate batch fraud.yaml s3://data/in/ s3://data/out/ --name nightly": S3,
    "tidegate batch resume nightly": S3,
    "tidegate batch plan.yaml": (
        "needs a planned job: tests/features/planner/integration/test_platform_planner.py runs one"
    ),
    "tidegate plan": "asks a person: tests/features/planner/unit/test_cli_plan.py answers",
    "tidegate plan --json": "asks a person: tests/features/planner/unit/test_cli_plan.py answers",
    "tidegate plan --from payroll-fraud --answers answers.yaml": (
        "needs an endpoint that has answered: tests/features/planner/integration/test_platform_planner.py has one"
    ),
    "tidegate plan --continue": "asks a person: tests/features/planner/unit/test_cli_plan.py answers",
    "pip install '.[otel]'": "needs a package index; the tests' environment has it",
    "TIDEGATE_TRACE_ENDPOINT=http://127.0.0.1:4318 tidegate up --detach": TRACED,
    "curl http://127.0.0.1:8471/endpoints/fraud/invocations -H 'content-type: text/csv' "
    "--data 9.6,0.17,1,1,603,1,1.7,0,1,2 "
    "-H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'": TRACED,
    "tidegate server backup /backups/tidegate-$(date +%F).backup": "needs a folder; another page backs up",
    "pip install 'tidegate[aws]'": "needs a package index; make wheel installs",
    "tidegate drift schedule show fraud": ("needs captures to look at: test_platform_drift.py has some"),
    "tidegate target doctor --target ecs": FAKE_AWS,
    "tidegate target doctor --target lambda": FAKE_AWS,
    "tidegate target doctor fraud.yaml --target lambda": FAKE_AWS,
    "tidegate target doctor fraud.yaml --target sagemaker": FAKE_AWS,
    "tidegate deploy fraud.yaml --target sagemaker": FAKE_AWS,
    "tidegate direct deploy fraud.yaml --target sagemaker --smoke row.csv": FAKE_AWS,
    "tidegate direct status fraud --target sagemaker": FAKE_AWS,
    "tidegate direct abort fraud --target sagemaker": FAKE_AWS,
    "tidegate direct history fraud --target sagemaker": FAKE_AWS,
    "tidegate direct diff fraud.yaml --target sagemaker": FAKE_AWS,
    "tidegate direct logs fraud --target sagemaker": FAKE_AWS,
    "tidegate direct delete fraud --target sagemaker": FAKE_AWS,
    "tidegate target doctor --target kubernetes": CLUSTER,
    "tidegate target uninstall --target kubernetes --targets targets.yaml": CLUSTER,
    "tidegate access user add alice --role admin": ASKS,
    "tidegate access user password alice": ASKS,
    "tidegate access token revoke 0f1e2d3c4b5a": (
        "names a token that only an example has: test_cli_access.py revokes one"
    ),
    "tidegate rollout record export fraud > release.json": RECORDED,
    "tidegate rollout record key": RECORDED,
    "make image PYTHON=python3.13 BASE=python@sha256:... EXTRAS=xgboost,postgres IMAGE=tidegate": (
        "downloads wheels: tests/kubernetes/image.py does so"
    ),
    "tidegate rollout record verify release.json --key PUBLIC_KEY": RECORDED,
    "tidegate rollout record verify release.json --html release.html": RECORDED,
    "pip install 'tidegate[oidc]'": "needs a package index; make wheel installs",
    "tidegate compare --endpoint fraud --candidate candidate.tar.gz --captured last-7d": (
        "needs an endpoint that has captured for a while: test_cli_compare.py compares on its captures"
    ),
    "tidegate rollout evidence show fraud": COMPARED,
    "tidegate rollout evidence show fraud --json > evidence.json": COMPARED,
    "tidegate rollout evidence verify evidence.json": COMPARED,
    "tidegate rollout evidence show fraud --html evidence.html --png evidence.png": COMPARED,
    "tidegate rollout evidence label chat": "needs judged pairs: test_platform_judged_texts.py labels one",
    "tidegate labels measure fraud --html labels.html --png labels.png": (
        "needs labels that were joined: tests/features/evidence/unit/test_cli_reports.py has some"
    ),
    "tidegate show capture fraud --samples 5": ("needs a captured file: test_platform_capture.py has one"),
    "curl https://tidegate.example.com/readyz": "needs a host with a certificate",
    "tidegate deploy fraud.yaml --target kubernetes": CLUSTER,
    "tidegate rollout retry fraud --override": (
        "needs a version that an alarm rejected: tests/integration/test_cli_platform.py has one"
    ),
    "tidegate access user sign-out oidc:alice@example.com": PART,
    "tidegate spec render --as dockerfile": PART,
    "tidegate deploy --wait": PART,
    "tidegate deploy --supersede": PART,
    "tidegate server backup --models": PART,
    "tidegate replay trace december": PART,
    "tidegate replay trace bank-calls": PART,
}
"""Commands that are not run here, and why."""

SHORTER = {"tidegate rehearse": "--runs 20", "tidegate examples up": "--scale 0.05"}
"""Options that make a command shorter, and nothing else different."""
TARGETS = "export TIDEGATE_TARGETS=$PWD/targets.yaml"
RETRAIN = (
    "python3 -c \"import xgboost; model = xgboost.Booster(model_file='model.ubj'); "
    "model.set_attr(trained='$RANDOM'); model.save_model('model.ubj')\""
)
AT_ONCE = (
    "printf 'endpoint: fraud\\nmodel: {image: tidegate/xgboost, data: ./model.ubj}\\n"
    "rollout: {strategy: all_at_once}\\n' > fraud.yaml"
)
DEPLOY = "tidegate deploy fraud.yaml --wait"
COUNTED = (
    "curl http://127.0.0.1:8471/endpoints/fraud/invocations -H 'content-type: text/csv' "
    "-H 'X-Amzn-SageMaker-Inference-Id: payment-1' --data 1200,3,0.5"
)
LABELLED = (
    'echo "{\\"groundTruthData\\": {\\"data\\": \\"1\\"}, \\"eventMetadata\\": {\\"eventId\\": \\"payment-1\\"}}"'
    " > labels.jsonl"
)
SERVICE = (
    "echo ok > healthz; timeout 300 python3 -u -m http.server 0 --bind 127.0.0.1 > service.txt 2>&1 & "
    "until grep -q port service.txt; do sleep 0.1; done; "
    "sed -i \"s#url: .*#url: http://127.0.0.1:$(grep -o 'port [0-9]*' service.txt | cut -d' ' -f2)#\" fraud.yaml"
)
"""An HTTP service that answers its health check."""
FIRST: Mapping[tuple[str, str], str] = {
    ("roll-back.md", "tidegate rollout undo fraud --wait"): f"{AT_ONCE}; {DEPLOY}; {RETRAIN}; {DEPLOY}",
    ("roll-back.md", "tidegate rollout pause fraud"): (
        f"{RETRAIN}; sed -i 's/all_at_once/canary, size: 50%, wait: 10m/' fraud.yaml; "
        "sed -i 's/^model/instances: 2\\nmodel/' fraud.yaml; "
        "tidegate deploy fraud.yaml"
    ),
    ("judge-by-late-labels.md", COUNTED): DEPLOY,
    ("judge-by-late-labels.md", "tidegate labels measure fraud labels.jsonl --post"): LABELLED,
    ("guard-a-running-service.md", DEPLOY): SERVICE,
    ("send-requests-from-boto3.md", "program"): DEPLOY,
    ("see-why-a-version-was-rolled-back.md", "tidegate rollout status fraud"): DEPLOY,
    ("targets.md", "tidegate spec render fraud.yaml --target sagemaker"): (
        f"{TARGETS}; sed -i 's#^model:.*#instance_type: ml.c5.xlarge\\n"
        "model: {image: tidegate/xgboost, data: ./model.ubj}#' fraud.yaml"
    ),
    ("targets-sagemaker.md", "tidegate spec render fraud.yaml --target sagemaker"): (
        f"{TARGETS}; sed -i 's/step: .*/step: 50%/' fraud.yaml"
    ),
    (
        "targets-ecs.md",
        "tidegate spec render fraud.yaml --target ecs --as cloudformation",
    ): f"{TARGETS}; sed -i 's#data: .*#data: s3://payroll-models/fraud.tar.gz#' fraud.yaml",
    ("security.md", "tidegate access user list"): (
        "echo correct horse battery | tidegate access user add alice --role admin --password-stdin"
    ),
    ("autoscaling.md", "tidegate show scaling fraud"): "tidegate deploy fraud.yaml --wait",
    ("async.md", "tidegate queue send fraud rows.csv --wait"): "tidegate deploy fraud.yaml --wait",
    ("endpoints.md", "tidegate invoke fraud --target-container predictor --body 1200,3,0.5"): (
        "tidegate deploy fraud.yaml --wait"
    ),
    (
        "endpoints.md",
        "tidegate invoke chat --stream --content-type application/json --file question.json",
    ): "tidegate deploy chat.yaml --wait",
    ("capture.md", "tidegate labels measure fraud labels.jsonl --captures captures/"): (
        "mkdir captures; echo '{\"captureData\": {}}' > captures/a.jsonl; echo '{}' > labels.jsonl"
    ),
    ("labels.md", "tidegate labels feedback chat votes.jsonl"): (
        "sed s/fraud/chat/ fraud.yaml > chat.yaml; tidegate deploy chat.yaml --wait; "
        'echo \'{"id": "question-1", "label": "up"}\' > votes.jsonl'
    ),
    ("labels.md", "tidegate labels measure fraud labels.jsonl --post"): (f"{DEPLOY}; {LABELLED}"),
    ("drift.md", "tidegate drift check fraud --baseline train.csv --captures captures/"): (
        "mkdir -p captures; echo amount,country > train.csv; for i in $(seq 60); do "
        "echo $i,US >> train.csv; "
        'echo "{\\"captureData\\": {\\"endpointInput\\": {\\"data\\": \\"$i,US\\", '
        '\\"encoding\\": \\"CSV\\"}}, '
        '\\"eventMetadata\\": {\\"eventId\\": \\"$i\\", '
        '\\"inferenceTime\\": \\"2026-03-01T12:00:00Z\\"}}" '
        ">> captures/b.jsonl; done"
    ),
    (
        "drift.md",
        "tidegate drift schedule set fraud --baseline train.csv --by country",
    ): "tidegate deploy fraud.yaml --wait",
    ("drift.md", "tidegate drift schedule baseline payments.csv --time paid_at"): (
        "echo amount,paid_at > payments.csv; echo 1,2026-03-01T12:00:00Z >> payments.csv"
    ),
    ("drift.md", "tidegate drift schedule baseline captures/fraud/AllTraffic/ --columns amount,country"): (
        "mkdir -p captures/fraud/AllTraffic; cp captures/b.jsonl captures/fraud/AllTraffic/"
    ),
    ("capture.md", "tidegate show capture fraud"): "tidegate deploy fraud.yaml --wait",
    ("compare.md", "tidegate compare --endpoint fraud candidate.tar.gz --rows captures/"): (
        "tidegate deploy fraud.yaml --wait"
    ),
    (
        "replay.md",
        "tidegate replay trace december --out day.csv --days 1 --base 0.01",
    ): "tidegate deploy fraud.yaml --wait",
    (
        "serverless.md",
        "tidegate logs fraud",
    ): "tidegate deploy fraud.yaml --wait; tidegate invoke fraud --body 1,2,3",
    (
        "batch.md",
        "tidegate batch fraud.yaml employees.csv scores/ --input-filter '$[1:]' --join --output-filter '$[0,-1]'",
    ): "sed -i 's/^/name,/' employees.csv",
}
"""What a page takes for granted before one of its commands."""
ELSEWHERE = ("tidegate server restore",)
"""Commands of another machine: run with an empty state folder."""


def commands(page: str) -> list[str]:
    return [text for kind, text in steps(page) if kind == "command"]


def steps(page: str) -> Iterator[tuple[str, str]]:
    """``command``, ``spec`` (a file ``fraud.yaml``) or ``program`` (a file ``program.py``), and its text, in the
    order of the page."""
    text, end = read_page(page), 0
    for fence in FENCE.finditer(text):
        yield from _spans(text[end : fence.start()])
        end = fence.end()
        language, name, block = fence.groups()
        if language == "yaml" and re.search(r"^endpoint: fraud$", block, re.MULTILINE):
            yield "spec", block
        elif language == "python" and name and page not in OWN:
            yield "program", block
        elif language in ("", "sh", "bash") and name != "install":
            lines = block.replace("\\\n", " ").splitlines()
            yield from (("command", _plain(line)) for line in lines if COMMAND.match(line))
    yield from _spans(text[end:])


def _spans(prose: str) -> Iterator[tuple[str, str]]:
    """Whole commands in a sentence: with an argument or a setting, and without a placeholder."""
    for found in SPAN.findall(prose):
        words = " ".join(found.split())
        command = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", words)
        whole = len(command.split()) > 2 and command not in COMMAND_NAMES
        if (whole or command != words) and not PLACEHOLDER.search(command):
            yield "command", words


def _plain(line: str) -> str:
    return " ".join(re.sub(r"\s+#.*$", "", line).split())


def script(page: str, folder: Path, port: int) -> str:
    """All that a page shows, in one shell that ends at the first command that fails. ``port``: a free one, for
    servers that the page starts in passing."""
    lines = ["set -eu", CLEAR]
    for kind, text in steps(page):
        if kind == "spec":
            lines += ["clear", f"cat > fraud.yaml <<'END OF FILE'\n{_here(page, text, folder)}END OF FILE"]
        elif kind == "program":
            lines += [
                FIRST[page, kind],
                f"cat > program.py <<'END OF FILE'\n{text}END OF FILE",
                "python3 program.py",
            ]
        elif text not in NOT_RUN:
            lines.append(f"echo {shlex.quote(f'$ {text}')}")
            lines += [FIRST[page, text]] if (page, text) in FIRST else []
            lines.append(_runnable(text, port))
    return "\n".join([*lines, "clear"])


CLEAR = """clear() {
  for name in $(tidegate status --json | python3 -c "$NAMES"); do
    tidegate delete "$name" --force --wait > clear.txt
  done
}"""
"""Shell function that deletes all endpoints, so that each spec of a page begins anew."""
NAMES = 'import json, sys; print(*[one["name"] for one in json.load(sys.stdin)["endpoints"]])'


def _runnable(text: str, port: int) -> str:
    if re.search(r"\btidegate up\b", text):
        here = f"--detach --port {port} --state $PWD/passing"
        return f"env -u TIDEGATE_TRUST {text} {here}\ntidegate down --state $PWD/passing"
    if text.startswith(ELSEWHERE):
        return f"TIDEGATE_STATE=$(mktemp -d -p $PWD)/state {text}"
    more = next((more for start, more in SHORTER.items() if text.startswith(start)), "")
    if "| jq" in text and shutil.which("jq") is None:
        text = text.partition("|")[0]
    return f"{text} {more}"


def _here(page: str, spec: str, folder: Path) -> str:
    """A page's spec with what only the test's machine differs in."""
    if page == "async.md":
        spec = spec.replace("s3://answers/", f"{folder.as_uri()}/answers/")
        return re.sub(r"^  success: .*\n", "", spec, flags=re.MULTILINE)
    return spec


# --- files ---------------------------------------------------------------------------------------------------------


def prepare(page: str, folder: Path, model: Path) -> None:
    """What a reader of the page has: ``model``, of three columns, under the names that pages use, and rows."""
    shutil.copy(model, folder / "model.ubj")
    for name in ("model.tar.gz", "candidate.tar.gz", "clients/acme.tar.gz"):
        (folder / name).parent.mkdir(exist_ok=True)
        with tarfile.open(folder / name, "w:gz") as archive:
            archive.add(folder / "model.ubj", "model.ubj")
    for name in ("rows.csv", "employees.csv"):
        (folder / name).write_text("1200,3,0.5\n80,1,0.1\n")
    shutil.copy(ROOT / "examples" / "fraud.yaml", folder / "fraud.yaml")
    (folder / "fraud.yaml").write_text(
        re.sub(r"data: \S+", "data: ./model.ubj", (folder / "fraud.yaml").read_text())
    )
    (folder / "answers.yaml").write_text(
        next(block for _, _, block in FENCE.findall(read_page("planner.md")) if block.startswith("name:"))
    )
    if page in MAKERS:
        MAKERS[page](folder)


def _endpoints(folder: Path) -> None:
    import numpy  # noqa: PLC0415 (large, and only this page needs them)
    import skops.io  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    from tests import tiny_language_model  # noqa: PLC0415

    skops.io.dump(StandardScaler().fit(numpy.random.default_rng(1).random((20, 3))), folder / "scaler.skops")
    tiny_language_model.write(folder / "tiny.gguf")
    (folder / "chat.yaml").write_text("endpoint: chat\nmodel: {image: tidegate/gguf, data: ./tiny.gguf}\n")
    (folder / "question.json").write_text('{"prompt": "hi", "max_tokens": 4, "stream": true}')


def _runtimes(folder: Path) -> None:
    import joblib  # noqa: PLC0415 (large, and only this page needs them)
    import numpy  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    blocks = [text for language, _, text in FENCE.findall(read_page("runtimes.md")) if language == "python"]
    rows = numpy.random.default_rng(1).random((40, 3))
    joblib.dump(LogisticRegression().fit(rows, rows[:, 0] > 0.5), folder / "model.joblib")
    (folder / "inference.py").write_text(next(text for text in blocks if "def model_fn" in text))
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "model.joblib", "model.joblib")
        archive.add(folder / "inference.py", "code/inference.py")


def _targets(folder: Path) -> None:
    """The file of TIDEGATE_TARGETS with the settings that the pages of targets show."""
    settings = []
    for target in ("sagemaker", "ecs"):
        blocks = [text for _, _, text in FENCE.findall(read_page(f"targets-{target}.md"))]
        settings.append(next(text for text in blocks if text.startswith(f"{target}:\n")))
    (folder / "targets.yaml").write_text("".join(settings))


def _compare(folder: Path) -> None:
    lines = ["amount,tenure,hours,country,fraud"]
    for place in range(400):
        country = ("US", "DE", "IN")[place % 3]
        lines.append(f"{place / 400},{place * 7 % 400 / 400},0.5,{country},{int(place * 3 % 400 < place)}")
    (folder / "payments.csv").write_text("\n".join(lines))
    for name in ("candidate.ubj", "again-1.ubj", "again-2.ubj", "again-3.ubj"):
        shutil.copy(folder / "model.ubj", folder / name)
    (folder / "captures").mkdir()
    about = {"eventId": "1", "inferenceTime": "2026-03-01T12:00:00Z"}
    sides = ({"endpointInput": {"data": f"{place / 400},0.2,0.5", "encoding": "CSV"}} for place in range(400))
    captured = (json.dumps({"captureData": side, "eventMetadata": about}) for side in sides)
    (folder / "captures" / "a.jsonl").write_text("\n".join(captured))


MAKERS: Mapping[str, Callable[[Path], None]] = {
    "compare.md": _compare,
    "endpoints.md": _endpoints,
    "runtimes.md": _runtimes,
    "targets.md": _targets,
    "targets-ecs.md": _targets,
    "targets-sagemaker.md": _targets,
}


def write_images(folder: Path) -> Path:
    """The table of images with the program that a page names."""
    program = Path(__file__).with_name("stand_in_model.py")
    path = folder / "images.yaml"
    path.write_text(f"images:\n  our/decision:\n    command: [{sys.executable}, {program}]\n")
    return path


def environment(folder: Path, port: int, bin_folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
    return {
        **kept,
        "PATH": f"{bin_folder.resolve()}:{os.environ['PATH']}",
        "TIDEGATE_STATE": str(folder / "state"),
        "TIDEGATE_PORT": str(port),
        "TIDEGATE_URL": f"http://127.0.0.1:{port}",
        "NAMES": NAMES,
    }
