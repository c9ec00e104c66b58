"""Plans, questions and examples as JSON data, for programs and for the console. Its shape is in docs/planner.md."""

from dataclasses import asdict
from typing import Any

from tidegate.domain.errors import NotFound
from tidegate.features.planner.answers import PlanAnswers, read
from tidegate.features.planner.plan import Plan
from tidegate.features.planner.plan_promise import lines
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.tables import table
from tidegate.features.rehearse.promise import Promise


def examples() -> dict[str, dict[str, Any]]:
    """Return the worked examples by name: ``title``, ``about`` and ``answers``."""
    found: dict[str, dict[str, Any]] = table("examples")
    return found


def answers_of(name: str) -> dict[str, Any]:
    """Return an example's answers as plain data. Raises NotFound that says which there are."""
    if name not in examples():
        raise NotFound(f"there is no example {name!r}: there are {', '.join(examples())}")
    return dict(examples()[name]["answers"])


def example(name: str) -> PlanAnswers:
    """Return an example's answers. Raises NotFound."""
    return read(answers_of(name))


def what_is_asked() -> dict[str, Any]:
    """Return all that a page needs to ask: questions, the flowchart and the examples, as the data files have them."""
    chart = table("flowchart")
    return {
        "questions": table("questions"),
        "flowchart": [
            {"id": one["id"], "question": one["ask"], "yes": one["true"], "no": one["false"]}
            for one in chart["questions"]
        ],
        "modes": {mode: told["title"] for mode, told in chart["modes"].items()},
        "peaks": {name: peak["text"] for name, peak in table("peaks").items()},
        "examples": [{"name": name, **one} for name, one in examples().items()],
    }


def document(plan: Plan) -> dict[str, Any]:
    """Convert a plan to plain data."""
    return {
        "name": plan.answers.name,
        "digest": plan.digest,
        "rows": [asdict(row) for row in plan.rows],
        "walk": [asdict(step) for step in plan.steps],
        "mode": plan.place.mode,
        "target": plan.place.target,
        "architecture": plan.place.architecture,
        "size": _size(plan),
        "strategy": {
            "kind": plan.strategy.kind,
            "preset": plan.strategy.preset,
            "rollout": dict(plan.spec.get("rollout", plan.strategy.rollout)),
            "title": plan.strategy.title,
            "first_part": plan.strategy.first_part,
            "wanted": dict(plan.rollout.wanted.rollout),
            "says": list(plan.rollout.says),
        },
        "alarms": dict(plan.spec.get("alarms", {})),
        "cost": _cost(plan),
        "choices": [asdict(one) for one in plan.choices],
        "promise": None if plan.promise is None else _promise(plan.promise),
        "outlook": asdict(plan.outlook),
        "notes": [asdict(note) for note in plan.notes],
        "assumptions": list(plan.assumptions),
        "overrides": list(plan.overrides),
        "answers": {key: value for key, value in asdict(plan.answers).items() if key != "assumed"},
        "spec": dict(plan.spec),
        "job": plan.spec.get("job"),
    }


def _size(plan: Plan) -> dict[str, Any]:
    size = plan.size
    if not isinstance(size, FleetSize):
        return {"kind": "on_demand", "memory_gib": size.memory_gib, "max_concurrency": size.concurrency}
    written = plan.facts["generation"]
    return {
        "kind": "instances",
        "instance_type": size.type.name,
        "min": size.least,
        "max": size.most,
        "invocations_per_instance": size.per_minute,
        "capacity": size.capacity,
        "planned": size.planned,
        "basis": size.basis,
        "first_token": None if written is None else written.first_token,
        "tokens_per_second": None if written is None else 1 / written.per_token,
    }


def _cost(plan: Plan) -> dict[str, Any]:
    bill = plan.bill
    return {
        "month": round(bill.month, 2),
        "low": round(bill.month_low, 2),
        "high": round(bill.month_high, 2),
        "currency": "USD",
        "hours": bill.hours,
        "prices": asdict(plan.prices)
        | {"oldest": plan.prices.oldest.isoformat(), "newest": plan.prices.newest.isoformat()},
        "lines": [
            {
                "item": line.item,
                "why": line.why,
                "quantity": line.quantity,
                "unit": line.unit,
                "price": line.rate.amount,
                "amount": round(line.amount, 2),
                "source": line.rate.source,
                "date": line.rate.date.isoformat(),
                "region": line.rate.region,
                "stands_in": line.rate.stands_in,
            }
            for line in bill.lines
        ],
    }


def _promise(promise: Promise) -> dict[str, Any]:
    return {
        "kept": promise.kept,
        "power": promise.power,
        "seconds": promise.seconds,
        "false_alarm": promise.false_alarm,
        "stages": [asdict(stage) for stage in promise.stages],
        "wanted": [asdict(one) for one in promise.wanted],
        "alarms": [asdict(one) for one in promise.alarms],
        "unwatched": list(promise.unwatched),
        "evidence": [asdict(one) for one in promise.kinds],
        "harms": [asdict(one) for one in promise.harms],
        "lines": list(lines(promise)),
    }
