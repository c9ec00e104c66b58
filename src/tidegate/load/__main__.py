"""``python -m tidegate.load URL``: load by hand. The report goes to stdout, as a table or as JSON."""

import argparse
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tidegate.domain.errors import TidegateError
from tidegate.load.generator import LoadGenerator
from tidegate.load.report import LoadReport, Tally, document


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        report = _run(given)
    except (TidegateError, OSError) as error:
        print(f"tidegate.load: {error}", file=sys.stderr)
        return 1
    print(json.dumps(document(report)) if given.json else _table(report))
    return 0 if report.failed == 0 else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tidegate.load",
        description="Send POST requests at a constant rate and report latency from the intended start.",
        epilog="Exit status: 0 all succeeded, 1 could not run, 2 usage, 3 some requests failed.",
    )
    parser.add_argument("url", help="http://HOST:PORT/PATH, for example .../endpoints/fraud/invocations")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second (default 100)")
    parser.add_argument("--closed", action="store_true", help="closed loop: every connection busy, no rate")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--connections", type=int, default=32, help="at most this many (default 32)")
    parser.add_argument("--body", default="", help="the body, or @FILE")
    parser.add_argument("--content-type", default="text/csv")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    return parser


def _run(given: argparse.Namespace) -> LoadReport:
    parts = urlsplit(given.url)
    text: str = given.body
    body = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    headers = {"Content-Type": given.content_type}
    for header in given.header:
        name, _, value = header.partition(":")
        headers[name.strip()] = value.strip()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    rate = None if given.closed else given.rate
    generator = LoadGenerator(
        f"{parts.scheme}://{parts.netloc}", path, body, headers, rate, connections=given.connections
    )
    with generator, suppress(KeyboardInterrupt):
        time.sleep(given.seconds)
    return generator.stop()


def _table(report: LoadReport) -> str:
    lines = [f"sent {report.sent}, failed {report.failed}, statuses {report.total.statuses}"]
    lines += [_line("all", report.total)]
    lines += [_line(name or "(unnamed)", tally) for name, tally in report.by_config.items()]
    return "\n".join(lines)


def _line(name: str, tally: Tally) -> str:
    shown = [tally.percentile(percent) for percent in (50, 90, 99, 100)]
    times = " ".join("-" if value is None else f"{value * 1000:9.2f}" for value in shown)
    return f"{name:24} {tally.count:8} answered {tally.failed:6} failed   p50/p90/p99/max ms: {times}"


if __name__ == "__main__":
    raise SystemExit(main())
