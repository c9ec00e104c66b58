"""A replay over time: every request once, in as many spans as asked for."""

from tidegate.load.history import document, points
from tidegate.load.report import LoadReport, Second, Tally


def second(at: int, sent: int, **statuses: int) -> Second:
    tally = Tally()
    for status, count in statuses.items():
        for _ in range(count):
            tally.add(at, status.removeprefix("s"), 0.010)
    return Second(at, sent, {"v1": tally}, {})


REPORT = LoadReport(
    (second(100, 10, s200=8, s503=2), second(101, 4, s200=1, s429=2, socket=1), second(104, 6, s200=6)), (), 20, 0
)


def test_a_second_is_a_point_and_one_without_requests_is_there() -> None:
    made = points(REPORT, {100: 1, 104: 3})
    assert [point.at for point in made] == [0, 1, 2, 3, 4]
    assert [(p.rate, p.answered, p.refused, p.throttled, p.errors) for p in made] == [
        (10, 8, 2, 0, 0),
        (4, 1, 0, 2, 1),
        (0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0),
        (6, 6, 0, 0, 0),
    ]
    assert [point.instances for point in made] == [1, 1, 1, 1, 3]
    assert [point.p99_ms is None for point in made] == [False, False, True, True, False]


def test_a_long_replay_has_no_more_points_than_a_picture() -> None:
    made = points(REPORT, {}, most=2)
    assert [(p.at, p.rate * 3) for p in made] == [(0, 14), (3, 6)]
    assert sum(p.answered * 3 for p in made) == 15


def test_all_of_it() -> None:
    told = document(REPORT, {100: 1, 101: 2})
    assert (told["sent"], told["answered"], told["failed"], told["refused"], told["throttled"]) == (
        20,
        15,
        5,
        2,
        2,
    )
    assert (told["seconds"], told["busiest_second"], told["instance_seconds"]) == (5, 10, 3)
    assert document(LoadReport((), (), 0, 0), {})["points"] == []
