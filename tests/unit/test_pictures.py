"""Images of every kind that people upload become small RGB pictures; whatever else is called an image is refused."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from label_studio_al.pool.pictures import MAX_PIXELS, MAX_SCANS, decode, thumbnail
from label_studio_al.runtime.errors import ImageUnusable

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


def is_near(pixel: object, color: tuple[int, int, int], by: int = 12) -> bool:
    assert isinstance(pixel, tuple)
    return max(abs(one - other) for one, other in zip(pixel, color, strict=True)) <= by


def refused(content: bytes) -> ImageUnusable:
    with pytest.raises(ImageUnusable) as caught:
        decode(content)
    return caught.value


def png_of(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that declares a size, whatever its pixels."""
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    written = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in (head, *chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


# -- what is read ------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("JPEG", "RGB", {"quality": 95}),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}),
        ("JPEG", "CMYK", {"quality": 95}),
        ("WEBP", "RGB", {"lossless": True}),
        ("GIF", "P", {}),
        ("BMP", "RGB", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "CMYK", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ],
)
def test_colours_are_those_of_the_file(kind: str, mode: str, options: dict[str, object]) -> None:
    image = decode(saved(halves(mode), kind, **options))
    assert (image.mode, image.size) == ("RGB", (64, 48))
    assert is_near(image.getpixel((10, 24)), RED)
    assert is_near(image.getpixel((54, 24)), BLUE)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_grey_stays_grey(kind: str) -> None:
    assert is_near(decode(saved(Image.new("L", (40, 40), 100), kind)).getpixel((20, 20)), (100, 100, 100), 2)


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (40, 40), 0)
    image.paste(1, (20, 0, 40, 40))
    read = decode(saved(image, "PNG"))
    assert (read.getpixel((5, 5)), read.getpixel((35, 5))) == ((0, 0, 0), WHITE)


@pytest.mark.parametrize(("kind", "size"), [("PNG", (40, 40)), ("TIFF", (40, 40)), ("PNG", (3_000, 40))])
def test_sixteen_bits_of_grey_become_eight(kind: str, size: tuple[int, int]) -> None:
    values = np.full(size[::-1], 0x8000, dtype=np.uint16)
    pixel = decode(saved(Image.fromarray(values), kind)).getpixel((5, 2))
    assert is_near(pixel, (128, 128, 128), 1)


def test_floats_are_shown_from_the_darkest_to_the_brightest() -> None:
    values = np.linspace(-3.0, 7.0, 40 * 40, dtype=np.float32).reshape(40, 40)
    values[3, 3] = np.nan
    image = decode(saved(Image.fromarray(values), "TIFF"))
    assert is_near(image.getpixel((0, 0)), (0, 0, 0), 8)
    assert is_near(image.getpixel((39, 39)), WHITE, 8)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("size", [(64, 48), (3_000, 2_000)])
