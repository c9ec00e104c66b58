"""Build the documentation site from the README and `docs/`: ``python -m website.build``.

The pages are copied side by side as they lie in the repository, so that their links hold on the site, too; the README
becomes the first page. A link that leads nowhere ends the build.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "RELEASING.md", "SECURITY.md")
FOLDERS = ("docs", "examples")


def main() -> int:
    return build(BUILD)


def build(folder: Path) -> int:
    """Build ``folder/site`` from ``folder/pages``, both made anew. Returns the exit code of Zensical, which says what
    is wrong."""
    copy_pages(folder / "pages")
    config = shutil.copy(ROOT / "website" / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(config)]
    return subprocess.run(command).returncode


def copy_pages(folder: Path) -> None:
    """``folder`` is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "README.md", folder / "index.md")
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for page in (ROOT / "bench").rglob("*.md"):  # results and findings, which pages link to
        copy = folder / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, copy)


if __name__ == "__main__":
    sys.exit(main())
