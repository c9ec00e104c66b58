"""The spans of one traced prediction, made once it is over from what was noted meanwhile. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tidegate.domain.spans import Span, SpanEvent, SpanKind, Value
from tidegate.serving.contract.call_trace import CallTrace, ModelRun

MOST_RUNS = 32
"""Runs of the model, and stages, that are shown of one call."""
CLIENT_GONE = 499
"""Status of a call whose client left before it was answered."""


@dataclass(frozen=True)
class StartWindow:
    """A cold start. Times are epoch seconds."""

    began: float
    phases: tuple[tuple[str, float], ...]
    """Each with its end."""

    @property
    def ended(self) -> float:
        return max([self.began, *(end for _, end in self.phases)])


class _Tree:
    """Spans below one that is added last, since it ends last. All lie within it."""

    def __init__(self, trace_id: str, start: int, end: int, new_id: Callable[[], str]) -> None:
        self.trace_id = trace_id
        self.start = start
        self.end = max(start, end)
        self.root = new_id()
        self.spans: list[Span] = []
        self._new_id = new_id

    def add(
        self,
        name: str,
        start: int,
        end: int,
        attributes: Mapping[str, Value] | None = None,
        parent: str = "",
        phases: tuple[tuple[str, float], ...] = (),
    ) -> str:
        """``parent``: empty for the first span. ``phases``: events, at epoch seconds. Clocks may have been set
        meanwhile, so times are kept in bounds."""
        start = min(max(start, self.start), self.end)
        end = min(max(end, start), self.end)
        id = self._new_id()
        self.spans.append(
            Span(
                self.trace_id,
                id,
                parent or self.root,
                name,
                start,
                end,
                attributes=attributes or {},
                events=tuple(SpanEvent(name, min(max(int(at * 1e9), start), end)) for name, at in phases),
            )
        )
        return id


def make_spans(
    trace: CallTrace,
    name: str,
    attributes: Mapping[str, Value],
    ended: int,
    start: StartWindow | None,
    new_id: Callable[[], str],
) -> list[Span]:
    """The spans, the first one last. ``ended``: epoch nanoseconds; ``start``: the cold start that the call waited
    for."""
    receipt = trace.receipt
    begun, arrived = receipt.stamped * 1000, receipt.arrived * 1000
    tree = _Tree(trace.trace_id, begun, ended, new_id)
    if start is not None:
        tree.add("cold start", int(start.began * 1e9), int(start.ended * 1e9), phases=start.phases)
    if receipt.stamped < receipt.arrived:
        tree.add("proxy", receipt.stamped * 1000, arrived)
    if receipt.complete > receipt.arrived:
        tree.add("receive", arrived, receipt.complete * 1000)
    answered = trace.model_ended or ended
    if trace.stages:
        _add_stages(tree, trace, answered)
    else:
        _add_runs(tree, trace.runs, trace.began, answered, "")
    tree.add("answer", answered, ended)
    parent = trace.parent
    inner = parent.span_id if parent is not None and not trace.linked else None
    failed = trace.failure is not None and not 400 <= trace.failure <= 499
    root = Span(
        *(trace.trace_id, tree.root, inner, name, tree.start, tree.end),
        kind=SpanKind.CONSUMER if trace.linked else SpanKind.SERVER,
        attributes=attributes,
        link=parent if trace.linked else None,
        error="model failed" if failed else f"status {trace.status}" if trace.status >= 500 else None,
        state=parent.state if parent is not None and not trace.linked else "",
    )
    return [*tree.spans, root]


def _add_stages(tree: _Tree, trace: CallTrace, answered: int) -> None:
    tree.add("wait", trace.began, trace.stages[0].start)
    for number, stage in enumerate(trace.stages[:MOST_RUNS]):
        id = tree.add("stage", stage.start, stage.end, {"tidegate.container": stage.container})
        _add_runs(tree, [run for run in trace.runs if run.stage == number], stage.start, stage.end, id)


def _add_runs(tree: _Tree, runs: list[ModelRun], since: int, until: int, parent: str) -> None:
    """The wait for the model and its runs. Without any, which engines of whole requests do not note, all of the time
    counts as the model's."""
    if not runs:
        tree.add("model", since, until, parent=parent)
        return
    shown = runs[:MOST_RUNS]
    tree.add("wait", since, shown[0].start, parent=parent)
    for run in shown:
        batch: dict[str, Value] = {
            "tidegate.batch.requests": run.requests,
            "tidegate.batch.rows": run.rows,
        }
        tree.add("model", run.start, run.end, batch, parent)
    for one, following in pairwise(shown):
        if following.start > one.end:
            tree.add("wait", one.end, following.start, parent=parent)
