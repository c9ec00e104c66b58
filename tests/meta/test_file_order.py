"""The table of how long test files take is of files that exist, and decides the order in which they run."""

import pytest

from tests.file_order import (
    FLOWS,
    LONG,
    ROOT,
    SHARED_OUT,
    TABLE,
    count_seconds,
    is_left_to_ci,
    pytest_runtest_setup,
    rank,
    read_table,
    scope_of,
    write_table,
)

REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_short" name="test_a" time="4.9"/>
<testcase classname="tests.unit.test_long" name="test_a[1]" time="7.25"/>
<testcase classname="tests.unit.test_long" name="test_a[2]" time="5.5"/>
<testcase classname="tests.unit.test_middle" name="test_a" time="6"/>
</testsuite></testsuites>"""


def test_every_file_in_the_table_exists() -> None:
    assert [path for path in read_table(TABLE.read_text()) if not (ROOT / path).exists()] == []


def test_the_table_has_the_long_files_of_a_report_longest_first() -> None:
    text = write_table(count_seconds(REPORT))
    assert text == "13 tests/unit/test_long.py\n6 tests/unit/test_middle.py\n"
    assert read_table(text) == {"tests/unit/test_long.py": 13.0, "tests/unit/test_middle.py": 6.0}


def test_long_files_run_first_and_tests_of_a_file_stay_in_order() -> None:
    nodeids = ["a.py::one", "b.py::two", "b.py::one", "c.py::one", "d.py::one"]
    ranked = sorted(nodeids, key=lambda nodeid: rank(nodeid, {"b.py": 9.0, "c.py": 30.0}))
    assert ranked == ["c.py::one", "b.py::two", "b.py::one", "a.py::one", "d.py::one"]


def test_tests_of_shared_files_run_last_and_each_for_itself() -> None:
    worlds = [f"{path}::one" for path in sorted(SHARED_OUT)]
    nodeids = [*worlds, "a.py::one", "b.py::one"]
    seconds = {"b.py": 9.0, **{path: 300.0 for path in SHARED_OUT}}
    assert sorted(nodeids, key=lambda nodeid: rank(nodeid, seconds)) == ["b.py::one", "a.py::one", *worlds]
    assert [scope_of(nodeid) for nodeid in nodeids] == [*worlds, "a.py", "b.py"]


def test_shared_files_exist_and_have_no_fixture_of_a_module() -> None:
    for path in SHARED_OUT:
        assert "pytest.fixture" not in (ROOT / path).read_text()


def test_long_files_are_left_to_ci_but_for_the_flows() -> None:
    flow = min(FLOWS)
    assert is_left_to_ci("a.py", {"a.py": LONG})
    assert not is_left_to_ci("a.py", {"a.py": LONG - 1}) and not is_left_to_ci("a.py", {})
    assert not is_left_to_ci(flow, {flow: 10 * LONG})


def test_every_flow_exists_and_is_long() -> None:
    seconds = read_table(TABLE.read_text())
    assert [path for path in sorted(FLOWS) if not (ROOT / path).exists() or seconds.get(path, 0.0) < LONG] == []


def test_what_has_not_begun_in_time_is_skipped_with_the_reason(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest_runtest_setup(request.node)
    monkeypatch.setattr(request.config.option, "until", 1.0)
    with pytest.raises(pytest.skip.Exception, match="had not begun"):
        pytest_runtest_setup(request.node)
