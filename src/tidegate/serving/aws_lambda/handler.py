"""Answers the events of a function. Bad input never ends the process, and the function's deadline is kept.

Who waits for the answer decides how a failure is told. HTTP clients get the worker's status. The caller of a direct
invocation gets the same for errors of the request, and a function error for all others. EventBridge retries function
errors; SQS delivers the messages again that are named.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tidegate.domain.errors import TidegateError
from tidegate.serving.aws_lambda import replies
from tidegate.serving.aws_lambda.embedded_metrics import FAILED, REFUSED, metric_line
from tidegate.serving.aws_lambda.events import (
    BadEvent,
    BusEvent,
    DirectRequest,
    HttpRequest,
    Message,
    MessageBatch,
    PredictionRequest,
    is_http,
    parse,
)
from tidegate.serving.aws_lambda.loop_model import LoopModel, Whole, reopen
from tidegate.serving.aws_lambda.replies import VARIABLE, Reply, Results
from tidegate.serving.contract import target_headers
from tidegate.serving.contract.invocation import Call, Rejected
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.responses import JSON
from tidegate.serving.front.sessions import HEADER

RESERVE = 0.3
"""Seconds before the function's deadline that are kept for answering."""


class _InvocationContext(Protocol):
    """The context that Lambda's runtime client passes with the event."""

    aws_request_id: str
    function_name: str
    function_version: str

    def get_remaining_time_in_millis(self) -> int: ...


