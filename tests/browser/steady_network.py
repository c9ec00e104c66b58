"""``python steady_network.py PROGRAM ARGUMENT...``: run a program that does not notice changes of the network.

Chromium closes its connections, also those to the loopback address, whenever an address appears or goes on any
interface, and what it loads at that moment fails with ERR_NETWORK_CHANGED. Podman makes and removes interfaces for
every container, so a test beside tests of containers failed now and then. It learns of addresses by a netlink socket.
Here the kernel refuses it one, by a filter of system calls that the program inherits; it then takes the network for
one that never changes (``AddressTrackerLinux`` in Chromium's ``net/base``).
"""

import contextlib
import ctypes
import errno
import os
import platform
import socket
import struct
import sys

SOCKET = {"x86_64": 41, "aarch64": 198}
"""The number of the system call by machine."""
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
"""Operations of the filter: load a word of the call, jump unless it is equal, return (linux/filter.h)."""
NUMBER, FIRST_ARGUMENT = 0, 16
"""Places of words in the description of a call (``struct seccomp_data`` in linux/seccomp.h)."""
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
"""Options of prctl, and the mode in which a filter decides."""


class Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def refuse_netlink(call: int) -> None:
    """Refuse netlink sockets to this process and its children. ``call``: the number of ``socket``. Raises OSError."""
    steps = [
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, call),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUAL, 0, 1, socket.AF_NETLINK),
        (RETURN, 0, 0, FAIL | errno.EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = Program(len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, one, other in ((NO_NEW_PRIVILEGES, 1, None), (SECCOMP, FILTER, ctypes.byref(program))):
        if libc.prctl(option, ctypes.c_ulong(one), other, 0, 0):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


if __name__ == "__main__":
    if (call := SOCKET.get(platform.machine())) is not None:
        with contextlib.suppress(OSError):  # as on a kernel without filters: the program runs without one
            refuse_netlink(call)
    os.execvp(sys.argv[1], sys.argv[1:])
