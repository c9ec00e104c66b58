"""Uploads of model files: where they end, and what is refused."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.gateway_harness import SIGNED, GatewayHarness
from tests.unit.gateway.test_app import ask, code
from tidegate.gateway.middleware import MAX_BODY
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

FILE = {"Content-Type": "application/octet-stream"}
MODEL = b"weights" * 1000


@pytest.fixture
def house(tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(Settings(state=tmp_path, upload_bytes=30_000_000))


def put(house: GatewayHarness, name: str, body: object = MODEL, **headers: str) -> httpx.Response:
    return ask(house, "PUT", f"/tidegate/v1/uploads/{name}", content=body, headers={**FILE, **headers})


def stored(folder: Path) -> list[Path]:
    return [path for path in (folder / "uploads").rglob("*") if path.is_file()]


def test_a_file_is_stored_under_its_digest_and_its_name(house: GatewayHarness, tmp_path: Path) -> None:
    answer = put(house, "model.tar.gz")
    path = tmp_path / "uploads" / hashlib.sha256(MODEL).hexdigest()[:32] / "model.tar.gz"
    assert (answer.status_code, answer.json()) == (201, {"data": path.as_uri(), "bytes": len(MODEL)})
    assert path.read_bytes() == MODEL and path.stat().st_mode & 0o077 == 0
    assert put(house, "model.tar.gz").json() == answer.json()
    assert stored(tmp_path) == [path]


def test_another_content_of_the_same_name_is_another_file(house: GatewayHarness, tmp_path: Path) -> None:
    first, second = put(house, "model.ubj").json()["data"], put(house, "model.ubj", b"newer").json()["data"]
    assert first != second and len(stored(tmp_path)) == 2


def test_a_file_larger_than_other_bodies_is_taken_in_parts(house: GatewayHarness, tmp_path: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b"x" * (MAX_BODY // 10)

    assert put(house, "model.ubj", parts()).json()["bytes"] == 12 * (MAX_BODY // 10)


@pytest.mark.parametrize(
    "name",
    [
        ".hidden",
        "..",
        "...",
        "a b",
        "%2e%2e%2fmodel",
        "a%2Fb",
        "a%5Cb",
        "a%00b",
        "a%0Ab",
        "%C3%A9",
        "-rf",
        "x" * 129,
        "model.tar.gz%3Bid",
        "",
    ],
)
def test_hostile_names_are_refused_and_leave_nothing(house: GatewayHarness, tmp_path: Path, name: str) -> None:
    assert put(house, name).status_code in (400, 403, 404)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_what_a_form_of_another_site_could_send_is_refused(
    house: GatewayHarness, tmp_path: Path, kind: str
) -> None:
    answer = put(house, "model.ubj", **{"Content-Type": kind})
    assert (answer.status_code, code(answer)) == (400, "Invalid")
    assert ask(house, "POST", "/tidegate/v1/uploads/model.ubj", content=MODEL, headers=FILE).status_code == 405
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
)
def test_a_page_of_another_site_uploads_nothing(
    house: GatewayHarness, tmp_path: Path, headers: dict[str, str]
) -> None:
    assert put(house, "model.ubj", **headers).status_code == 403
    assert list(tmp_path.iterdir()) == []


def test_all_uploads_together_are_limited(tmp_path: Path) -> None:
    house = GatewayHarness(Settings(state=tmp_path, upload_bytes=len(MODEL) + 10))
    assert put(house, "model.ubj").status_code == 201
    answer = put(house, "other.ubj", b"x" * 11)
    assert (answer.status_code, code(answer)) == (413, "TooLarge")
    assert "TIDEGATE_UPLOAD_BYTES" in answer.text and "10 are left" in answer.text
    assert put(house, "other.ubj", b"x" * 10).status_code == 201
    assert len(stored(tmp_path)) == 2


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1000

    house = GatewayHarness(Settings(state=tmp_path, upload_bytes=5000))
    assert put(house, "model.ubj", endless()).status_code == 413
    assert list((tmp_path / "uploads").iterdir()) == []


def test_an_empty_file_is_refused(house: GatewayHarness, tmp_path: Path) -> None:
    assert code(put(house, "model.ubj", b"")) == "Invalid"
    assert stored(tmp_path) == []


def test_with_keys_an_upload_must_be_signed() -> None:
    answer = put(GatewayHarness(SIGNED), "model.ubj")
    assert (answer.status_code, code(answer)) == (403, "MissingAuthenticationToken")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("a file")
    answer = put(GatewayHarness(Settings(state=tmp_path)), "model.ubj")
    assert answer.status_code == 503 and "cannot be stored" in answer.text


def test_workers_may_read_uploads_where_they_may_not_read_all_files(tmp_path: Path) -> None:
    own = (str(tmp_path / "uploads"), str(tmp_path / "live-runs"))
    assert file_roots(Settings(state=tmp_path)) is None
    assert file_roots(Settings(state=tmp_path, file_roots=(Path("/models"),))) == ("/models", *own)
    assert file_roots(Settings(state=tmp_path, host="0.0.0.0")) == own
    assert file_roots(Settings(state=tmp_path, access_keys={"AKIA": "long-enough"})) == own
    assert file_roots(Settings(state=tmp_path, public_url="https://tidegate.example")) == own


def test_files_that_arrive_together_are_limited_together(tmp_path: Path) -> None:
    house = GatewayHarness(Settings(state=tmp_path, upload_bytes=1500))

    async def part() -> AsyncIterator[bytes]:
        yield b"x" * 500
        other = tmp_path / "uploads" / "another"  # stored after this one began
        other.mkdir()
        (other / "model.ubj").write_bytes(b"y" * 900)
        yield b"x" * 500

    assert put(house, "model.ubj", part()).status_code == 413
    assert [path.parent.name for path in stored(tmp_path)] == ["another"]
