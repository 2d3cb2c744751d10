"""Models as signed bytes: joblib runs code when it loads, so nothing is loaded that we did not write."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
from functools import cache
from importlib.metadata import version
from typing import Any

import joblib

from label_studio_al.runtime.errors import ArtifactRejected

# The number changes with the shape of what is stored: an older release's objects would load, and then fail.
_MAGIC = b"label-studio-al/7\n"
_DIGEST_BYTES = 32


class Signer:
    """Turns objects into signed bytes and back (HMAC-SHA256, checked before anything is unpickled)."""

    def __init__(self, key: str) -> None:
        # A variable that is not UTF-8 is read with halves of surrogate pairs.
        self._key = key.encode("utf-8", "surrogatepass")

    @property
    def installation(self) -> str:
        """A short name of whoever holds this key, five letters and digits: the same after the database was lost."""
        return base64.b32encode(self.key_for("naming the installation"))[:5].decode().lower()

    def dump(self, value: Any, kind: str) -> bytes:
        """The object as bytes that only this key's holder can have written, for this kind of use."""
        buffer = io.BytesIO()
        # Topics are 16 MB: they are written where they stay, and the digest is put in front afterwards.
        buffer.write(_MAGIC + bytes(_DIGEST_BYTES) + _release())
        joblib.dump(value, buffer)
        with buffer.getbuffer() as written:
            digest = self._digest(kind, written[len(_MAGIC) + _DIGEST_BYTES :])
            written[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES] = digest
        return buffer.getvalue()

    def load(self, artifact: bytes, kind: str) -> Any:
        """The object. Raises ArtifactRejected if the bytes are corrupt, foreign, of another kind or scikit-learn."""
        if not artifact.startswith(_MAGIC):
            raise ArtifactRejected(
                "a stored model must start with this release's mark: it is corrupt, foreign or older"
            )
        digest = artifact[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES]
        body = memoryview(artifact)[len(_MAGIC) + _DIGEST_BYTES :]
        if not hmac.compare_digest(digest, self._digest(kind, body)):
            raise ArtifactRejected(
                "a stored model must carry a signature of this key: it is corrupt, changed or foreign"
            )
        if body[: len(_release())] != _release():
            raise ArtifactRejected(f"a stored model must come from {_release().decode().strip()}")
        try:
            return joblib.load(io.BytesIO(body[len(_release()) :]))
        except Exception as exc:
            raise ArtifactRejected(f"a stored model must suit this release, it does not: {type(exc).__name__}") from exc

    def key_for(self, purpose: str) -> bytes:
        """A key of its own for another use than artifacts."""
        return hmac.digest(self._key, f"key for {purpose}".encode(), hashlib.sha256)

    def _digest(self, kind: str, body: memoryview) -> bytes:
        # A key for each kind, so that nothing that was signed for one use is taken for another.
        key = hmac.digest(self._key, kind.encode(), hashlib.sha256)
        return hmac.digest(key, body, hashlib.sha256)


def model_kind(project_key: str, number: int, created_at: float) -> str:
    """What the model of a version is signed for: in the row of another version, older or newer, it is refused."""
    return f"model of {project_key}, version {number} of {float(created_at)!r}"


def features_kind(project_key: str, created_at: float) -> str:
    """What a project's features are signed for: in a row of another time they are refused."""
    return f"features of {project_key} of {float(created_at)!r}"


@cache
def _release() -> bytes:
    return f"scikit-learn {version('scikit-learn')}\n".encode()
