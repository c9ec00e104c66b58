"""A terminal of a given size: what a program's output looks like on its screen, with what scrolled off."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_CODE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\].*?(?:\x07|\x1b\\)|(\r)|(\n)|([^\x1b\r\n]+)", re.DOTALL)


@dataclass
class Screen:
    """Knows what ``rich`` sends: line feeds, cursor up, erased lines. Anything else that moves is an error."""

    columns: int
    rows: int
    lines: list[str] = field(default_factory=lambda: [""])
    """All of them, also those that have scrolled off the top."""
    row: int = 0
    column: int = 0

    def feed(self, text: str) -> None:
        for found in _CODE.finditer(text):
            values, kind, back, down, plain = found.groups()
            if back:
                self.column = 0
            elif down:
                self._down()
            elif plain:
                self._write(plain)
            elif kind:
                self._control(values, kind)

    def _down(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.lines):
            self.lines.append("")

    def _write(self, text: str) -> None:
        for char in text:
            if self.column == self.columns:
                self._down()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1

    def _control(self, values: str, kind: str) -> None:
        if kind == "A":
            top = max(0, len(self.lines) - self.rows)
            self.row = max(top, self.row - int(values or 1))  # what scrolled off cannot be reached
        elif kind == "K":
            self.lines[self.row] = ""
        elif kind not in "mhl":
            raise AssertionError(f"the terminal was sent {values}{kind}")

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def visible(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines[-self.rows :])


def run_on_terminal(
    command: Sequence[str], variables: Mapping[str, str], *, columns: int = 80, rows: int = 24
) -> tuple[int, Screen, str]:
    """Exit status, the screen at the end, and all that was sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        list(command),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**inherited, "TERM": "xterm", **variables},
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:  # the other side is closed: the end, on Linux
        pass
    finally:
        os.close(ours)
    sent, screen = b"".join(parts).decode(), Screen(columns, rows)
    screen.feed(sent)
    return process.wait(), screen, sent
