"""Where the number of an answer is."""

import pytest

from tidegate.rows.scores import read_rows_of_scores, read_scores


@pytest.mark.parametrize(
    ("body", "kind", "where", "scores"),
    [
        (b"0.25\n", "text/csv; charset=utf-8", "", [0.25]),
        (b"0.25\n0.5\n", "text/csv", "", [0.25, 0.5]),
        (b"0.25,0.5", "text/csv", "", [0.25, 0.5]),
        (b"a,0.25\nb,0.5\n", "text/csv", "1", [0.25, 0.5]),
        (b"0.25,1\n0.5,0\n", "text/csv", "", None),
        (b"0.25,1\n", "text/csv", "2", None),
        (b"1e200", "text/csv", "", None),
        (b'{"score": 1e200, "label": 1}', "application/json", "score", None),
        (b"nan", "text/csv", "", None),
        (b"", "text/csv", "", None),
        (b"[0.25, 0.5]", "application/json", "", [0.25, 0.5]),
        (b"[[0.25], [0.5]]", "application/json", "", [0.25, 0.5]),
        (b'{"predictions": [{"score": 0.25}]}', "application/json", "", [0.25]),
        (b'{"predictions": [{"score": 0.25, "label": 1}]}', "application/json", "", None),
        (b'{"predictions": [{"score": 0.25, "label": 1}]}', "application/json", "predictions[0].score", [0.25]),
        (b"[[0.1, 0.9]]", "application/json", "", None),
        (b"0.25\n0.5\n", "application/jsonlines", "", [0.25, 0.5]),
        (b'["fraud"]', "application/json", "", None),
        (b"[true]", "application/json", "", None),
        (b"[1e999]", "application/json", "", None),
        (b"[]", "application/json", "", None),
        (b"{", "application/json", "", None),
        (b"\xff", "application/json", "", None),
        (b"[" * 5000, "application/json", "", None),
    ],
)
def test_an_answer_is_a_number_for_each_row_or_nothing(
    body: bytes, kind: str, where: str, scores: list[float] | None
) -> None:
    assert read_scores(body, kind, where) == scores


@pytest.mark.parametrize(
    ("body", "kind", "numbers", "first", "last"),
    [
        (b"0.25,1\n0.5,0\n", "text/csv", 2, [0.25, 0.5], [1, 0]),
        (b"[[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]", "application/json", 3, [0.1, 0.3], [0.7, 0.4]),
        (b'{"predictions": [{"probabilities": [0.1, 0.9]}]}', "application/json", 2, [0.1], [0.9]),
        (b'{"outputs": [[[1, 2], [3, 4]]]}', "application/json", 2, [1, 3], [2, 4]),
        (b"[0.1, 0.9]", "application/json", 2, [0.1], [0.9]),
        (b"[1, 2]\n[3, 4]\n", "application/jsonlines", 2, [1, 3], [2, 4]),
        (b"0.25", "text/csv", 1, [0.25], [0.25]),
        (b"[[1, 2], [3]]", "application/json", 0, None, None),
        (b'[{"a": 1, "b": 2}]', "application/json", 0, None, None),
        (b"[[1, null]]", "application/json", 0, None, None),
        (b"[[]]", "application/json", 0, None, None),
        (b"[]", "application/json", 0, None, None),
        (b"", "text/csv", 0, None, None),
        (b"{", "application/json", 0, None, None),
    ],
)
def test_a_row_may_be_answered_by_several_numbers(
    body: bytes, kind: str, numbers: int, first: list[float] | None, last: list[float] | None
) -> None:
    found = read_rows_of_scores(body, kind)
    if not numbers:
        assert found is None
        return
    assert found is not None and {len(row) for row in found} == {numbers}
    assert ([row[0] for row in found], [row[-1] for row in found]) == (first, last)
