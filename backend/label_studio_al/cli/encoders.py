"""`label-studio-al encoders`: which encoders are here, fetches one, tries one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from label_studio_al.learners.encoders import choose_encoders, load_encoder, load_image_encoder
from label_studio_al.learners.encoders.fetching import fetch_encoder
from label_studio_al.learners.encoders.listing import Listed, list_encoders
from label_studio_al.learners.encoders.loading import FASTEMBED
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.runtime.logs import on_one_line
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.wiring import say_errors

_WORDS = ("invoice", "the", "crashed", "my", "refund", "was", "order", "never", "twice", "delivered", "and", "thanks")
_N_TEXTS = 64
_CHARACTERS = (50, 240)
_N_IMAGES = 32
_PIXELS = (640, 480)


@click.command()
@click.option("--fetch", metavar="NAME", help="Download a model of the Hugging Face Hub: OWNER/NAME[@REVISION].")
@click.option("--try", "tried", metavar="ENCODER", help="Load an encoder, as AL_ENCODER names it, and measure it.")
@click.option("--images", is_flag=True, help="With --try: an encoder of images, as AL_IMAGE_ENCODER names it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@say_errors
def encoders(fetch: str | None, tried: str | None, images: bool, as_json: bool) -> None:
    """Say which encoders are here and which are used.

    Nothing is downloaded without --fetch, which puts a model into AL_MODELS and compares its checksums.
    """
    if images and tried is None:
        raise InvalidRequest("--images says what --try is to load: it needs --try")
    settings = read_settings()
    said: dict[str, Any] = {}
    if fetch is not None:
        fetch = fetch.removeprefix(f"{FASTEMBED}:")
        if Path(fetch).expanduser().is_dir():
            _say(as_json, f"{fetch} is a folder: there is nothing to fetch")
        else:
            found = fetch_encoder(fetch, settings.models_dir, progress=sys.stderr.isatty())
            said["fetched"] = {**asdict(found), "folder": str(found.folder)}
            _say(as_json, f"{found.name} is in {found.folder} ({found.n_bytes / 1e6:.0f} MB)")
    if tried is not None:
        said["tried"] = _try_images(tried, settings) if images else _try_texts(tried, settings)
        for line in _figures(said["tried"]):
            _say(as_json, line)
    if fetch is None and tried is None:
        choice = choose_encoders(settings.encoder, settings.models_dir)
        used: dict[str, str | None] = {
            "static": choice.static.name if choice.static else None,
            "slow": choice.slow,
            "images": settings.image_encoder,
        }
        listed = list_encoders(settings.models_dir)
        said = {"setting": settings.encoder, **used, "encoders": [asdict(one) for one in listed]}
        for line in _lines(listed, list(used.values())):
            _say(as_json, line)
    if as_json:
        click.echo(json.dumps(said, indent=2))


def _say(as_json: bool, line: str) -> None:
    if not as_json:
        click.echo(on_one_line(line))


def _lines(listed: Sequence[Listed], used: Sequence[str | None]) -> list[str]:
    width = max(len(one.name) for one in listed)
    return [
        f"{one.name:{width}}  {'here' if one.is_here else 'not here'}{', used' if one.name in used else ''}"
        for one in listed
    ]


def _try_texts(name: str, settings: Settings) -> dict[str, Any]:
    encoder = load_encoder(name, settings.models_dir, settings.encoder_threads)
    about = {"name": name, "n_dimensions": encoder.n_dimensions, "fingerprint": encoder.fingerprint}
    pace = {
        f"texts_per_second_{n}_characters": _per_second(encoder.encode, [_text(i, n) for i in range(_N_TEXTS)])
        for n in _CHARACTERS
    }
    return {**about, **pace}


def _try_images(name: str, settings: Settings) -> dict[str, Any]:
    encoder = load_image_encoder(name, settings.models_dir, settings.encoder_threads)
    # Pillow is there now: the encoder needs it.
    from PIL import Image

    made = [Image.new("RGB", _PIXELS, (place * 7, 100, 200 - place)) for place in range(_N_IMAGES)]
    about = {"name": name, "n_dimensions": encoder.n_dimensions, "fingerprint": encoder.fingerprint}
    return {**about, "images_per_second": _per_second(encoder.encode, made)}


def _text(place: int, n_characters: int) -> str:
    words = (_WORDS[(place * 5 + step * (1 + place % 4)) % len(_WORDS)] for step in range(n_characters))
    return " ".join(words)[:n_characters]


def _per_second(encode: Callable[[list[Any]], Any], content: list[Any]) -> float:
    encode(content[:1])
    started = time.perf_counter()
    encode(content)
    return round(len(content) / (time.perf_counter() - started), 1)


def _figures(tried: dict[str, Any]) -> list[str]:
    lines = [f"{tried['name']}: {tried['n_dimensions']} dimensions, fingerprint {tried['fingerprint']}"]
    for figure, value in tried.items():
        what, found, rest = figure.partition("_per_second")
        if found:
            at = f" of {rest.strip('_').replace('_', ' ')}" if rest else f" of {_PIXELS[0]} by {_PIXELS[1]} pixels"
            lines.append(f"{value:.1f} {what}{at} in a second")
    return lines
