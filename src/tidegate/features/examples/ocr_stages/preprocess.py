"""First stage: a scan (PNG or JPEG) to a clean, straight picture in shades of grey, as PNG.

Settings of ``stage.json``: ``straighten`` (turn the lines of text level) and ``enlarge`` (factor).
"""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

MOST_PIXELS = 40_000_000
ANGLES = np.arange(-3.0, 3.01, 0.25)
"""Degrees that are tried."""


class BadScan(Exception):
    """The client's fault."""

    status_code = 400


class Stage:
    def __init__(self, model_dir: str) -> None:
        settings = json.loads(Path(model_dir, "stage.json").read_text())
        self.straighten = bool(settings["straighten"])
        self.enlarge = float(settings["enlarge"])

    def predict(self, body: bytes) -> tuple[bytes, str]:
        page = _open(body)
        if self.straighten:
            page = page.filter(ImageFilter.MedianFilter(3))
            page = page.rotate(_angle(page), Image.Resampling.BICUBIC, fillcolor=255)
        if self.enlarge != 1:
            size = (round(page.width * self.enlarge), round(page.height * self.enlarge))
            page = page.resize(size, Image.Resampling.LANCZOS)
        made = io.BytesIO()
        ImageOps.autocontrast(page, cutoff=1).save(made, "PNG", dpi=(200, 200))
        return made.getvalue(), "image/png"


def _open(body: bytes) -> Image.Image:
    try:
        page = Image.open(io.BytesIO(body), formats=("PNG", "JPEG"))
        if page.width * page.height > MOST_PIXELS:
            raise BadScan(f"the scan has {page.width} x {page.height} pixels; at most {MOST_PIXELS:,} are read")
        return page.convert("L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadScan(f"the body is no PNG or JPEG: {error}") from None


def _angle(page: Image.Image) -> float:
    """Degrees to turn it by: the rows of level text differ most from the gaps between them."""
    small = page.resize((page.width // 2, page.height // 2))
    return float(max(ANGLES, key=lambda angle: _contrast(small.rotate(float(angle), fillcolor=255))))


def _contrast(page: Image.Image) -> float:
    rows = (255.0 - np.asarray(page, np.float64)).sum(1)
    return float(np.square(np.diff(rows)).sum())
