"""Whose socket it is that a program is reached on.

A port is free when the program gets it, and may be taken by anybody before the program listens, or once it has ended:
who answers there need not be the program. So the sockets that would take a connection are compared with those that
the program and its children have open. Elsewhere than on Linux this is not known, and not asked.
"""

import os
import re
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from tidegate.host import process_stats

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_MAPPED = "0000000000000000FFFF0000" if sys.byteorder == "little" else "00000000000000000000FFFF"


def _hex(address: str) -> str:
    """As Linux writes it: the bytes of the network as one number of the machine."""
    return f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}"


_EXACT = {_hex("127.0.0.1"), _MAPPED + _hex("127.0.0.1")}
_WILDCARD = {_hex("0.0.0.0"), "0" * 32, _MAPPED + _hex("0.0.0.0")}


class Owner:
    """Remembers which sockets were found to be the program's, so that a further look costs one read of a file."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: set[int] = set()

    def listens_alone(self, port: int) -> bool:
        """Whether each socket that would take a connection to 127.0.0.1 on this port is the program's, and there is
        one."""
        found = listening(port)
        if found is None:
            return True
        foreign = {inode: uid for inode, uid in found.items() if inode not in self._known}
        if not foreign:
            return bool(found)
        mine, hidden = _held([*process_stats.process_tree(self._pid), *_group(self._pid)])
        self._known |= foreign.keys() & mine
        return all(inode in mine or uid in hidden for inode, uid in foreign.items())

    def is_peer(self, pid: int) -> bool:
        """Whether the process that began to listen on a unix socket is the program or one of its children."""
        return pid in process_stats.process_tree(self._pid) or pid in _group(self._pid)


def peer(connection: socket.socket) -> int | None:
    """The process that listens at the other end of a unix socket; None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", given)[0])


def listening(port: int) -> dict[int, int] | None:
    """Inode -> user of each socket that would take a connection to 127.0.0.1: one that listens on that address goes
    before those that listen on all. None where the system does not tell."""
    found: dict[str, dict[int, int]] = {}
    tables = [table for table in _TABLES if table.exists()]
    for table in tables:
        try:
            with table.open() as file:
                next(file)
                for line in file:
                    words = line.split()
                    if words[3] != _LISTENING:
                        break  # those that listen come first
                    address, _, number = words[1].rpartition(":")
                    if int(number, 16) == port:
                        found.setdefault(address, {})[int(words[9])] = int(words[7])
        except (OSError, StopIteration):
            continue
    if not tables:
        return None
    exact = {address for address in found if address in _EXACT}
    taking = exact or {address for address in found if address in _WILDCARD}
    return {inode: uid for address in taking for inode, uid in found[address].items()}


def _held(pids: Iterable[int]) -> tuple[set[int], set[int]]:
    """Inodes of the sockets that these processes have open, and the users of those that may not be looked at."""
    inodes, hidden = set(), set()
    for pid in pids:
        folder = Path(f"/proc/{pid}/fd")
        try:
            names = os.listdir(folder)
        except PermissionError:
            hidden.add(Path(f"/proc/{pid}").stat().st_uid)
            continue
        except OSError:
            continue
        for name in names:
            try:
                target = os.readlink(folder / name)
            except OSError:
                continue
            if socket_of := _SOCKET.fullmatch(target):
                inodes.add(int(socket_of[1]))
    return inodes, hidden


def _group(leader: int) -> list[int]:
    """The processes of the program's group: one whose parent has ended is no child of anybody's here."""
    found = []
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        if name.isdecimal():
            try:
                if os.getpgid(int(name)) == leader:
                    found.append(int(name))
            except OSError:
                continue
    return found
