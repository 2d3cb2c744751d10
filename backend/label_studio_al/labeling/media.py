"""What stands for an image in a task."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from urllib.parse import parse_qs, unquote, urlsplit

# Servers take no longer ones. Label Studio's hold a file's name, or a storage's key; others a signature as well.
MAX_ADDRESS_CHARACTERS = 8_192
# Label Studio reads these itself, with the storage's credentials (1.23.2).
_STORAGES = ("s3://", "gs://", "azure-blob://")
# Ways to a storage's file that lead through Label Studio.
RESOLVING = re.compile(r"/(?:tasks|projects)/\d{1,19}/(?:resolve|presign)/?", re.ASCII)

# Of an address that tells no file's name.
UNNAMED = "image"
# Label Studio's parameters that hold a path: of its local files, and of what was uploaded (1.23.2).
_PATHS = ("d", "filepath")


def media_key(value: str) -> str:
    """What stands for the content: the value itself, but one key for a storage's file and Label Studio's way to it.

    Listings give `/tasks/ID/resolve/?fileuri=…` where webhooks and exports give `s3://…` (1.23.2).
    """
    if "fileuri=" not in value[:MAX_ADDRESS_CHARACTERS] or len(value) > MAX_ADDRESS_CHARACTERS:
        return value
    try:
        parts = urlsplit(value)
        if RESOLVING.search(parts.path) is None:
            return value
        uri = urlsafe_b64decode(parse_qs(parts.query)["fileuri"][0]).decode()
    except (ValueError, KeyError):
        return value
    return uri if is_of_a_storage(uri) else value


def is_of_a_storage(address: str) -> bool:
    """Whether an address is one of a storage that Label Studio reads itself."""
    return address.startswith(_STORAGES)


def file_name(address: str) -> str:
    """The name of an image's file; nothing else of its address, which may hold a signature or a password."""
    try:
        found = urlsplit(address)
        path = found.path
        if path.rstrip("/").endswith(("/local-files", "/uploaded")):
            given = parse_qs(found.query)
            path = next((given[name][0] for name in _PATHS if name in given), path)
    except ValueError:
        return UNNAMED
    name = unquote(path).rpartition("/")[2]
    return UNNAMED if found.scheme == "data" or "." not in name else name
