"""Label Studio's API, as far as the loop needs it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

# The header that webhooks made by `connect` carry. Here, so that the web edge need not import the client.
WEBHOOK_HEADER = "X-Label-Studio-AL-Secret"


def webhook_secret(key: str, project_key: str) -> str:
    """What a project's webhooks carry, `PROJECT:HMAC`. Label Studio shows it to all users; it opens no other project.

    key: known to this backend only.
    """
    return f"{project_key}:{hmac.digest(key.encode(), f'webhook of {project_key}'.encode(), 'sha256').hex()}"


def project_of_secret(given: str, keys: Sequence[str]) -> str | None:
    """The project whose secret this is, made from one of the keys; None for anything else."""
    project_key = given.rpartition(":")[0]
    if not project_key.isascii():
        return None
    # All comparisons are always made.
    expected = [webhook_secret(key, project_key) for key in keys]
    matches = [hmac.compare_digest(given.encode("utf-8", "replace"), one.encode()) for one in expected]
    return project_key if project_key and any(matches) else None
