"""Rendered scans of wage statements: real fonts, invented content; turned, blurred, noisy and compressed.

Half of them write amounts as 1,234.56, the others as 1.234,56.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")
"""Of the ones that Matplotlib brings."""
SIZE = (1000, 640)
EMPLOYERS = (
    "Northwind Paper Ltd",
    "Harbor Tools Inc",
    "Alpine Foods GmbH",
    "Bright Clinic LLC",
    "Delta Freight Co",
)
FIRST = ("Anna", "Marco", "Priya", "John", "Elena", "David", "Fatima", "Lukas", "Grace", "Omar")
LAST = ("Novak", "Garcia", "Schmidt", "Brown", "Rossi", "Khan", "Larsen", "Dubois", "Tanaka", "Miller")
SOCIAL = 0.062


@dataclass(frozen=True)
class Scan:
    image: bytes
    fields: dict[str, Any]


def render_scans(count: int, seed: int) -> list[Scan]:
    random = np.random.default_rng(seed)
    return [_scan(random, place) for place in range(count)]


def _scan(random: np.random.Generator, place: int) -> Scan:
    wages = round(float(random.uniform(20_000, 95_000)), 2)
    fields: dict[str, Any] = {
        "employer": str(random.choice(EMPLOYERS)),
        "employee": f"{random.choice(FIRST)} {random.choice(LAST)}",
        "tax_id": f"{random.integers(10, 99)}-{random.integers(1_000_000, 9_999_999)}",
        "year": str(random.integers(2019, 2026)),
        "wages": wages,
        "tax": round(wages * float(random.uniform(0.12, 0.3)), 2),
        "social": round(wages * SOCIAL, 2),
    }
    texts = {
        name: _amount(value, place % 2 == 1) if isinstance(value, float) else value
        for name, value in fields.items()
    }
    page = _draw(texts, _font(FONTS[int(random.integers(len(FONTS)))], 24))
    return Scan(_wear(page, random), fields)


def _amount(value: float, comma: bool) -> str:
    text = f"{value:,.2f}"
    return text.translate(str.maketrans(",.", ".,")) if comma else text


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Load a font that comes with Matplotlib. Raises ModuleNotFoundError without Matplotlib."""
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
    return ImageFont.truetype(str(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / name), size)


def _draw(texts: dict[str, str], font: ImageFont.FreeTypeFont) -> Image.Image:
    page = Image.new("L", SIZE, 255)
    pen = ImageDraw.Draw(page)
    pen.text((70, 50), "Wage Statement", fill=0, font=font.font_variant(size=34))
    labels: Sequence[tuple[str, str]] = (
        ("Employer", "employer"),
        ("Employee", "employee"),
        ("Tax ID", "tax_id"),
        ("Year", "year"),
        ("Gross wages", "wages"),
        ("Tax withheld", "tax"),
        ("Social security", "social"),
    )
    for row, (label, name) in enumerate(labels):
        pen.text((70, 130 + 64 * row), f"{label}: {texts[name]}", fill=20, font=font)
    return page


def _wear(page: Image.Image, random: np.random.Generator) -> bytes:
    """Apply the effects of a scanner to a page (turned, blurred, coarser, darker and noisy) and return it as JPEG."""
    page = page.rotate(float(random.uniform(-2.6, 2.6)), Image.Resampling.BICUBIC, fillcolor=255)
    page = page.filter(ImageFilter.GaussianBlur(float(random.uniform(0.4, 1.0))))
    page = page.resize((round(page.width * 0.75), round(page.height * 0.75)), Image.Resampling.BILINEAR)
    grey = np.asarray(page, np.float64) * float(random.uniform(0.8, 0.95))
    grey += random.normal(0, float(random.uniform(6, 22)), grey.shape)
    made = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(made, "JPEG", quality=int(random.integers(45, 75)))
    return made.getvalue()
