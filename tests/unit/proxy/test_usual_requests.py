"""Which requests pass the checks by: none that a check behind could tell from others."""

import re
from dataclasses import replace

import pytest

from tests.unit.proxy.test_config import OPTIONS, canary
from tidegate.auth import same_site
from tidegate.proxy.config import render_config
from tidegate.proxy.frontend_rules import CHECKED_NAMES, ROUTING_NAMES

KNOWN = {"host", "authorization"}
"""Headers whose values the condition itself looks at."""


def public_rules(signed: bool) -> list[str]:
    text = render_config(canary(), replace(OPTIONS, signed=signed))
    section = text.partition("frontend public")[2].partition("\nfrontend ")[0]
    behind = section.partition("http-request allow if usual\n")[2].splitlines()
    return [line for line in behind if " if sticks " not in line]  # only where an endpoint has several fleets


@pytest.mark.parametrize("signed", [False, True])
def test_no_rule_behind_reads_a_header_that_a_usual_request_may_have(signed: bool) -> None:
    asked = [line for line in public_rules(signed) if not line.strip().startswith("http-after-response")]
    names = {name.lower() for line in asked for name in re.findall(r"req\.f?hdr(?:_cnt)?\(([^)]+)\)", line)}
    names |= {name.lower() for line in asked for name in re.findall(r"del-header (\S+) -m beg", line)}
    assert len(names) >= 3
    assert [
        name for name in names - KNOWN if not any(part in name for part in CHECKED_NAMES + ROUTING_NAMES)
    ] == []


def test_every_header_of_a_proxy_is_among_the_names() -> None:
    for name in ("x-forwarded-for", "forwarded", *same_site.FORWARDED_NAMES):
        assert same_site.is_forwarded([name]) and any(part in name for part in CHECKED_NAMES)
