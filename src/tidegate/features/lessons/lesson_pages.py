"""Routes of lessons: the list, the page of each with its stream, and the operations of the native API."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tidegate.console import endpoint_page
from tidegate.console.computed_pages import ComputedPages, StillComputing
from tidegate.console.figures import format_clock
from tidegate.console.identity import Reader, identify_reader
from tidegate.console.live_stream import LiveStreams, Snapshot
from tidegate.console.operate_pages import open_stream
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES, load_catalogue, render_page
from tidegate.console.waiting_page import show_waiting
from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid, NotFound, TidegateError
from tidegate.features.access.audit_native import entry_view
from tidegate.features.cost.endpoint_cost import cost_view
from tidegate.features.cost.reader import CostReader
from tidegate.features.evidence.card import EvidenceCard
from tidegate.features.lessons.catalogue import NAMES, SIMULATED, play
from tidegate.features.lessons.driver import BAKE, LEAST_BAKE, LONGEST_BAKE, LessonDriver
from tidegate.features.lessons.keeper import LiveRuns
from tidegate.features.lessons.lesson import START, LessonStatus, choose
from tidegate.features.lessons.training import Trainer, read_quality
from tidegate.features.lessons.view import describe
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute, describe_request
from tidegate.gateway.native_body import JournaledBody, list_members
from tidegate.gateway.paths import CONSOLE, NATIVE
from tidegate.gateway.request_parsing import parse_json_object, parse_purpose, parse_requester

PAGE = f"{CONSOLE}/lessons"
CARDS = (EvidenceCard(),)
"""Cards of features that the page of a lesson shows of its endpoint."""


class StepBody(JournaledBody, total=False):
    """``run``: the run that the step is for; ``bake``: seconds of a stage's bake."""

    run: str | None
    bake: float


OPERATIONS = (
    ("GET", "/lessons", Access.READ, "List the lessons, and how far each is.", None),
    ("GET", "/lessons/{name}", Access.READ, "Describe a lesson and how far it is.", None),
    ("POST", "/lessons/{name}/{step}", Access.CHANGE, "Take a step of a lesson.", StepBody),
    ("GET", "/challenges", Access.READ, "List the challenges, by the former path of lessons.", None),
    ("GET", "/challenges/{name}", Access.READ, "Describe a challenge, by the former path of lessons.", None),
    ("POST", "/challenges/{name}", Access.CHANGE, "Begin a challenge, by the former path of lessons.", StepBody),
    ("POST", "/challenges/{name}/{step}", Access.CHANGE, "Take a step, by the former path of lessons.", StepBody),
    ("GET", "/lab", Access.READ, "Describe the lab, by the former path of lessons.", None),
    ("POST", "/lab/{step}", Access.CHANGE, "Take a step of the lab, by the former path of lessons.", StepBody),
)
"""Method, path under the native API, what it asks of a caller, its summary, and the type of its body."""
BAKES = tuple(f"{seconds:g}" for seconds in (LEAST_BAKE, BAKE, LONGEST_BAKE))
SHOWN_ENTRIES = 20
TRAIN = (sys.executable, "-m", "tidegate.features.examples.training_process")


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway, runs = context.gateway, LiveRuns(context.gateway)
    driver = LessonDriver(gateway, runs, Trainer(TRAIN, context.environment))
    context.starts.append(runs.start)
    return LessonPages(gateway, driver, context.streams, context.computed).routes()


