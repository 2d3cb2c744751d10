"""Images as encoders and pages take them: decoded within limits, upright, RGB, small.

Pillow is imported by the first call.
"""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from label_studio_al.runtime.errors import ImageUnusable, InvalidSettings

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 50_000_000
# Its decoder keeps four times what an image takes.
MAX_WEBP_PIXELS = 25_000_000
# A JPEG may go over its pixels again and again: programs write ten scans, and previews have some of their own.
MAX_SCANS = 12
THUMBNAIL_PIXELS = 128

# By the first bytes: the name of Pillow's module and class. Pillow's own search would import and ask forty.
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "Png"),
    (b"\xff\xd8\xff", "Jpeg"),
    (b"GIF8", "Gif"),
    (b"RIFF", "WebP"),
    (b"BM", "Bmp"),
    (b"II*\0", "Tiff"),
    (b"MM\0*", "Tiff"),
)
_BAND_PIXELS = 1_000_000
_START_OF_SCAN = b"\xff\xda"
_ORIENTATION = 0x0112
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def decode(content: bytes, longest: int = 512) -> Image:
    """The image in a file: RGB, upright, the first frame, what is transparent on white, no metadata.

    longest: pixels of its longer side at most; smaller ones stay as they are. Raises ImageUnusable (`not_an_image`,
    `too_large`, `broken`), and InvalidSettings without Pillow.
    """
    name = next((name for start, name in _FORMATS if content.startswith(start)), None)
    if name is None or (name == "WebP" and content[8:12] != b"WEBP"):
        raise ImageUnusable(f"{_guessed(content)}: PNG, JPEG, WebP, GIF, BMP and TIFF are read", "not_an_image")
    try:
        image = _opened(content, name)
        _check_size(image.size, MAX_WEBP_PIXELS if name == "WebP" else MAX_PIXELS)
        if name == "Jpeg":
            _check_scans(image.size, content.count(_START_OF_SCAN))
            # Large photographs are decoded at a half, a quarter or an eighth of their size.
            image.draft(None, (2 * longest, 2 * longest))
        image.load()
        return _finished(image, longest)
    except (ImageUnusable, InvalidSettings, MemoryError):
        raise
    except Exception as exc:
        # Decoders stumble in many ways over what others wrote.
        raise ImageUnusable("an image is damaged or not whole, and cannot be decoded", "broken") from exc


def thumbnail(image: Image) -> bytes:
    """A JPEG of 128 pixels at most, of a few kB, without metadata."""
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    # A JPEG's comment is taken from here.
    small.info.clear()
    file = io.BytesIO()
    small.save(file, "JPEG", quality=75, optimize=True)
    return file.getvalue()


def _guessed(content: bytes) -> str:
    head = content[:1_000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "an SVG is a drawing's source and not read"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page came instead of an image"
    return "the file is empty" if not content else "the file is no image"


def _opened(content: bytes, name: str) -> Any:
    """The image with what its head says, before any pixel is decoded."""
    try:
        module = importlib.import_module(f"PIL.{name}ImagePlugin")
    except ImportError as exc:
        raise InvalidSettings("images need Pillow: pip install 'label-studio-active-learning[images]'") from exc
    return getattr(module, f"{name}ImageFile")(io.BytesIO(content))


def _check_size(size: tuple[int, int], at_most: int) -> None:
    if size[0] * size[1] > at_most:
        raise ImageUnusable(
            f"an image may have {at_most // 10**6} million pixels, not {size[0]} x {size[1]}", "too_large"
        )


def _check_scans(size: tuple[int, int], n_scans: int) -> None:
    if size[0] * size[1] * n_scans > MAX_PIXELS * MAX_SCANS:
        raise ImageUnusable(f"a JPEG of {size[0]} x {size[1]} pixels in {n_scans} scans is not decoded", "too_large")


def _finished(image: Any, longest: int) -> Image:
    # Afterwards: Pillow has turned a TIFF by then.
    turned = _turn(image)
    small: Image = _reduced(image, longest)
    small.thumbnail((longest, longest))
    if small.mode == "RGBA":
        behind = small.copy()
        behind.paste("white", (0, 0, *small.size))
        behind.alpha_composite(small)
        small = behind
    small = small.convert("RGB")
    if turned is not None:
        small = small.transpose(turned)
    small.info.clear()
    return small


def _reduced(image: Any, longest: int) -> Any:
    """A copy of some two times the wanted size, or of its own, in a mode whose pixels can be averaged.

    Made in bands: a second image of full size may take 200 MB.
    """
    extrema = image.getextrema() if image.mode in ("I", "F") else (0, 0)
    width, height = image.size
    factor = max(1, max(width, height) // (2 * longest))
    rows = factor * max(1, _BAND_PIXELS // (width * factor))
    bands = [
        _plain(image.crop((0, top, width, min(height, top + rows))), extrema).reduce(factor)
        for top in range(0, height, rows)
    ]
    made = bands[0].resize((bands[0].width, sum(band.height for band in bands)))
    top = 0
    for band in bands:
        made.paste(band, (0, top))
        top += band.height
    return made


def _plain(image: Any, extrema: tuple[float, float]) -> Any:
    """An image in a mode whose pixels can be averaged: L, RGB, RGBA, CMYK. extrema: of grey with 32 bits."""
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image, *extrema)
    if image.mode in _WITH_ALPHA or image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("P", "1"):
        return image.convert("RGB" if image.mode == "P" else "L")
    return image


def _eight_bits(image: Any, low: float, high: float) -> Any:
    """Grey of 16 bits as browsers show it; of 32 bits, or of floats, from its darkest to its brightest."""
    from PIL.Image import fromarray

    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        return fromarray((values >> 8).astype(np.uint8))
    with np.errstate(all="ignore"):
        shares = np.nan_to_num((values.astype(np.float64) - low) / (high - low))
    return fromarray((shares.clip(0, 1) * 255).astype(np.uint8))


def _turn(image: Any) -> Any:
    """What makes it upright, of Pillow's transpositions; None where it is, or does not tell."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        return turns.get(image.getexif().get(_ORIENTATION))
    except Exception:
        # Of no use, but the pixels are there.
        return None
