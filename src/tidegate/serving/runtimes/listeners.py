"""Checks that a program owns the socket on which it is reached.

A port is free when the program gets it, but another process may take it before the program listens or after it ended.
So the sockets that would accept a connection are compared with those that the program and its children have open.
On other systems than Linux this is unknown, and not checked.
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
    """An address as Linux prints it: bytes in network order, as one number in host order."""
    return f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}"


_EXACT = {_hex("127.0.0.1"), _MAPPED + _hex("127.0.0.1")}
_WILDCARD = {_hex("0.0.0.0"), "0" * 32, _MAPPED + _hex("0.0.0.0")}


class Owner:
    """Caches which sockets are the program's, so that another check costs one read of a file."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: set[int] = set()

    def listens_alone(self, port: int) -> bool:
        """Whether there is a socket that would accept a connection to 127.0.0.1 on this port, and all such sockets
        are the program's."""
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
        """Whether the process that listens on a unix socket is the program or one of its children."""
        return pid in process_stats.process_tree(self._pid) or pid in _group(self._pid)


def find_free_port() -> int:
    """Find a loopback port that is free now. If another process takes it first, the start fails and is tried again
    with another one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peer(connection: socket.socket) -> int | None:
    """The process that listens at the other end of a unix socket; None if unknown."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", given)[0])


def listening(port: int) -> dict[int, int] | None:
    """Inode -> user of each socket that would accept a connection to 127.0.0.1: one that listens on that address
    comes before those that listen on all addresses. None if unknown."""
    found: dict[str, dict[int, int]] = {}
    tables = [table for table in _TABLES if table.exists()]
    for table in tables:
        try:
            with table.open() as file:
                next(file)
                for line in file:
                    words = line.split()
                    if words[3] != _LISTENING:
                        break  # listening sockets come first
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
    """Inodes of the sockets that these processes have open, and the users of processes that may not be inspected."""
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
    """The processes of the program's group, since one whose parent has ended is no child any more."""
    found = []
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        if name.isdecimal():
            try:
                if os.getpgid(int(name)) == leader:
                    found.append(int(name))
            except OSError:
                continue
    return found
