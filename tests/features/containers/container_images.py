"""Container images of this machine's own Python, built offline in a store of podman of their own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system_packages import lacks

APP = Path(__file__).with_name("container_app.py")
SERVERS = APP.with_name("servers")
ENVIRONMENT = Path(__file__).parents[3] / ".clients" / "servers"
NGINX = ENVIRONMENT / "root" / "usr" / "sbin" / "nginx"
MODULES = "http.server,json,os,pathlib,signal,socket,sys,threading,time,encodings.idna"
_NEEDS = {"podman": "podman", "runc": "runc", "nft": "nftables", "netavark": "netavark"}
_LIST = f"""
import {MODULES}, sys
print(*sorted({{m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)}}), sep=chr(10))
"""


def why_not() -> str | None:
    """Why no container can be run here; None if one can."""
    if os.geteuid() != 0:
        return "these tests make networks of their own, which needs root"
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/podman"))
    missing = [package for command, package in _NEEDS.items() if shutil.which(command, path=path) is None]
    return lacks(missing[0]) if missing else None


@dataclass(frozen=True)
class Images:
    """podman with a store and a network of its own. ``environment``: with these variables, it is this podman."""

    folder: Path
    environment: dict[str, str]

    def podman(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["podman", *words],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"podman {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def build(self, name: str, *lines: str, base: str = "localhost/python:test", **variables: str) -> str:
        """Build an image of the test's application, with further lines of a Containerfile. Returns its digest."""
        settings = [f"ENV {key}={value}" for key, value in variables.items()]
        return self.build_file(name, f"FROM {base}", *settings, *lines)

    def build_file(self, name: str, *lines: str) -> str:
        with tempfile.TemporaryDirectory(dir=self.folder) as context:
            file = Path(context) / "Containerfile"
            file.write_text("\n".join((*lines, "")))
            self.podman("build", "--quiet", "--network", "none", "--tag", name, context)
        return self.podman("image", "inspect", "--format", "{{.Digest}}", name)

    def names(self, *filters: str) -> list[str]:
        """Containers that there are, running or not."""
        words = [word for one in filters for word in ("--filter", one)]
        return self.podman("ps", "--all", "--format", "{{.Names}}", *words).split()

    def trust(self, host: str) -> None:
        """Let a registry of this machine be reached without TLS."""
        file = self.folder / "registries.conf"
        file.write_text(file.read_text() + f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')


@contextmanager
def run_images(folder: Path, *, python: bool = True) -> Iterator[Images]:
    """Skips the test, with the reason, where there can be none. ``python``: with the image of the application."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    images = _prepare(folder)
    try:
        if python:
            _build_base(images)
        yield images
    finally:
        images.podman("rm", "--all", "--force", "--time", "0", check=False)
        images.podman("system", "reset", "--force", check=False)
        subprocess.run(["umount", "-l", folder / "store" / "overlay"], stderr=subprocess.DEVNULL, check=False)


def _build_base(images: Images) -> None:
    root = images.folder / "python"
    _copy_python(root)
    (root / "Containerfile").write_text(
        "FROM scratch\nCOPY files /\nCOPY app.py /app.py\n"
        f'ENTRYPOINT ["{os.path.realpath(sys.executable)}", "-I", "/app.py"]\nUSER 1000:1000\n'
    )
    images.podman("build", "--quiet", "--network", "none", "--tag", "localhost/python:test", str(root))


def build_servers(images: Images) -> str:
    """Build the image of web servers that people have: Python with Flask, FastAPI and gunicorn; nginx and Node.js if
    they are there. Returns its Python."""
    if not (ENVIRONMENT / ".done").exists():
        pytest.skip("the servers are not installed: make .clients/servers/.done")
    root = images.folder / "servers"
    python = os.path.realpath(ENVIRONMENT / "bin" / "python")
    paths = "import sysconfig as s; print(s.get_path('stdlib'), s.get_path('platlib'))"
    stdlib, packages = (
        subprocess.run([ENVIRONMENT / "bin" / "python", "-c", paths], capture_output=True, text=True, check=True)
    ).stdout.split()
    unused = shutil.ignore_patterns(
        "__pycache__", "test", "site-packages", "config-*", "idlelib", "ensurepip", "pip"
    )
    shutil.copytree(stdlib, root / "files" / stdlib.lstrip("/"), ignore=unused)
    shutil.copytree(packages, root / "files" / "packages", ignore=unused)
    shutil.copytree(SERVERS, root / "files" / "srv", ignore=unused)
    libraries = {
        str(file) for folder in (f"{stdlib}/lib-dynload", packages) for file in Path(folder).rglob("*.so")
    }
    programs = {python, *filter(None, [shutil.which("node")])}
    _copy_files(root, programs | _find_libraries(programs | libraries | {str(NGINX)}))
    if NGINX.exists():
        (root / "files" / "usr" / "sbin").mkdir(parents=True, exist_ok=True)
        shutil.copy(NGINX, root / "files" / "usr" / "sbin" / "nginx")
    for folder in ("tmp", "run", "var/log/nginx", "var/lib/nginx", "etc"):
        (root / "files" / folder).mkdir(parents=True, exist_ok=True)
    (root / "files" / "etc" / "passwd").write_text("root:x:0:0::/:\nnobody:x:65534:65534::/:\n")
    (root / "files" / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    _make_readable(root)
    (root / "files" / "tmp").chmod(0o1777)
    (root / "Containerfile").write_text("FROM scratch\nCOPY files /\nENV PYTHONPATH=/packages\n")
    images.podman("build", "--quiet", "--network", "none", "--tag", "localhost/servers:test", str(root))
    return python


def _prepare(folder: Path) -> Images:
    (folder / "networks").mkdir(parents=True)
    number = int(hashlib.sha256(str(folder).encode()).hexdigest(), 16)
    subnet = f"10.{100 + number % 100}.{number // 100 % 250}"
    network = {
        "name": "podman",
        "id": hashlib.sha256(str(folder).encode()).hexdigest(),
        "driver": "bridge",
        "network_interface": f"tg{number % 10**8}",
        "created": "2026-01-01T00:00:00Z",
        "subnets": [{"subnet": f"{subnet}.0/24", "gateway": f"{subnet}.1"}],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
    (folder / "networks" / "podman.json").write_text(json.dumps(network))
    (folder / "containers.conf").write_text(
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
        f'static_dir = "{folder}/static"\ntmp_dir = "{folder}/run/tmp"\nvolume_path = "{folder}/volumes"\n'
        f'[network]\nnetwork_config_dir = "{folder}/networks"\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
    )
    (folder / "registries.conf").write_text("")
    environment = {
        "CONTAINERS_CONF_OVERRIDE": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
    }
    return Images(folder, environment)


def _copy_python(root: Path) -> None:
    """Copy the interpreter of these tests, the modules that the application imports, and the libraries of both."""
    python = os.path.realpath(sys.executable)
    listed = subprocess.run([python, "-I", "-S", "-c", _LIST], capture_output=True, text=True, check=True).stdout
    files = {python, *listed.split()}
    _copy_files(root, files | _find_libraries({one for one in files if one == python or one.endswith(".so")}))
    shutil.copy(APP, root / "app.py")
    _make_readable(root)


def _find_libraries(programs: Iterable[str]) -> set[str]:
    """The libraries of programs and of other libraries."""
    found = subprocess.run(["ldd", *filter(os.path.exists, programs)], capture_output=True, text=True, check=True)
    return {word for word in found.stdout.split() if word.startswith("/") and not word.endswith(":")}


def _copy_files(root: Path, files: Iterable[str]) -> None:
    for file in files:
        target = root / "files" / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def _make_readable(root: Path) -> None:
    for path in (root / "files").rglob("*"):
        path.chmod(0o755)


def fake_program(folder: Path) -> Path:
    """A program for another kind of processor."""
    head = bytearray(Path(os.path.realpath(sys.executable)).read_bytes()[:64])
    head[18:20] = (0xB7).to_bytes(2, "little")  # AArch64
    path = folder / "foreign"
    path.write_bytes(bytes(head) + bytes(4096))
    path.chmod(0o755)
    return path
