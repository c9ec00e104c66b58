"""The story of the pages to learn by: each chapter is a page, and leads to the next."""

from starlette.routing import compile_path

from tidegate.console.chapters import CHAPTERS, OVERVIEW, find_place, is_in_story, neighbours
from tidegate.console.late_routes import page_groups


def test_every_chapter_is_a_page_of_the_server() -> None:
    served = [path for group in page_groups() for path, methods in group.paths.items() if "GET" in methods]
    patterns = [compile_path(path)[0] for path in served]
    assert all(any(pattern.match(chapter.path) for pattern in patterns) for chapter in CHAPTERS)
    assert len({chapter.path for chapter in CHAPTERS}) == len(CHAPTERS)


def test_following_what_is_next_goes_through_all_of_them() -> None:
    _, there = neighbours(OVERVIEW)
    walked = []
    while there is not None:
        walked.append(there)
        before, there = neighbours(there.path)
        assert before is (walked[-2] if len(walked) > 1 else None)
    assert walked == list(CHAPTERS)


def test_a_page_below_a_chapter_belongs_to_it_and_others_to_none() -> None:
    assert find_place("/console/recommender/fraud-sizes") == find_place("/console/recommender")
    assert find_place("/console/recommenders") is None
    assert (
        find_place("/console/lessons/peak") == find_place("/console/lessons") != find_place("/console/lessons/lab")
    )
    assert neighbours("/console/endpoints/fraud/card") == (None, None)
    assert is_in_story(OVERVIEW) and is_in_story("/console/recommender/fraud-sizes")
    assert not is_in_story("/console/endpoints/fraud/card")
