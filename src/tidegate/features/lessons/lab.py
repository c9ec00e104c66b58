"""The lab: a fraud model trained and released, then a better version, then a worse one, judged and priced. Pure."""

from datetime import timedelta

from tidegate.features.lessons.lesson import (
    DeployVersion,
    Lesson,
    LessonFacts,
    LessonStep,
    PlainAct,
    SendRequests,
    StepReport,
    StepState,
)

ENDPOINT = "lab-payroll-fraud"
EXAMPLE = "payroll-fraud"
VERSIONS = ("v1", "better", "worse")
RATE, SECONDS = 50.0, 1800.0
"""Requests a second, and for how long the server sends them."""
LEAST_RATE = 1.0
"""Requests a second from which on there is traffic."""
LASTING = timedelta(hours=2)
"""After which the server ends a lab that nobody has ended."""
AHEAD, READY, UNDER_WAY, DONE = StepState.AHEAD, StepState.READY, StepState.UNDER_WAY, StepState.DONE


def _report_training(facts: LessonFacts) -> StepReport:
    if facts.training:
        return StepReport(UNDER_WAY, f"{facts.models} of 3 models are trained; their specs are made last.")
    if facts.trained:
        return StepReport(DONE, "Three versions are trained.", "good")
    if facts.training_failure:
        return StepReport(READY, f"The training failed: {facts.training_failure}", "bad", again=True)
    return StepReport(READY, "Nothing is trained yet.")


def _report_first(facts: LessonFacts) -> StepReport:
    if facts.has_served("v1"):
        return StepReport(DONE, "It serves." if facts.serving == "v1" else "It has served.", "good")
    if facts.rolling == "v1":
        return StepReport(UNDER_WAY, "Its instances are starting.")
    if not facts.trained:
        return StepReport(AHEAD, "The models have to be trained first.")
    if (busy := _find_obstacle(facts)) or facts.serving or facts.other:
        return StepReport(AHEAD, busy or "The endpoint serves another version already.")
    if (failed := facts.last_attempt("v1")) is not None:
        return StepReport(READY, f"It did not start: {failed.reason}", "bad", again=True)
    return StepReport(READY, "The endpoint is not there yet.")


def _report_traffic(facts: LessonFacts) -> StepReport:
    if facts.rate >= LEAST_RATE:
        return StepReport(DONE, f"{facts.rate:.0f} requests a second arrive.", "good")
    if facts.sending:
        return StepReport(UNDER_WAY, "Requests are sent; none was counted in the last ten seconds.")
    if facts.has_served("better") and facts.rollback_of("worse"):
        return StepReport(DONE, "None arrive now. The steps that needed them are done.", "good")
    if not facts.serving:
        return StepReport(AHEAD, "A version has to serve first.")
    return StepReport(READY, "No requests arrive.")


def _report_better(facts: LessonFacts) -> StepReport:
    if facts.has_served("better"):
        return StepReport(DONE, "It passed all stages and served alone.", "good")
    if facts.rolling == "better":
        return _report_rollout(facts)
    if why := _find_wait(facts, "v1"):
        return StepReport(AHEAD, why)
    if (last := facts.last_attempt("better")) is not None:
        return StepReport(READY, f"It was rolled back: {_shorten(last.reason)}", "warn", again=True)
    return StepReport(READY, "It was not deployed yet.")


def _report_worse(facts: LessonFacts) -> StepReport:
    if facts.rolling == "worse":
        return _report_rollout(facts)
    if facts.serving == "worse":
        said = f"It serves alone: nothing rolled it back. Undo it: tidegate rollout undo {ENDPOINT}"
        return StepReport(AHEAD, said, "bad")
    if (rollback := facts.rollback_of("worse")) is not None:
        return StepReport(DONE, f"It was rolled back: {_shorten(rollback.reason)}", "good")
    if why := _find_wait(facts, "better"):
        return StepReport(AHEAD, why)
    if facts.serving != "better":
        return StepReport(AHEAD, "The better version has to serve.")
    return StepReport(READY, "It was not deployed yet.", again=facts.last_attempt("worse") is not None)


def _report_evidence(facts: LessonFacts) -> StepReport:
    rollback, found = facts.rollback_of("worse"), facts.evidence
    if rollback is None:
        return StepReport(AHEAD, "The worse version has to be rolled back first.")
    if found is None or found.rollout != rollback.rollout:
        return StepReport(AHEAD, "No evidence of that rollout is kept.", "warn")
    if not found.same:
        return StepReport(AHEAD, "The verdict does not follow from the counts that are kept.", "bad")
    said = "The verdict was computed again from the counts that are kept, and is the same"
    why = "" if found.failed else "; it was not the evidence that rolled the version back"
    return StepReport(DONE, f"{said}{why}.", "good")


def _report_price(facts: LessonFacts) -> StepReport:
    if not facts.present:
        return StepReport(AHEAD, "The endpoint has to be there.")
    if _report_evidence(facts).state is not DONE:
        return StepReport(AHEAD, "It is counted since the endpoint is there.")
    return StepReport(DONE, "Counted from the hours of its instances.", "good")


def _report_end(facts: LessonFacts) -> StepReport:
    if facts.ending:
        said = "Requests under way are answered, then the endpoint and all that it needed is removed."
        return StepReport(UNDER_WAY, said)
    if facts.open:
        return StepReport(READY, f"The lab was begun by {facts.by}.")
    return StepReport(AHEAD, "There is nothing to remove.")


def _report_rollout(facts: LessonFacts) -> StepReport:
    return StepReport(UNDER_WAY, f"It is being rolled {'back' if facts.rolling_back else 'out'}.")


