"""tidegate's image of this checkout, built without any image registry.

``python -m tests.kubernetes.image`` builds it where it is missing and prints the archive's path. The base is Debian
with Python, made from this machine's own package sources; wheels come by this machine's own pip. All of it is kept in
the cache of ``cluster/binaries``.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.kubernetes.cluster.binaries import cache_folder, missing_packages

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
NAME = "localhost/tidegate:test"
EXTRAS = "xgboost,postgres,kubernetes"
_BASE = "localhost/tidegate-base:test"
_NEEDS = {
    "/usr/bin/podman": "podman",
    "/usr/bin/mmdebstrap": "mmdebstrap",
    "/usr/sbin/runc": "runc",
}
_LIMITS = "--ulimit nofile=$(ulimit -Sn):$(ulimit -Hn) --ulimit nproc=$(ulimit -Su):$(ulimit -Hu)"
"""This machine's own: podman asks for higher ones, which needs CAP_SYS_RESOURCE."""
_KEPT = 4
"""Images of other commits and worktrees, 450 MB each."""
_LEFT_BEHIND = 3600
"""Seconds after which an archive that is not finished is of a build that died."""
_LEFT_OUT = ("doc", "man", "locale", "info")
"""Folders of /usr/share."""
_PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)), "manylinux2014_x86_64")


def why_not() -> str | None:
    """Why no image can be built here, in one line; None if one can."""
    if os.geteuid() != 0:
        return "building an image needs root"
    if missing := missing_packages(_NEEDS):
        return f"building an image needs Debian packages: apt-get install {' '.join(missing)}"
    return None


def build() -> Path:
    """The image's archive. Raises CalledProcessError."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tg-image-") as name:
        context = Path(name)
        wheel = _wheel(context / "wheels")
        base, python = _base(cache)
        dependencies = _wheels(cache, wheel, python)
        parts = (CONTAINERFILE.read_bytes(), wheel.read_bytes(), base.name.encode(), dependencies.name.encode())
        archive = cache / f"image-{_digest(parts)}.tar"
        if not archive.exists():
            for old in sorted(cache.glob("image-*.tar"), key=lambda path: -path.stat().st_mtime)[_KEPT - 1 :]:
                old.unlink()
            for left in cache.glob("image-*.partial"):
                if time.time() - left.stat().st_mtime > _LEFT_BEHIND:
                    left.unlink(missing_ok=True)
            for each in dependencies.iterdir():
                os.link(each, context / "wheels" / each.name) if _same_disk(each, context) else shutil.copy(
                    each, context / "wheels"
                )
            _podman_build(context, base, archive)
    return archive


def _wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    folder.mkdir()
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("tidegate-*.whl"))


def _base(cache: Path) -> tuple[Path, str]:
    """Debian's smallest system with Python, as an archive of its files; and the version of that Python."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = release["VERSION_CODENAME"]
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,ca-certificates,tzdata", *options]
    archive = cache / f"base-{suite}-{_digest(part.encode() for part in command)}.tar"
    if not archive.exists():
        partial = archive.with_suffix(".partial.tar")
        subprocess.run([*command, suite, str(partial), _mirror()], check=True, stdin=subprocess.DEVNULL)
        partial.rename(archive)
    listing = subprocess.run(["tar", "-tf", archive], check=True, capture_output=True, text=True).stdout
    names = [Path(line).name for line in listing.splitlines() if "/usr/bin/python3." in line]
    return archive, names[0].removeprefix("python")


def _mirror() -> str:
    """Where this machine's own packages come from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)"], check=True, capture_output=True, text=True
    ).stdout
    mirrors = [line.split()[1] for line in listed.splitlines() if line.startswith("Debian ")]
    if not mirrors:
        raise SystemExit("apt on this machine has no archive of Debian's (run apt-get update)")
    return mirrors[0]


def _wheels(cache: Path, wheel: Path, python: str) -> Path:
    """What the wheel needs, with the extras, for the base's Python; and pip."""
    lock = ROOT / "requirements.lock"
    known = (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), EXTRAS.encode(), python.encode())
    folder = cache / f"wheels-{_digest(known)}"
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
        _pip(
            *("download", "--only-binary", ":all:", "--python-version", python, *platforms, "-c", str(lock)),
            *("--dest", str(partial), "pip", f"tidegate[{EXTRAS}] @ {wheel.as_uri()}"),
        )
        for own in partial.glob("tidegate-*.whl"):
            own.unlink()
        partial.rename(folder)
    return folder


def _podman_build(context: Path, base: Path, archive: Path) -> None:
    """Build in a store of its own and in a mount namespace of its own, so that nothing but the archive is left."""
    store = context / "store"
    podman = (
        f"env PODMAN_IGNORE_CGROUPSV1_WARNING=1 podman --root {store}/root --runroot {store}/run --runtime runc"
    )
    partial = archive.with_suffix(f".{os.getpid()}.partial")  # another test run may build the same one
    script = f"""
      set -e
      {podman} import --quiet {base} {_BASE}
      {podman} build --quiet --network none --file {CONTAINERFILE} {_LIMITS} \
        --build-arg BASE={_BASE} --build-arg EXTRAS={EXTRAS} --tag {NAME} {context}
      {podman} save --quiet --output {partial} {NAME}
    """
    subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    partial.rename(archive)


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words, "--quiet", "--disable-pip-version-check"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def main() -> int:
    if (reason := why_not()) is not None:
        print(f"no image: {reason}")
        return 0
    started = time.monotonic()
    try:
        archive = build()
    except subprocess.CalledProcessError as error:
        print(f"no image can be built here, so its tests are skipped: {error}")
        return 0
    print(f"{archive}: {archive.stat().st_size / 1e6:.0f} MB ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
