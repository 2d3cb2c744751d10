"""Images as encoders and pages take them: decoded within limits, upright, RGB, small.

Pillow is imported by the first call.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterator
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
_EXIF = b"Exif\0\0"
# Tags of EXIF and TIFF, and the bytes of a value by its type.
_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 274, 322, 323
_TYPE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
# What makes an image upright, of Pillow's transpositions.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
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
        image, exif = _opened(content, name)
        _check_size(image.size, MAX_WEBP_PIXELS if name == "WebP" else MAX_PIXELS)
        if name == "Jpeg":
            _check_scans(image.size, content.count(_START_OF_SCAN))
            # Large photographs are decoded at a half, a quarter or an eighth of their size.
            image.draft(None, (2 * longest, 2 * longest))
        image.load()
        return _finished(image, longest, _orientation(image, exif))
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


def _opened(content: bytes, name: str) -> tuple[Any, bytes]:
    """The image with what its head says, before any pixel is decoded, and its EXIF where Pillow would not give it."""
    try:
        module = importlib.import_module(f"PIL.{name}ImagePlugin")
    except ImportError as exc:
        raise InvalidSettings("images need Pillow: pip install 'label-studio-active-learning[images]'") from exc
    exif = b""
    if name == "Jpeg":
        content, exif = _without_exif(content)
    if name == "Tiff":
        _check_tags(content)
    image = getattr(module, f"{name}ImageFile")(io.BytesIO(content))
    if name == "Tiff":
        _check_size((image.tag_v2.get(_TILE_WIDTH, 1), image.tag_v2.get(_TILE_LENGTH, 1)), MAX_PIXELS)
        # Else Pillow reads directories below the first, and turns the image.
        image.getexif = dict
        exif = content
    return image, exif


def _check_size(size: tuple[int, int], at_most: int) -> None:
    if size[0] * size[1] > at_most:
        raise ImageUnusable(
            f"an image may have {at_most // 10**6} million pixels, not {size[0]} x {size[1]}", "too_large"
        )


def _check_scans(size: tuple[int, int], n_scans: int) -> None:
    if size[0] * size[1] * n_scans > MAX_PIXELS * MAX_SCANS:
        raise ImageUnusable(f"a JPEG of {size[0]} x {size[1]} pixels in {n_scans} scans is not decoded", "too_large")


def _finished(image: Any, longest: int, orientation: int) -> Image:
    small: Image = _reduced(image, longest)
    small.thumbnail((longest, longest))
    if small.mode == "RGBA":
        behind = small.copy()
        behind.paste("white", (0, 0, *small.size))
        behind.alpha_composite(small)
        small = behind
    small = small.convert("RGB")
    if orientation in _TURNS:
        small = small.transpose(_turn(_TURNS[orientation]))
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


def _orientation(image: Any, exif: bytes) -> int:
    """How the image lies, by EXIF's number: 1 is upright, and what does not tell counts as that."""
    exif = exif or image.info.get("exif") or b""
    try:
        return next((given for tag, _, given in _tags(exif.removeprefix(_EXIF)) if tag == _ORIENTATION), 1)
    except struct.error:
        return 1


def _without_exif(content: bytes) -> tuple[bytes, bytes]:
    """A JPEG whose EXIF Pillow does not see, and the EXIF."""
    at = content.find(_EXIF)
    is_segment = at >= 4 and content[at - 4 : at - 2] == b"\xff\xe1"
    return content.replace(_EXIF, b"none\0\0"), content[at : at + 65_536] if is_segment else b""


def _check_tags(content: bytes) -> None:
    """Refuses a TIFF whose tags tell the same bytes again and again, which Pillow before 13 copies for each."""
    if sum(n_bytes for _, n_bytes, _ in _tags(content)) > len(content):
        raise ImageUnusable("the tags of an image claim more bytes than its file has", "broken")


def _tags(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Each tag of the first directory of a TIFF, or of EXIF: number, bytes of its value, its value if it is a short.

    Raises struct.error.
    """
    order = "<" if content.startswith(b"II") else ">"
    (first,) = struct.unpack_from(f"{order}I", content, 4)
    (n_tags,) = struct.unpack_from(f"{order}H", content, first)
    for at in range(first + 2, first + 2 + 12 * n_tags, 12):
        tag, kind, count, short = struct.unpack_from(f"{order}HHIH", content, at)
        yield tag, count * _TYPE_BYTES.get(kind, 1), short


def _turn(name: str) -> Any:
    from PIL.Image import Transpose

    return Transpose[name]
