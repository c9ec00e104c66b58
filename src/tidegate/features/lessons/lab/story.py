"""What the lab's pages say of its steps, and the commands beside them. Pure."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.features.lessons.lab.progress import ENDPOINT, StepName


@dataclass(frozen=True)
class Told:
    """``label`` is of its button, empty where there is none; ``confirm``: what the button does."""

    title: str
    text: str
    label: str = ""
    confirm: str = ""


TEXTS: Mapping[StepName, Told] = {
    StepName.TRAIN: Told(
        "A model, and what is known of it",
        "Three versions of a model that scores payments for fraud, trained on a synthetic year. Version v1 knows "
        "the payment alone; the better one knows the account as well; the worse one is what happens when a join "
        "goes wrong. All three take the same requests and answer at the same speed.",
        "Train three versions",
        "Trains three small models in a process of this server, at a low priority, and begins the lab.",
    ),
    StepName.FIRST: Told(
        "The first version",
        "Two instances on this machine. Nothing served before, so there is nothing to shift from: the endpoint is "
        "there once they are ready.",
        "Deploy v1",
        f"Creates the endpoint {ENDPOINT} with two instances of version v1.",
    ),
    StepName.TRAFFIC: Told(
        "Requests",
        "The server sends payments to the endpoint as a client would: 50 a second, half an hour at most, and no "
        "longer than the lab. Only what is asked can be judged.",
        "Send requests",
        "Sends 50 requests a second to the lab's endpoint, for half an hour or until the lab ends.",
    ),
    StepName.BETTER: Told(
        "A better version",
        "A quarter of the requests at a time. Each stage goes on once its alarms were judged over the whole bake; "
        "the old version stays whole until the new one has passed.",
        "Deploy the better version",
        "Shifts the requests of the lab's endpoint to the better version in four stages.",
    ),
    StepName.WORSE: Told(
        "A version that is silently worse",
        "It fails at nothing and is not slow: no alarm fires. But its spec says that it is a mere retraining, so at "
        "most a quarter of its predictions may move, and both versions are compared while both answer. Watch who "
        "notices.",
        "Ship the bad version",
        "Begins to shift requests of the lab's endpoint to the worse version. It is expected to be rolled back.",
    ),
    StepName.EVIDENCE: Told(
        "The evidence",
        "Why it was rolled back, from the counts that were kept. The verdict is computed again from them whenever "
        "this page is looked at: whoever doubts a rollback can check it, without this server.",
    ),
    StepName.PRICE: Told(
        "What it costs",
        "What the instances of this endpoint would have cost so far at SageMaker's prices on demand. The planner has "
        "a whole year of it, with its pay days and the rush in December.",
    ),
    StepName.END: Told(
        "Tidying up",
        "Ends the requests, deletes the endpoint with its models, configs and alarms, and removes the files. A lab "
        "that nobody ends is ended two hours after it was begun.",
        "End the lab",
        "Ends the requests and deletes the lab's endpoint with all that was made for it.",
    ),
}


def list_commands(name: StepName, folder: Path, url: str, signed: bool) -> tuple[tuple[str, str], ...]:
    """What it is, and the line. ``folder``: of the example in the lab's run; ``signed``: whether the server asks who
    sends a request."""
    spec = {
        StepName.FIRST: folder / "v1.yaml",
        StepName.BETTER: folder / "better.yaml",
        StepName.WORSE: folder / "worse.yaml",
    }
    if name in spec:
        return (("As a command", f"tidegate deploy {shlex.quote(str(spec[name]))} --wait"),)
    if name is StepName.TRAFFIC:
        where = f"--endpoint {ENDPOINT} --folder {shlex.quote(str(folder.parent))}"
        line = f"tidegate examples traffic {folder.name} {where} --rate 50 --seconds 1800"
        return (("As a command", line),)
    if name is StepName.EVIDENCE:
        return (
            ("Show it", f"tidegate evidence show {ENDPOINT}"),
            ("Keep it", f"tidegate evidence show {ENDPOINT} --json > evidence.json"),
            ("Check it without a server", "tidegate evidence verify evidence.json"),
        )
    if name is StepName.PRICE:
        return (
            ("The plan with its reasons", f"tidegate plan --example {folder.name}"),
            ("A year of it", f"tidegate cost {shlex.quote(str(folder / 'v1.yaml'))} --traffic payroll"),
        )
    body = '-H "Content-Type: application/json" -d \'{"by": "me"}\''
    who = ' -H "Authorization: Bearer $TIDEGATE_TOKEN"' if signed else ""
    return (("As a command", f"curl -X POST {url}/tidegate/v1/lab/{name} {body}{who}"),)
