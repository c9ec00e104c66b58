"""What is recorded of changes, what API tokens may do, and predictions that the server signs for its users."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.features.access.signed_in import House, code
from tests.gateway_harness import GatewayHarness
from tests.unit.gateway.test_native import SPEC
from tidegate.auth.passwords import TOKEN_PREFIX
from tidegate.domain.access import Access, AuditOutcome, Caller, Means, Role
from tidegate.domain.errors import Invalid, NotAllowed, TooManyAttempts, Unavailable
from tidegate.gateway.middleware import MAX_BODY
from tidegate.service.audit_trail import LONGEST, REFUSALS, SIGHTS, RequestedOperation, Trail, describe_error
from tidegate.settings import Settings
from tidegate.simulation.memory_audit import MemoryAudit

API = "/tidegate/v1"
OPS = Caller("olga", Role.OPERATOR, Means.SESSION)


async def test_a_change_is_recorded_with_who_what_where_from_and_why() -> None:
    house = House()
    async with house.signed_in("olga", Role.OPERATOR) as client:
        client.headers["x-tidegate-source"] = "192.0.2.7"
        assert (await client.put(f"{API}/deploy", json={"spec": SPEC, "by": "the boss"})).status_code == 200
        body = {"reason": "too slow", "by": "the boss"}
        assert (await client.post(f"{API}/endpoints/fraud/rollout/abort", json=body)).status_code == 200
        assert (await client.post(f"{API}/endpoints/fraud/rollout/resume", json={})).status_code == 409
        events = (await client.get(f"{API}/endpoints/fraud/events")).json()["events"]
    found = [entry for entry in await house.harness.trail.audit.read() if entry.action != "login"]
    failed, aborted, deployed = found[:3]
    assert (deployed.who, deployed.role, deployed.means, deployed.source) == (
        "olga",
        "operator",
        "session",
        "192.0.2.7",
    )
    assert (deployed.action, deployed.about, str(deployed.outcome)) == ("PUT /deploy", "fraud", "done")
    assert (aborted.action, aborted.reason) == ("POST /endpoints/fraud/rollout/abort", "too slow")
    assert (str(failed.outcome), failed.detail != "") == ("failed", True)
    assert "the boss" not in repr(found)
    assert "abort asked for by olga: too slow" in [event["message"] for event in events]


async def test_without_a_login_the_audit_says_what_was_said() -> None:
    house = House(GatewayHarness())
    async with house.browser() as client:
        await client.put(f"{API}/deploy", json={"spec": SPEC, "by": "ann"})
        await client.post(f"{API}/down", json={})
        told = (await client.get(f"{API}/audit")).json()["entries"]
    assert [(one["who"], one["means"], one["outcome"]) for one in told] == [
        ("somebody", "loopback", "done"),
        ("ann", "loopback", "done"),
    ]


async def test_the_audit_is_read_by_admins_page_by_page() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as client:
        for _ in range(3):
            await client.post(f"{API}/endpoints/fraud/rollout/abort", json={})
        first = (await client.get(f"{API}/audit?limit=2&about=fraud")).json()["entries"]
        rest = (await client.get(f"{API}/audit?about=fraud&before={first[-1]['seq']}")).json()["entries"]
        assert [len(first), len(rest)] == [2, 1]
        page = (await client.get("/console/audit?about=fraud")).text
        assert page.count("rollout/<wbr>abort") == 3 and "user add" not in page
        assert (await client.get(f"{API}/audit?who=a&who=b")).status_code == 400


async def test_names_in_the_audits_page_are_text() -> None:
    house = House(GatewayHarness())
    async with house.browser() as client:
        await client.post(f"{API}/transforms", json={"name": "<b>x</b>", "reason": "<script>"})
        page = (await client.get("/console/audit", headers={"Accept": "text/html"})).text
        assert "<b>x</b>" not in page and "&lt;b&gt;x" in page and "<script>" not in page.split("</main>")[0]


# --- the trail -------------------------------------------------------------------------------------------------


class AwayAudit(MemoryAudit):
    async def begin(self, entry: object) -> int:
        raise Unavailable("the database is away")


def trail(audit: MemoryAudit) -> Trail:
    return Trail(audit, GatewayHarness().clock.now)


async def test_what_cannot_be_recorded_is_not_done_but_the_server_can_be_stopped() -> None:
    done = []
    with pytest.raises(Unavailable, match="nothing was changed"):
        async with trail(AwayAudit()).allowing(RequestedOperation(OPS, Access.CHANGE, "deploy")):
            done.append("deploy")
    async with trail(AwayAudit()).allowing(
        RequestedOperation(Caller("r", Role.ADMIN, Means.KEY), Access.STOP, "down")
    ):
        done.append("down")
    assert done == ["down"]


async def test_a_change_stands_in_the_audit_before_it_is_made() -> None:
    audit = MemoryAudit()
    async with trail(audit).allowing(RequestedOperation(OPS, Access.CHANGE, "deploy")):
        assert [entry.outcome for entry in audit.entries] == [AuditOutcome.STARTED]
    assert [entry.outcome for entry in audit.entries] == [AuditOutcome.DONE]


async def test_reading_is_not_recorded() -> None:
    audit = MemoryAudit()
    for access in (Access.READ, Access.USE, Access.OPEN):
        async with trail(audit).allowing(RequestedOperation(OPS, access, "look")):
            pass
    assert audit.entries == []


async def test_who_reads_captured_samples_is_recorded_before_and_not_too_often() -> None:
    audit, shown = MemoryAudit(), 0
    kept = trail(audit)
    with pytest.raises(TooManyAttempts, match="try again in"):
        for _ in range(SIGHTS.attempts + 1):
            async with kept.allowing(RequestedOperation(OPS, Access.SEE, "samples")):
                shown += 1
                assert audit.entries[-1].outcome is AuditOutcome.STARTED
    assert shown == len(audit.entries) == SIGHTS.attempts
    with pytest.raises(Unavailable, match="nothing was shown"):
        async with trail(AwayAudit()).allowing(RequestedOperation(OPS, Access.SEE, "samples")):
            raise AssertionError("this cannot be recorded")


async def test_a_message_that_may_quote_what_was_sent_is_not_recorded() -> None:
    audit = MemoryAudit()
    with pytest.raises(Invalid):
        async with trail(audit).allowing(RequestedOperation(OPS, Access.CHANGE, "deploy")):
            raise Invalid("API_KEY=hunter2 is not valid")
    found = (audit.entries[0].outcome, audit.entries[0].detail)
    assert found == (AuditOutcome.FAILED, "Invalid: API_KEY=... is not valid")
    for message, kept in {
        "instances: expected a whole number, got 'hunter2'": "instances: expected a whole number, got ...",
        'Environment has KEY "hunter2": no': "Environment has KEY ...: no",
        "the key sk4fj39dk20fk39dk2 is wrong": "the key ... is wrong",
        "the key q-Zk3vT9-mBxw_2Yd-R7h-Ls0 is wrong": "the key ... is wrong",
        "the key sk+fj39/dk20fk+9dk2 is wrong": "the key ... is wrong",
        "fraud-detector-v2-of-2026 is being changed": "fraud-detector-v2-of-2026 is being changed",
        "rollout: strategy canary needs a size": "rollout: strategy canary needs a size",
    }.items():
        assert describe_error(Invalid(message)) == f"Invalid: {kept}"


async def test_refusals_are_recorded_up_to_a_limit_so_that_they_push_nothing_out() -> None:
    audit = MemoryAudit()
    kept = trail(audit)
    for _ in range(REFUSALS.attempts + 20):
        with pytest.raises(NotAllowed):
            async with kept.allowing(RequestedOperation(OPS, Access.INSPECT, "audit")):
                raise AssertionError("this is not allowed")
    assert len(audit.entries) <= REFUSALS.attempts + 1


async def test_entries_are_single_lines_of_bounded_length() -> None:
    audit = MemoryAudit()
    async with trail(audit).allowing(
        RequestedOperation(OPS, Access.CHANGE, "deploy", "a\nb\x1b[31m", reason="x" * 5000)
    ):
        pass
    assert audit.entries[0].about == "a b [31m" and len(audit.entries[0].reason) == LONGEST


# --- tokens ----------------------------------------------------------------------------------------------------


async def test_a_token_acts_for_its_owner_within_its_own_role() -> None:
    house = House()
    await house.add("root", Role.ADMIN)
    now = house.harness.clock.now()
    _, text = await house.users.create_token("root", Role.OPERATOR, "ci", 1, now)
    async with house.browser(authorization=f"Bearer {text}") as client:
        assert (await client.get(f"{API}/caller")).json() == {"name": "root", "role": "operator", "means": "token"}
        assert (await client.put(f"{API}/deploy", json={"spec": SPEC})).status_code == 200
        assert (await client.post(f"{API}/down", json={})).status_code == 403
        events = (await client.get(f"{API}/endpoints/fraud/events")).json()["events"]
        assert "root (token ci)" in repr(events)
        target = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
        assert (await client.post("/", content=b"{}", headers=target)).status_code == 200
        house.harness.clock.shift = timedelta(days=1)
        answer = await client.get(f"{API}/caller")
        assert answer.status_code == 403 and "has expired" in answer.json()["error"]["message"]


async def test_a_token_ends_with_its_owner_and_follows_the_owners_role() -> None:
    house = House()
    for name in ("root", "bob"):
        await house.add(name, Role.ADMIN)
    now = house.harness.clock.now()
    _, text = await house.users.create_token("bob", None, "ci", None, now)
    async with house.browser(authorization=f"Bearer {text}") as client:
        assert (await client.get(f"{API}/caller")).json()["role"] == "admin"
        await house.users.set_role("bob", Role.VIEWER, now)
        assert (await client.get(f"{API}/caller")).json()["role"] == "viewer"
        await house.users.remove("bob", now)
        assert (await client.get(f"{API}/caller")).status_code == 403
        await house.add("bob", Role.ADMIN)
        assert (await client.get(f"{API}/caller")).status_code == 403


async def test_a_token_that_was_revoked_or_changed_is_none() -> None:
    house = House()
    await house.add("root", Role.ADMIN)
    made, text = await house.users.create_token("root", None, "ci", None, house.harness.clock.now())
    for wrong in (text[:-1] + ("A" if text[-1] != "A" else "B"), f"tidegate_{made.id}_", "tidegate_", text + "x"):
        async with house.browser(authorization=f"Bearer {wrong}") as client:
            assert (await client.get(f"{API}/caller")).status_code == 403
    await house.users.revoke_token(made.id, house.harness.clock.now())
    async with house.browser(authorization=f"Bearer {text}") as client:
        assert code(await client.get(f"{API}/caller")) == "InvalidSignature"


async def test_a_token_may_have_no_more_than_its_owner() -> None:
    house = House()
    await house.add("eve", Role.VIEWER)
    with pytest.raises(Invalid, match="viewer at most"):
        await house.users.create_token("eve", Role.ADMIN, "ci", None, house.harness.clock.now())


async def test_secrets_are_nowhere_at_rest() -> None:
    house = House()
    async with house.signed_in("root", Role.ADMIN) as client:
        made, text = await house.users.create_token("root", None, "ci", None, house.harness.clock.now())
        cookie = client.cookies["tidegate_session_8471"]
        dump = await house.harness.store.database.run(
            lambda c: "\n".join(c.connection.dbapi_connection.iterdump())  # type: ignore[union-attr]
        )
    assert made.id in dump, "what is looked through has the token"
    secret = text.removeprefix(f"{TOKEN_PREFIX}{made.id}_")  # it may have each of these characters itself
    for each in ("correct horse battery", text, secret, cookie):
        assert each not in dump


# --- predictions -----------------------------------------------------------------------------------------------


async def test_a_prediction_is_sent_for_an_operator_and_its_answer_can_do_no_harm() -> None:
    house = House()
    async with house.signed_in("olga", Role.OPERATOR) as client:
        headers = {"content-type": "text/csv", "x-amzn-sagemaker-target-model": "a", "x-other": "no"}
        answer = await client.post(f"{API}/endpoints/fraud/invoke", content=b"1,2", headers=headers)
    assert (answer.status_code, answer.text) == (200, "<b>0.5</b>")
    assert "sandbox" in answer.headers["content-security-policy"] and "set-cookie" not in answer.headers
    ((path, sent, body),) = house.harness.asked
    assert (path, body) == ("/endpoints/fraud/invocations", b"1,2")
    assert sent == {"content-type": "text/csv", "accept": "*/*", "x-amzn-sagemaker-target-model": "a"}


async def test_a_viewer_may_not_ask_a_model() -> None:
    house = House()
    async with house.signed_in("eve", Role.VIEWER) as client:
        assert (await client.post(f"{API}/endpoints/fraud/invoke", content=b"1")).status_code == 403
    assert house.harness.asked == []


@pytest.mark.parametrize("by_token", [True, False])
async def test_a_large_model_is_uploaded_by_users_and_tokens_without_being_held_in_memory(
    tmp_path: Path, by_token: bool
) -> None:
    house = House(GatewayHarness(Settings(state=tmp_path), people=True))
    content = b"x" * (MAX_BODY + 1)
    kind = {"content-type": "application/octet-stream"}
    async with house.signed_in("olga", Role.OPERATOR) as client:
        if by_token:
            _, text = await house.users.create_token("olga", None, "ci", None, house.harness.clock.now())
            client.cookies.clear()
            kind["authorization"] = f"Bearer {text}"
        answer = await client.put(f"{API}/uploads/model.bin", content=content, headers=kind)
    assert answer.status_code == 201 and answer.json()["bytes"] == len(content)
    assert (await house.audit())[-1][1:] == ("PUT /uploads/model.bin", "done")


async def test_strangers_who_guess_at_a_user_use_up_nothing_of_what_is_recorded_of_the_user() -> None:
    audit = MemoryAudit()
    trail = Trail(audit, GatewayHarness().clock.now)
    stranger = Caller("olga", None, Means.NONE)
    for _ in range(100):
        await trail.note_refusal(RequestedOperation(stranger, Access.CHANGE, "login"), NotAllowed("no"))
    await trail.note_refusal(RequestedOperation(OPS, Access.STOP, "POST /down"), NotAllowed("no"))
    assert audit.entries[-1].action == "POST /down" and len(audit.entries) == 61