def test_transparent_is_white(kind: str, mode: str, size: tuple[int, int]) -> None:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (size[0] // 2, 0, *size))
    read = decode(saved(image.convert(mode), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert is_near(read.getpixel((3, 3)), WHITE)
    assert is_near(read.getpixel((read.width - 3, 3)), (0, 0, 0))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    image = halves("P")
    red = image.getpixel((5, 5))
    read = decode(saved(image, kind, transparency=red))
    assert is_near(read.getpixel((5, 5)), WHITE)
    assert is_near(read.getpixel((60, 5)), BLUE)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (40, 40), color) for color in (GREEN, RED, BLUE)]
    read = decode(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert is_near(read.getpixel((20, 20)), GREEN)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_is_upright(kind: str, orientation: int) -> None:
    image = halves(size=(64, 32))
    image.paste(GREEN, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(image, kind, exif=exif, **({"quality": 95} if kind != "TIFF" else {}))
    read = decode(content)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert read.size == ((64, 32) if orientation < 5 else (32, 64))
    difference = np.asarray(read, dtype=int) - np.asarray(expected, dtype=int)
    assert abs(difference).max() < 16


def test_damaged_exif_does_not_spoil_the_image() -> None:
    assert decode(saved(halves(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")).size == (64, 48)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((2_048, 1_024), (512, 256)), ((100, 4_000), (13, 512)), ((300, 200), (300, 200)), ((60_000, 2), (512, 1))],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_longer_side_has_a_limit_and_nothing_grows(kind: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert decode(saved(Image.new("RGB", size, RED), kind)).size == expected


def test_shrinking_keeps_everything_in_its_place() -> None:
    """As Pillow shrinks in one go: bands meet without a gap or a shift."""
    y, x = np.mgrid[0:2_501, 0:3_777]
    values = np.stack([x * 255 // 3_777, y * 255 // 2_501, (x // 97 + y // 89) % 2 * 255], axis=2).astype(np.uint8)
    image = Image.fromarray(values)
    read = np.asarray(decode(saved(image, "BMP")), dtype=int)
    expected = np.asarray(image.resize((512, 339), Image.Resampling.LANCZOS), dtype=int)
    assert read.shape == expected.shape
    assert np.abs(read - expected)[..., :2].max() <= 3
    assert np.abs(read - expected)[..., 2].mean() < 12


def test_picture_holds_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    content = saved(halves(), "JPEG", exif=exif, comment=b"my name", icc_profile=b"x" * 200)
    image = decode(content)
    assert image.info == {}
    assert b"my name" in content
    for one in (image, Image.open(io.BytesIO(content))):
        small = thumbnail(one)
        assert b"my name" not in small
        assert b"where I live" not in small


# -- what is refused ---------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"a text that is called picture.jpg", "no image"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
        (b"\xef\xbb\xbf  <svg/>", "an SVG"),
        (b"<!doctype html><title>Sign in</title>", "a web page"),
        (b"%PDF-1.7", "no image"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "no image"),
        (b"\x00\x00\x00\x1cftypavif", "no image"),
        (b"8BPS", "no image"),
    ],
)
def test_what_is_no_image_is_refused_with_a_sentence(content: bytes, said: str) -> None:
    error = refused(content)
    assert error.reason == "not_an_image"
    assert said in str(error)
    assert "PNG, JPEG, WebP, GIF, BMP and TIFF are read" in str(error)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_image_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), kind)
    for share in (0.1, 0.5, 0.9):
        assert refused(content[: int(len(content) * share)]).reason in ("broken", "not_an_image")


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (MAX_PIXELS + 1, 1)])
def test_declared_pixels_have_a_limit(size: tuple[int, int]) -> None:
    assert refused(png_of(*size, (b"IDAT", zlib.compress(b"")))).reason == "too_large"


@pytest.mark.parametrize(
    "content",
    [
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
        b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
        b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xfe\x3f\0\xfe\x3f\0",
        saved(Image.new("L", (8, 8)), "JPEG").replace(b"\0\x08\0\x08\x01", b"\xff\xff\xff\xff\x01"),
    ],
    ids=["BMP", "GIF", "WEBP", "JPEG"],
)
def test_declared_pixels_have_a_limit_in_every_format(content: bytes) -> None:
    assert refused(content).reason in ("too_large", "broken")


def test_jpeg_with_scans_without_end_is_refused_before_it_is_decoded() -> None:
    content = saved(halves(size=(2_000, 2_000)), "JPEG", progressive=True)
    first = content.index(b"\xff\xda")
    last = content.rindex(b"\xff\xda")
    scans = content[last:-2] * (MAX_SCANS * MAX_PIXELS // 4_000_000)
    assert refused(content[:first] + content[first:-2] + scans + b"\xff\xd9").reason == "too_large"


def test_bomb_in_a_text_of_a_png_is_refused() -> None:
    bomb = b"Comment\0\0" + zlib.compress(b"a" * 80_000_000)
    assert refused(png_of(8, 8, (b"zTXt", bomb), (b"IDAT", zlib.compress(b"\0" * 200)))).reason == "broken"


def directory(entries: list[tuple[int, int, int, int]], data: bytes) -> bytes:
    """A TIFF, or EXIF: tags (number, type, count, value or place) behind the data, which begins at byte 8."""
    written = b"".join(struct.pack("<HHII", *one) for one in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + written + b"\0" * 4


def tiff(*further: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """Grey, 8 by 8 pixels."""
    pixels = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    return directory([*pixels, (278, 3, 1, 8), (279, 4, 1, 64), *further], data or b"\0" * 64)


N_TAGS, N_BYTES = 100, 1_000_000
REPEATING = [(40_000 + number, 7, N_BYTES, 8) for number in range(N_TAGS)]


def test_tags_that_tell_the_same_bytes_again_and_again_are_refused() -> None:
    assert decode(tiff()).size == (8, 8)
    error = refused(tiff(*REPEATING, data=b"\0" * N_BYTES))
    assert error.reason == "broken"
    assert str(error) == "the tags of an image claim more bytes than its file has"


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP", "JPEG"])
def test_exif_is_not_copied_again_and_again(kind: str) -> None:
    """Its tags stand for 100 MB, of one MB: earlier releases of Pillow copy them all."""
    exif = directory(REPEATING, b"\0" * N_BYTES)
    if kind == "TIFF":
        # The second directory lies behind the data, and the first behind that.
        content = tiff((34_665, 4, 1, 8 + N_BYTES), data=exif[8:])
    elif kind == "JPEG":
        plain = saved(Image.new("RGB", (8, 8)), "JPEG")
        pieces = [b"Exif\0\0" + exif[first : first + 60_000] for first in range(0, len(exif), 60_000)]
        segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(piece) + 2) + piece for piece in pieces)
        content = plain[:2] + segments + plain[2:]
    else:
        content = saved(Image.new("RGB", (8, 8)), kind, exif=exif)
    tracemalloc.start()
    try:
        assert decode(content).size == (8, 8)
        assert tracemalloc.get_traced_memory()[1] < 20 * N_BYTES
    finally:
        tracemalloc.stop()


def test_pixels_of_a_tile_have_a_limit() -> None:
    assert (
        refused(tiff((322, 4, 1, 20_000), (323, 4, 1, 20_000), (324, 4, 1, 8), (325, 4, 1, 64))).reason == "too_large"
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_end_in_a_picture_or_a_sentence(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]))
    content = bytearray(saved(halves(size=(32, 24)), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(content))
    except ImageUnusable:
        return
    assert image.mode == "RGB"
    assert max(image.size) <= 512


# -- thumbnails --------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [((512, 256), (128, 64)), ((100, 50), (100, 50)), ((1, 512), (1, 128))])
def test_thumbnail_is_a_small_jpeg(size: tuple[int, int], expected: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    content = thumbnail(Image.fromarray(noise))
    read = Image.open(io.BytesIO(content))
    assert (read.format, read.size) == ("JPEG", expected)
    assert len(content) < 12_000


def test_thumbnail_leaves_the_image_as_it_is() -> None:
    image = Image.new("RGB", (400, 400), RED)
    thumbnail(image)
    assert image.size == (400, 400)


# -- what it costs -----------------------------------------


def peak_kilobytes(make: Callable[[], bytes]) -> int:
    """Memory that a process of its own needs more to decode a file than before."""
    code = (
        "import json, sys; from label_studio_al.pool.pictures import decode\n"
        "from PIL import Image, PngImagePlugin, JpegImagePlugin\n"
        # Not getrusage, which also counts the process that began this one.
        "def peak(): return int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\n"
        "content = sys.stdin.buffer.read(); before = peak(); decode(content); print(json.dumps(peak() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=make(), capture_output=True, check=True, timeout=60)
    return int(json.loads(done.stdout))


def test_largest_png_takes_one_copy_of_its_pixels() -> None:
    size = (8_000, 6_250)
    content = png_of(*size, (b"IDAT", zlib.compress(b"\0" * (3 * size[0] + 1) * size[1], 1)))
    assert size[0] * size[1] == MAX_PIXELS
    assert peak_kilobytes(lambda: content) < 300_000


def test_large_photograph_is_never_decoded_whole() -> None:
    assert peak_kilobytes(lambda: saved(halves(size=(8_000, 6_000)), "JPEG")) < 60_000


def test_importing_costs_no_pillow() -> None:
    code = (
        "import sys, label_studio_al.pool.pictures, label_studio_al.studio.client;"
        "print({'PIL', 'label_studio_al.studio.media'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
