"""When the answers of a shadow are compared."""

from pathlib import Path

import pytest

from tidegate.http1.messages import HttpReply
from tidegate.serving.contract.invocation import Note
from tidegate.serving.front.shadow_answers import SMALL, Copied, ShadowAnswers
from tidegate.serving.front.shadow_log import ShadowLog, ShadowSide


@pytest.mark.parametrize(
    ("original", "shadow", "waits"), [(9, 9, True), (SMALL + 1, 9, False), (9, SMALL + 1, False)]
)
async def test_a_large_answer_of_either_side_is_compared_by_itself(
    tmp_path: Path, original: int, shadow: int, waits: bool
) -> None:
    """Many in a row would delay the requests of clients."""
    notes: list[Note] = []
    answers = ShadowAnswers(
        lambda at, note: notes.append(note), ShadowLog(tmp_path / "log"), lambda size: None, print
    )
    reply = HttpReply(200, {}, b"1" * shadow)
    answers.add(Copied(b"", "", ShadowSide(200, 1, b"1" * original), reply, 1, 1))
    assert (not notes) is waits
    answers.settle()
    assert notes