def _find_obstacle(facts: LessonFacts) -> str:
    """Why nothing can be deployed now; empty if something can."""
    if facts.deleting:
        return "The endpoint is being deleted."
    return f"Another rollout is under way: {facts.rolling}." if facts.rolling is not None else ""


def _find_wait(facts: LessonFacts, before: str) -> str:
    """Why a further version has to wait; empty if it need not. ``before`` is the version that has to have served."""
    if not facts.has_served(before):
        return f"Version {before} has to serve first."
    if busy := _find_obstacle(facts):
        return busy
    if not facts.trained:
        return "The models have to be trained again: their files are gone."
    if facts.other is not None:
        return f"The endpoint serves {facts.other}, which is none of the lab's versions."
    if not facts.serving:
        return "No version serves."
    if facts.rate < LEAST_RATE:
        return "Requests have to arrive: without any, a stage would be held, since nothing is known of it."
    return ""


def _shorten(reason: str) -> str:
    return reason.removeprefix("Deployment rolled back: ")


LAB = Lesson(
    "lab",
    "The lab",
    "Half an hour with a fraud model: a better version, a bad one that fails at nothing, and why it goes.",
    "Deploy a model, release a better version, ship a bad one that fails at nothing and is merely wrong, watch it"
    " being rolled back, read why, and price it. All of it happens on this server: what stands here is read from what"
    " runs, so a step that somebody does by a command counts as well.",
    (
        LessonStep(
            "train",
            "A model, and what is known of it",
            "Three versions of a model that scores payments for fraud, trained on a synthetic year. Version v1 knows "
            "the payment alone; the better one knows the account as well; the worse one is what happens when a join "
            "goes wrong. All three take the same requests and answer at the same speed.",
            acts=lambda at: (PlainAct.TRAIN,),
            report=_report_training,
            label="Train three versions",
            confirm="Trains three small models in a process of this server, at a low priority, and begins the lab.",
        ),
        LessonStep(
            "first",
            "The first version",
            "Two instances on this machine. Nothing served before, so there is nothing to shift from: the endpoint "
            "is there once they are ready.",
            acts=lambda at: (DeployVersion("v1"),),
            report=_report_first,
            label="Deploy v1",
            confirm=f"Creates the endpoint {ENDPOINT} with two instances of version v1.",
            commands=(("As a command", "tidegate deploy {folder}/v1.yaml --wait"),),
            version="v1",
        ),
        LessonStep(
            "traffic",
            "Requests",
            "The server sends payments to the endpoint as a client would: 50 a second, half an hour at most, and no "
            "longer than the lab. Only what is asked can be judged.",
            acts=lambda at: (SendRequests(RATE, f"{EXAMPLE}/requests.jsonl", SECONDS),),
            report=_report_traffic,
            label="Send requests",
            confirm="Sends 50 requests a second to the lab's endpoint, for half an hour or until the lab ends.",
            commands=(
                (
                    "As a command",
                    f"tidegate examples traffic {EXAMPLE} --endpoint {ENDPOINT} --folder {{parent}} --rate {RATE:.0f}"
                    f" --seconds {SECONDS:.0f}",
                ),
            ),
        ),
        LessonStep(
            "better",
            "A better version",
            "A quarter of the requests at a time. Each stage goes on once its alarms were judged over the whole "
            "bake; the old version stays whole until the new one has passed.",
            acts=lambda at: (DeployVersion("better"),),
            report=_report_better,
            label="Deploy the better version",
            confirm="Shifts the requests of the lab's endpoint to the better version in four stages.",
            commands=(("As a command", "tidegate deploy {folder}/better.yaml --wait"),),
            version="better",
        ),
        LessonStep(
            "worse",
            "A version that is silently worse",
            "It fails at nothing and is not slow: no alarm fires. But its spec says that it is a mere retraining, so "
            "at most a quarter of its predictions may move, and both versions are compared while both answer. Watch "
            "who notices.",
            acts=lambda at: (DeployVersion("worse"),),
            report=_report_worse,
            label="Ship the bad version",
            confirm="Begins to shift requests of the lab's endpoint to the worse version. It is expected to be rolled"
            " back.",
            commands=(("As a command", "tidegate deploy {folder}/worse.yaml --wait"),),
            version="worse",
        ),
        LessonStep(
            "evidence",
            "The evidence",
            "Why it was rolled back, from the counts that were kept. The verdict is computed again from them "
            "whenever this page is looked at: whoever doubts a rollback can check it, without this server.",
            report=_report_evidence,
            commands=(
                ("Show it", f"tidegate rollout evidence show {ENDPOINT}"),
                ("Keep it", f"tidegate rollout evidence show {ENDPOINT} --json > evidence.json"),
                ("Check it without a server", "tidegate rollout evidence verify evidence.json"),
            ),
        ),
        LessonStep(
            "price",
            "What it costs",
            "What the instances of this endpoint would have cost so far at SageMaker's prices on demand. The planner "
            "has a whole year of it, with its pay days and the rush in December.",
            report=_report_price,
            commands=(
                ("The plan with its reasons", f"tidegate plan --example {EXAMPLE}"),
                ("A year of it", "tidegate cost estimate {folder}/v1.yaml --traffic payroll"),
            ),
        ),
        LessonStep(
            "end",
            "Tidying up",
            "Ends the requests, deletes the endpoint with its models, configs and alarms, and removes the files. A "
            "lab that nobody ends is ended two hours after it was begun.",
            acts=lambda at: (PlainAct.END,),
            report=_report_end,
            label="End the lab",
            confirm="Ends the requests and deletes the lab's endpoint with all that was made for it.",
        ),
    ),
    endpoint=ENDPOINT,
    lasting=LASTING,
)
