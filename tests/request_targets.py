"""Request targets for tests: those that are refused everywhere, and strategies for more of either kind."""

from urllib.parse import quote

from hypothesis import strategies as st

from tidegate.auth.request_target import is_canonical

TO_FRAUD = "/endpoints/fraud"
AMBIGUOUS = (
    *(f"{TO_FRAUD}/v1/../../other/invocations", f"{TO_FRAUD}/v1/x/../../../other/invocations"),
    *(f"{TO_FRAUD}/v1/%2e%2e/%2E%2E/other/invocations", f"{TO_FRAUD}/v1/..%2f..%2fother/invocations"),
    *(f"{TO_FRAUD}/../other/invocations", f"{TO_FRAUD}/./invocations", f"{TO_FRAUD}/v1/.", f"{TO_FRAUD}/v1/.."),
    *(f"{TO_FRAUD}//invocations", f"/{TO_FRAUD}/invocations", f"{TO_FRAUD}/v1//models", f"{TO_FRAUD}/v1/models//"),
    *("/endpoints//fraud/invocations", "//evil.example/endpoints/fraud/invocations"),
    *(f"{TO_FRAUD}%2Finvocations", f"{TO_FRAUD}%2finvocations", "/endpoints%2Ffraud/invocations"),
    *(f"{TO_FRAUD}%5Cinvocations", f"{TO_FRAUD}\\invocations", f"{TO_FRAUD}/v1\\..\\..\\other"),
    *(
        f"{TO_FRAUD}/invocations%00",
        f"{TO_FRAUD}%00/invocations",
        f"{TO_FRAUD}/v1/%0d%0aX:y",
        f"{TO_FRAUD}/v1/%7F",
    ),
    *("/endpoints/%66raud/invocations", "/endpoints/frau%64/invocations", "/%65ndpoints/fraud/invocations"),
    *(
        f"{TO_FRAUD}/v1/%c0%ae%c0%ae/other",
        f"{TO_FRAUD}/v1/%C3%A9",
        f"{TO_FRAUD}/v1/\xe9",
        "/endpoints/fra\xfcd/x",
    ),
    *(f"{TO_FRAUD}/v1/%", f"{TO_FRAUD}/v1/%2", f"{TO_FRAUD}/v1/%zz", f"{TO_FRAUD}/v1/%252e%252e/x", "/%"),
    *(
        f"{TO_FRAUD};x=1/invocations",
        f"{TO_FRAUD}/invocations;x=1",
        f"{TO_FRAUD}/v1/..;/other",
        f"{TO_FRAUD}%3Bx/v1/a",
    ),
    *("http://127.0.0.1/endpoints/fraud/invocations", "HTTP://evil/endpoints/fraud/invocations", "https://h/"),
    *("endpoints/fraud/invocations", "*", "127.0.0.1:80", f"{TO_FRAUD}/v1/a#b", f"{TO_FRAUD}/invocations#/x"),
    *(f"{TO_FRAUD}/v1/%3a", f"{TO_FRAUD}/v1/a|b", f'{TO_FRAUD}/v1/"', f"{TO_FRAUD}/v1/<", f"{TO_FRAUD}/v1/{{x}}"),
    *(f"{TO_FRAUD}/invocations?a=%", f"{TO_FRAUD}/invocations?a=%zz", f"{TO_FRAUD}/invocations?%00"),
    *(f"{TO_FRAUD}/invocations?a=\xe9", f"{TO_FRAUD}/invocations?a=b#c", f"{TO_FRAUD}/invocations?a\\b"),
    *(f"{TO_FRAUD}/v1/models?a=%0", "/?Action=%00", "/tidegate/v1/../../endpoints/fraud/invocations"),
)
"""Everywhere refused. Some would be sent to the endpoint ``fraud`` by one reader and to ``other`` by another."""

CANONICAL = (
    *("/", f"{TO_FRAUD}/invocations", f"{TO_FRAUD}/v1/chat/completions", f"{TO_FRAUD}/v1/models/org/name:7b@1,2"),
    *(f"{TO_FRAUD}/v1/a%20b%3Ac", f"{TO_FRAUD}/v1/...", f"{TO_FRAUD}/v1/.hidden", f"{TO_FRAUD}/v1/a..b", "/a/"),
    *("/service/GraniteServiceVersion20100801/operation/ListMetrics", "/tidegate/v1/endpoints/fraud/logs?tail=3"),
    *(f"{TO_FRAUD}/invocations?x=1&x=1&&y", "/?Action=DescribeAlarms&AlarmNames.member.1=a%20b%3Ac%C3%A9%0A+d"),
)

_pieces = st.one_of(
    st.sampled_from(["endpoints", "fraud", "other", "invocations", "v1", "models", "invocations-response-stream"]),
    st.sampled_from(
        ["", ".", "..", "...", "%2e", "%2E%2E", "%2F", "%2f", "%5C", "%00", "%41", "%20", "%3A", ";", "~"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), max_size=4),
    st.text(st.characters(max_codepoint=0x2FF), max_size=3).map(quote),
)
paths = st.lists(st.lists(_pieces, min_size=1, max_size=2).map("".join), min_size=1, max_size=8).map(
    lambda segments: "/" + "/".join(segments)
)
"""Any, of bytes that a client can send in a request line; mostly around an endpoint's path."""

_segments = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8).map(
    lambda s: quote(s, safe="")
)
canonical_paths = st.lists(_segments, max_size=5).map(lambda found: "/" + "/".join(found)).filter(is_canonical)
"""What clients make of plain text."""

_words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
encoded_queries = st.lists(st.tuples(_words, _words), max_size=4).map(
    lambda pairs: "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs if name)
)
raw_queries = (
    st.lists(
        st.one_of(
            st.sampled_from(
                ["a", "b", "a=1", "a=2", "=", "&", "=x", "a=+", "a=%20", "a=%2f", "a=%2F", "~", "%7e", "a%3D=1"]
            ),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=4),
        ),
        max_size=6,
    )
    .map("&".join)
    .filter(lambda query: is_canonical("/", query))
)
"""As people and other programs write them: repeated and empty names, either spelling of a space."""

batches = st.lists(
    st.one_of(paths, canonical_paths, st.tuples(paths, raw_queries).map("?".join)), min_size=60, max_size=60
)
"""Many at once, for a server that takes a second to start."""
