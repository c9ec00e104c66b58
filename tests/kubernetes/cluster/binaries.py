"""The servers of Kubernetes: built once from Debian's source package, then taken from a cache.

``python -m tests.kubernetes.cluster.binaries`` builds them where they are missing and prints their folder.
``TIDEGATE_KUBERNETES_CACHE`` names the cache's folder; a changed build script has a folder of its own there.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("build.sh")
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
BUILD_NEEDS = {
    "/usr/lib/go-1.24/bin/go": "golang-1.24-go",
    "/usr/share/gocode/src/github.com/modern-go/reflect2": "golang-github-modern-go-reflect2-dev",
    "/usr/bin/dpkg-source": "dpkg-dev",
}
"""Path -> Debian package that has it."""


def cache_folder() -> Path:
    """Where built programs and images are kept between runs."""
    given = os.environ.get("TIDEGATE_KUBERNETES_CACHE")
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "kubernetes"


def servers_folder() -> Path:
    """Where the programs of this build script are, or will be."""
    return cache_folder() / f"servers-{hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:16]}"


def built() -> bool:
    return servers_folder().is_dir()


def missing_packages(needs: dict[str, str]) -> list[str]:
    """The Debian packages of which a path is not there."""
    return [package for path, package in needs.items() if not Path(path).exists()]


def build() -> Path:
    """Build the programs unless they are in the cache: 4 to 7 minutes of two cores. Raises CalledProcessError."""
    folder = servers_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            subprocess.run(["nice", "-n", "19", SCRIPT, partial], check=True, stdin=subprocess.DEVNULL)
            partial.rename(folder)  # whole, or not there
    return folder


def main() -> int:
    if not built() and (missing := missing_packages(BUILD_NEEDS)):
        print(f"Kubernetes cannot be built here, so its tests are skipped: apt-get install {' '.join(missing)}")
        return 0
    started = time.monotonic()
    try:
        print(f"{build()} ({time.monotonic() - started:.0f} s)")
    except subprocess.CalledProcessError as error:
        print(f"Kubernetes cannot be built here, so its tests are skipped: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
