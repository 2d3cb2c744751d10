"""The kinds of tokens that Label Studio gives."""

from __future__ import annotations

import jwt

PERSONAL = "a personal access token"
# What a personal access token is exchanged for; valid for minutes.
ACCESS = "an access token"
LEGACY = "a legacy token"


def token_kind(token: str) -> str:
    """PERSONAL, ACCESS or LEGACY: whatever is no JSON Web Token counts as the last."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return LEGACY
    return ACCESS if claims.get("token_type") == "access" else PERSONAL
