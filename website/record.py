"""Record docs/rollout.gif: ``python -m website.record``. The console's page of an endpoint, while a good release goes
through in steps and a bad one is turned back, under live load.

Everything in the picture is real: the platform, the models, the requests and the browser (Debian's Chromium).
"""

import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from tidegate.features.examples import fraud
from tidegate.features.examples.demo.cloud import ENDPOINT, FLAWED, XGBOOST, DemoClient, canary, linear
from tidegate.features.examples.demo.private_server import run_server
from tidegate.load import LoadGenerator
from website.build import ROOT

PICTURE = ROOT / "docs" / "rollout.gif"
SIZE: ViewportSize = {"width": 860, "height": 730}
RATE = 150.0
EVERY = 1.0
"""Seconds between two frames, which are shown three times as fast."""
REST = 4
"""Frames after each release."""
COLOURS = 48


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no Chromium is installed: apt-get install chromium", file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory() as folder,
        run_server(Path(folder) / "state") as running,
        sync_playwright() as play,
    ):
        models = Path(folder) / "models"
        trained = fraud.build(models, scale=1)
        cloud = DemoClient(running.url)
        cloud.register("v1", XGBOOST, models / "v1.ubj", {})
        cloud.register("better", XGBOOST, models / "better.ubj", {})
        cloud.register("fails", FLAWED, models / "better.ubj", {"FAIL_RATE": "0.05"})
        cloud.create("v1")
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(f"{running.url}/console/endpoints/{ENDPOINT}")
        path = f"/endpoints/{ENDPOINT}/invocations"
        bodies = [request.body.encode() for request in trained.requests]
        with LoadGenerator(running.url, path, bodies, {"Content-Type": "text/csv"}, RATE) as load:
            frames = [*watch(page, cloud, "better", linear(25, 3)), *watch(page, cloud, "fails", canary(25, 20))]
            failed = load.stop().failed
        browser.close()
    save(frames)
    print(
        f"{PICTURE.name}: {len(frames)} frames, {PICTURE.stat().st_size >> 10} KiB; the bad version failed {failed}"
    )
    return 0


def watch(page: Page, cloud: DemoClient, release: str, policy: dict[str, object]) -> list[Image.Image]:
    """Frames of one update, from its beginning to a little after its end."""
    cloud.update(release, policy, cloud.guard(release))
    frames: list[Image.Image] = []
    rest = REST
    while rest:
        frames.append(Image.open(io.BytesIO(page.screenshot())))
        if cloud.describe().status not in ("Updating", "RollingBack"):
            rest -= 1
        time.sleep(EVERY)
    return frames


def save(frames: list[Image.Image]) -> None:
    """With one palette for all, so that what does not change between two frames takes no space."""
    palette = frames[len(frames) // 2].convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small = [frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    small[0].save(PICTURE, save_all=True, append_images=small[1:], duration=350, loop=0, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
