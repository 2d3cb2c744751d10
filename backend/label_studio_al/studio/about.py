"""What Label Studio says of itself to everybody."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from label_studio_al.runtime.errors import StudioRefused, StudioUnreachable
from label_studio_al.studio.transport import tls_advice

# Measured, tested and installed by the demo.
LABEL_STUDIO_VERSION = "1.23.2"
_PATH = "/api/version/"


@dataclass(frozen=True)
class About:
    """Label Studio's release and clock. now: seconds since 1970, None if it does not tell."""

    release: str
    now: float | None


def ask_about(http: httpx.Client, url: str) -> About:
    """Release and clock, asked without a token: so it tells who is not there from who refuses.

    Raises StudioUnreachable, StudioRefused.
    """
    try:
        answer = http.get(f"{url}{_PATH}", follow_redirects=False)
        if answer.is_redirect:
            target = answer.headers.get("Location", "").removesuffix(_PATH)
            raise StudioRefused(f"{url} leads on to {target}: set LABEL_STUDIO_URL to that address")
        answer.raise_for_status()
        return About(str(answer.json()["release"]), _seconds(answer.headers.get("Date")))
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        reason = tls_advice(str(exc)) or str(exc).partition("\n")[0] or type(exc).__name__
        raise StudioUnreachable(
            f"Label Studio at {url} does not answer ({reason}): start it, or correct LABEL_STUDIO_URL"
        ) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise StudioRefused(f"what answers at {url} is no Label Studio: correct LABEL_STUDIO_URL") from exc


def _seconds(date: str | None) -> float | None:
    """The time of a Date header (RFC 9110, 6.6.1)."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