@dataclass(frozen=True)
class LessonPages:
    """The handlers. ``computed``: simulations that are kept."""

    gateway: Gateway
    driver: LessonDriver
    streams: LiveStreams
    computed: ComputedPages

    def routes(self) -> list[GuardedRoute]:
        pages = {
            PAGE: self.list_lessons,
            f"{PAGE}/{{name}}": self.show,
            f"{PAGE}/{{name}}/live": self.follow,
            f"{CONSOLE}/challenges": self.redirect,
            f"{CONSOLE}/lab": self.redirect,
        }
        found = [GuardedRoute(self.gateway, path, handle, Access.READ) for path, handle in pages.items()]
        for method, path, access, _, _ in OPERATIONS:
            lists = path in ("/lessons", "/challenges")
            handle = self.render_all if lists else self.render if method == "GET" else self.do
            found.append(GuardedRoute(self.gateway, NATIVE + path, handle, access, [method]))
        return found

    # --- native API ---

    async def render_all(self, request: Request) -> Response:
        shown = [_document(await self.driver.read(name)) for name in NAMES]
        member = request.url.path.rpartition("/")[2]
        if member == "challenges":
            shown = [one for one in shown if one["name"] != "lab"]
        return JSONResponse({"obstacle": self.driver.describe_obstacle() or None, member: shown})

    async def render(self, request: Request) -> Response:
        return JSONResponse(_document(await self.driver.read(request.path_params.get("name", "lab"))))

    async def do(self, request: Request) -> Response:
        """Do a step, or start or stop a challenge; answers with the lesson."""
        name, step = request.path_params.get("name", "lab"), request.path_params.get("step", START)
        self.driver.find(name)
        body = parse_json_object(request, list_members(StepBody))
        by, bake, run = parse_requester(request, body), body.get("bake", BAKE), body.get("run")
        parse_purpose({"reason": body.get("reason", "")})
        if isinstance(bake, bool) or not isinstance(bake, int | float) or not LEAST_BAKE <= bake <= LONGEST_BAKE:
            raise Invalid(f"'bake' must be the seconds of a stage's bake: {LEAST_BAKE:g} to {LONGEST_BAKE:g}")
        if run is not None and not isinstance(run, str):
            raise Invalid("'run' must be the id of a run, or empty for none")
        await self.driver.do(name, step, describe_request(self.gateway, request, Access.CHANGE), by, run, bake)
        request.state.told.detail = f"{step} of lesson {name}"
        return JSONResponse(_document(await self.driver.read(name)), 201 if step == START else 202)

    # --- pages ---

    async def redirect(self, request: Request) -> Response:
        """From the addresses of the lab and of the challenges before they were lessons."""
        if request.url.path.endswith("/lab"):
            return RedirectResponse(f"{PAGE}/lab", 308)
        query = request.query_params.multi_items()
        show = request.query_params.get("show", "drift")
        rest = urlencode([(name, value) for name, value in query if name != "show"])
        return RedirectResponse(f"{PAGE}/{show if show in NAMES else 'drift'}{'?' if rest else ''}{rest}", 308)

    async def list_lessons(self, request: Request) -> Response:
        who = identify_reader(request)
        lessons = [self._describe(await self.driver.read(name), who) for name in NAMES]
        played = [self.driver.find(name) for name in SIMULATED]
        return render_page("lessons", request, await load_catalogue(self.gateway), lessons=lessons, played=played)

    async def show(self, request: Request) -> Response:
        lesson, who = self.driver.find(request.path_params["name"]), identify_reader(request)
        made: Mapping[str, Any] | None = None
        problem, options = None, list[dict[str, Any]]()
        if lesson.simulation is not None:
            query = {name: request.query_params.getlist(name) for name in request.query_params}
            chosen = choose(lesson.simulation, query)
            options = [{"choice": one, "value": chosen[one.name]} for one in lesson.simulation.choices]
            try:
                now = self.gateway.context.clock.now()
                made = await self.computed.simulate(request, play, {"lesson": lesson.name, "chosen": chosen}, now)
            except StillComputing:
                return await show_waiting(self.gateway, request)
            except TidegateError as error:
                problem = error.message
        shown = await self.read(lesson.name, who)
        others = [self.driver.find(one) for one in (NAMES if lesson.steps else SIMULATED)]
        catalogue = await load_catalogue(self.gateway)
        context = {"it": shown, "lessons": others, "made": made, "options": options, "problem": problem}
        url = self.gateway.settings.url
        return render_page("lesson", request, catalogue, bakes=BAKES, url=url, **context)

    async def follow(self, request: Request) -> Response:
        lesson, who = self.driver.find(request.path_params["name"]), identify_reader(request)
        view = f"lessons/{lesson.name}/{who.may_operate}/{who.may_inspect}"

        async def snapshot() -> Snapshot:
            it = await self.read(lesson.name, who)
            parts: Any = TEMPLATES.get_template("lesson_parts.html").module
            steps = {f"step-{step['name']}": str(parts.step(it, step)) for step in it["steps"]}
            return Snapshot(
                {**steps, **{one: str(getattr(parts, one)(it)) for one in ("state", "figures", "story")}}
            )

        return open_stream(self.gateway, self.streams, request, view, snapshot)

    def _describe(self, status: LessonStatus, who: Reader) -> dict[str, Any]:
        settings, lesson = self.gateway.settings, status.lesson
        folder, obstacle = self.driver.folder(lesson), self.driver.describe_obstacle()
        return describe(status, obstacle, who.may_operate, folder, settings.url, self.gateway.signed)

    async def read(self, name: str, who: Reader) -> dict[str, Any]:
        """All that its page shows to this reader."""
        status = await self.driver.read(name)
        shown = self._describe(status, who)
        if status.lesson.by_learner:
            return {**shown, **await self._read_endpoint(status)}
        entries: list[dict[str, Any]] = []
        if status.lesson.audited and who.may_inspect and status.run is not None:
            audit = self.gateway.trail.audit
            found = await audit.read(before=0, limit=SHOWN_ENTRIES, who="", about=status.run.endpoint)
            entries = [entry_view(entry) for entry in reversed(found)]
        hidden = status.lesson.audited and not who.may_inspect
        return {**shown, "audit": entries, "hides_audit": hidden}

    async def _read_endpoint(self, status: LessonStatus) -> dict[str, Any]:
        """The endpoint of a lesson by the learner, with its price, and the versions that were trained."""
        page, cost, facts, run = None, None, status.facts, status.run
        if facts.present:
            try:
                page = await endpoint_page.read_page(self.gateway, CARDS, status.lesson.endpoint, False)
                cost = cost_view(await CostReader(self.gateway).read(status.lesson.endpoint))
            except NotFound:
                page = None  # it was removed between two looks
        now = self.gateway.context.clock.now()
        shown = status.versions.get(page["rollout"]["new"]) if page is not None and page["rollout"] else None
        left = None if run is None else format_clock(max(0.0, (run.until - now).total_seconds()))
        return {
            "left": left,
            "page": page,
            "cost": cost if page is not None else None,
            "shown": shown,
            "compared": page["cards"][0].html if page is not None and shown == "worse" else "",
            "quality": read_quality(self.driver.folder(status.lesson)) if facts.trained else [],
            "traffic": self._describe_traffic(status),
        }

    def _describe_traffic(self, status: LessonStatus) -> dict[str, str] | None:
        """The requests that this server sends; None if it sends nothing."""
        facts, now = status.facts, self.gateway.context.clock.now()
        traffic = None if status.run is None else status.run.traffic_at(now)
        if traffic is None or not facts.sending:
            return None
        return {
            "rate": f"{traffic.rate:g}",
            "left": format_clock(max(0.0, (traffic.until - now).total_seconds())),
            "answered": f"{facts.answered:,}",
            "failed": f"{facts.failed:,}",
            "failure": self.driver.runs.counts(status.lesson.name).last_failure if facts.failed else "",
        }


def _document(status: LessonStatus) -> dict[str, Any]:
    """``verdict`` None: it is under way, or was never begun (``run`` None), or the learner judges it."""
    run, lesson = status.run, status.lesson
    reports = {one.name: one for one in status.steps}
    steps = [
        {
            "name": step.name,
            "title": step.title,
            "state": reports[step.name].state if step.name in reports else "ahead",
            "said": reports[step.name].said if step.name in reports else "",
        }
        for step in lesson.steps
    ]
    found = {"name": lesson.name, "removing": status.removing, "steps": steps}
    if run is None:
        unknown = dict.fromkeys(("run", "by", "until", "verdict"))
        return {**found, **unknown, "endpoint": lesson.endpoint or None}
    return {
        **found,
        "run": run.id,
        "endpoint": run.endpoint,
        "by": run.by,
        "begun_at": run.started_at.isoformat(),
        "until": run.until.isoformat(),
        "verdict": str(run.verdict) if run.verdict else None,
        "said": run.said,
        "ended_at": run.judged_at.isoformat() if run.judged_at else None,
        "picture": run.picture,
    }
