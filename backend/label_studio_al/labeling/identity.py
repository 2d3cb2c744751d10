"""Names that both sides agree on: a project's identity and a model version."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from label_studio_al.runtime.errors import InvalidRequest

VERSION_PREFIX = "al-"
_KEY = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}")
_VERSION = re.compile(re.escape(VERSION_PREFIX) + r"([0-9]{1,9})(?:-([a-z2-7]{1,16}))?")


def project_key(project_id: object, created_at: object) -> str:
    """A project's identity: id and time of creation, "3.1795343520", as Label Studio sends it to /setup.

    created_at: ISO 8601 text. The time keeps a re-created Label Studio database, which counts its ids from 1
    again, from inheriting an old model. Raises InvalidRequest if either is not what it should be.
    """
    if isinstance(project_id, bool) or not isinstance(project_id, int) or not 0 <= project_id < 10**18:
        raise InvalidRequest(f"project.id must be a whole number, not {str(project_id)[:40]!r}")
    try:
        created = datetime.fromisoformat(str(created_at).replace("Z", "+00:00"))
        seconds = int(created.replace(tzinfo=created.tzinfo or timezone.utc).timestamp())
    except (ValueError, OverflowError):
        seconds = -1
    if seconds < 0:
        raise InvalidRequest(f"project.created_at must be an ISO 8601 time, not {str(created_at)[:40]!r}")
    return f"{project_id}.{seconds}"


def read_project_key(value: object) -> str:
    """The identity in a request's `project` field. Raises InvalidRequest."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise InvalidRequest(f'project must look like "3.1795343520" (id, dot, creation time), not {str(value)[:40]!r}')
    return value


def project_id_of(key: str) -> int:
    """Label Studio's number of the project."""
    return int(key.partition(".")[0])


def version_name(number: int, installation: str) -> str:
    """The model version that Label Studio shows: "al-12-k3f7a".

    installation: which backend has published it (`Signer.installation`). Empty for one of a release that named its
    versions "al-12", as anybody may name an import.
    """
    return f"{VERSION_PREFIX}{number}-{installation}" if installation else f"{VERSION_PREFIX}{number}"


def version_number(name: object, installation: str) -> int | None:
    """The number in a name that `version_name` gave for this installation; None for every other name."""
    match = _VERSION.fullmatch(name) if isinstance(name, str) else None
    return int(match[1]) if match and (match[2] or "") == installation else None