@dataclass
class EventHandler:
    """``results`` None: answers of messages have nowhere to go."""

    spec: ReplicaSpec
    model: LoopModel
    results: Results | None = None
    log: Callable[[str], None] = field(default=lambda line: print(line, flush=True))

    def __call__(self, event: object, context: _InvocationContext) -> object:
        """Process an event, and return the result of the function. Raises FunctionError."""
        until = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
        try:
            request = parse(event)
        except BadEvent as error:
            return self._refuse(event, str(error), error.status, context)
        if isinstance(request, HttpRequest):
            made = self._answer_http(request, until)
            self._count(made, context)
            return replies.http_answer(made, context.aws_request_id)
        if isinstance(request, DirectRequest):
            return self._answer_direct(request, until, context)
        if isinstance(request, BusEvent):
            return self._answer_bus(request, until)
        return self._answer_batch(request, until, context)

    def _refuse(self, event: object, message: str, status: int, context: _InvocationContext) -> object:
        """Refuse an event. The sender of an event of unknown kind may not wait for an answer, so all but HTTP clients
        get an error of the function."""
        made = replies.error(status, "ValidationError", message)
        if not is_http(event):
            raise replies.function_error(made)
        self._count(made, context)
        return replies.http_answer(made, context.aws_request_id)

    def _answer_http(self, request: HttpRequest, until: float) -> Reply:
        if request.path.endswith("/ping") and request.method == "GET":
            return Reply(200, JSON, (), b"")
        if request.method != "POST":
            return replies.error(405, "ValidationError", "This is asked for with POST.")
        return self._score([request.prediction], until)[0]

    def _answer_direct(self, request: DirectRequest, until: float, context: _InvocationContext) -> object:
        made = self._score([request.prediction], until)[0]
        if made.failed:
            raise replies.function_error(made)
        self._count(made, context)
        return replies.direct_answer(made)

    def _answer_bus(self, request: BusEvent, until: float) -> object:
        """The answer goes to the function's destination, if it has one, and to the results."""
        made = self._score([request.prediction], until)[0]
        if not made.good:
            raise replies.function_error(made)
        if self.results is not None and request.prediction.id:
            try:
                self.results.put(request.prediction.id, made)
            except TidegateError as error:
                raise replies.FunctionError(f"the answer cannot be stored: {error.message}") from None
        return replies.direct_answer(made)

    def _answer_batch(self, batch: MessageBatch, until: float, context: _InvocationContext) -> object:
        """The messages that are not scored and stored are to be delivered again."""
        problems = self._process(batch, until)
        failed = [message.id for message in batch.messages if message.id in problems]
        if batch.ordered and failed:  # also those that succeeded after the first failure: they come in order again
            first = next(at for at, message in enumerate(batch.messages) if message.id in problems)
            failed = [message.id for message in batch.messages[first:]]
        for id, problem in problems.items():
            self.log(f"message {id} failed: {problem}")
        if failed:
            self.log(metric_line(FAILED, context.function_name, context.function_version, time.time()))
        return replies.batch_answer(failed)

    def _process(self, batch: MessageBatch, until: float) -> dict[str, str]:
        """Score the messages and store their answers; return the problems, by message id."""
        problems = {message.id: message.problem for message in batch.messages if message.prediction is None}
        if self.results is None:
            nowhere = f"there is no place for its answer: set {VARIABLE}"
            return {message.id: nowhere for message in batch.messages} | problems
        messages = self._before_first_problem(batch)
        made = self._score([one.prediction for one in messages if one.prediction is not None], until)
        for message, reply in zip(messages, made, strict=True):
            if batch.ordered and problems.keys() & {one.id for one in messages}:
                break
            if problem := self._store(message, reply, until):
                problems[message.id] = problem
        return problems

    @staticmethod
    def _before_first_problem(batch: MessageBatch) -> list[Message]:
        """The messages that can be scored; of an ordered batch those before the first that cannot."""
        found: list[Message] = []
        for message in batch.messages:
            if message.prediction is not None:
                found.append(message)
            elif batch.ordered:
                break
        return found

    def _store(self, message: Message, made: Reply, until: float) -> str:
        """Why the answer is not stored; empty if it is."""
        if not made.good:
            return str(replies.function_error(made))
        if time.monotonic() > until:
            return "the function's time is over"
        assert self.results is not None
        try:
            self.results.put(message.id, made)
        except TidegateError as error:
            return f"its answer cannot be stored: {error.message}"
        return ""

    def _score(self, predictions: Sequence[PredictionRequest], until: float) -> list[Reply]:
        """Score requests together; each gets the answer that a worker would give it."""
        calls = [Call(one.body, one.headers) for one in predictions]
        outcomes: list[Whole | None] = [self._rejected(call) for call in calls]
        asked = [call for call, outcome in zip(calls, outcomes, strict=True) if outcome is None]
        try:
            answers = iter(self._ask(asked, until) if asked else [])
        except TidegateError as error:
            answers = iter([Rejected(503, "ServiceUnavailable", error.message)] * len(asked))
        return [replies.reply(self.spec, outcome or next(answers)) for outcome in outcomes]

    def _ask(self, calls: Sequence[Call], until: float) -> Sequence[Whole]:
        if not self.model.healthy:
            self.model = reopen(self.model, self.spec, max(0.0, until - time.monotonic()))
        return self.model.ask(calls, min(self.spec.invocation_timeout, until - time.monotonic()))

    def _rejected(self, call: Call) -> Rejected | None:
        """Reject a request that a worker would refuse before the model receives it; None if it is accepted."""
        if len(call.body) > self.spec.max_body:
            limit = self.spec.max_body
            return Rejected(
                413, "ValidationError", f"The request's body is larger than the limit of {limit} bytes."
            )
        if HEADER in call.headers:
            endpoint = self.spec.fleet.endpoint
            message = f"Endpoint {endpoint} is a Lambda function and does not support session id header."
            return Rejected(400, "ValidationError", message)
        return target_headers.reject_target(call, self.spec.fleet.endpoint, self.spec.serving)

    def _count(self, made: Reply, context: _InvocationContext) -> None:
        """Count a failure that is returned, which Lambda takes for a success."""
        if not made.good:
            name = FAILED if made.failed else REFUSED
            self.log(metric_line(name, context.function_name, context.function_version, time.time()))
