"""A machine of the cluster: processes with a network, mounts and process ids of their own.

All of it ends with the first process, its leader: the kernel then kills the others and drops their mounts, devices
and packet filters. The leader is killed when the test run dies, however it dies. Only control groups are left to
remove.
"""

import signal
import subprocess
import threading
from pathlib import Path

import psutil

_SETUP = """
set -e
mount --make-rshared /
# What the servers write to fixed paths stays in the machine's folder.
mount -t tmpfs tmpfs /run
mkdir -p "$0/lib" "$0/log" "$0/tunables"
mount --bind "$0/lib" /var/lib
mount --bind "$0/log" /var/log
# kubelet sets these for the whole kernel. It gets files instead.
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
    kernel/keys/root_maxbytes; do
  file="$0/tunables/$(basename $name)"
  cat /proc/sys/$name > "$file"
  mount --bind "$file" /proc/sys/$name
done
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
echo ready
exec catatonit -P
"""
_NAMESPACES = ("--net", "--mount", "--pid")
PATIENCE = 30.0
"""Seconds until a process that was killed counts as one that cannot be."""


class Machine:
    """``folder`` holds what its processes write; each has a log ``NAME.log`` there."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        folder.mkdir(parents=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        with (folder / "machine.log").open("ab") as log:
            self._outer = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES, "--fork", "--kill-child"),
                    *("--mount-proc", "--propagation", "private", "sh", "-c", _SETUP, str(folder)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert threading.current_thread() is threading.main_thread()  # pdeathsig means the thread that started it
        assert self._outer.stdout is not None
        with self._outer.stdout as answer:
            if answer.readline() != b"ready\n":
                raise RuntimeError(f"no machine for {name}: {self.log('machine')}")
        self.leader = psutil.Process(self._outer.pid).children()[0].pid

    def inside(self, *command: str) -> list[str]:
        """A command line that runs ``command`` on the machine."""
        return ["nsenter", "--target", str(self.leader), *_NAMESPACES, "--", *command]

    def do(self, *command: str) -> None:
        """Run a command on the machine to its end. Raises CalledProcessError."""
        subprocess.run(self.inside(*command), check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def set_network(self, *words: str) -> None:
        """Run ``ip`` on the machine's network, but with this machine's process ids. Raises CalledProcessError."""
        command = ["nsenter", "--target", str(self.leader), "--net", "--", "ip", *words]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def start(self, name: str, *command: str) -> None:
        """Start a server, which writes to ``NAME.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )

    def running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def stop(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a server, and wait for its end."""
        outer = self._processes.pop(name)
        for process in psutil.Process(outer.pid).children():  # nsenter waits for it, and passes no signals on
            process.send_signal(number)
        outer.wait(PATIENCE)

    def kill(self) -> None:
        """End the machine, as a loss of power would."""
        self._outer.kill()
        for process in (self._outer, *self._processes.values()):
            process.wait(PATIENCE)
        self._processes.clear()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""
