"""How the process and Label Studio reach each other, and who may call it: the first part of the process's settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from label_studio_al.runtime.hosts import check_hosts
from label_studio_al.runtime.redaction import know, know_address, know_login

KEY_CHARACTERS = 16
# What a header takes. Line ends (also Windows') and blanks around, which files and variables often have, are stripped.
_ASCII = re.compile(r"[\x20-\x7e]+")


class ConnectionSettings(BaseSettings):
    """Addresses, credentials and keys."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore", populate_by_name=True)

    label_studio_url: str | None = Field(
        None, validation_alias="LABEL_STUDIO_URL", description="URL at which this backend reaches Label Studio."
    )
    label_studio_public_url: str | None = Field(
        None,
        validation_alias="AL_LABEL_STUDIO_PUBLIC_URL",
        description="URL of Label Studio in people's browsers, for the links on the status page. Default: "
        "LABEL_STUDIO_URL.",
    )
    label_studio_api_key: SecretStr | None = Field(
        None,
        validation_alias="LABEL_STUDIO_API_KEY",
        description="Personal access token, or legacy token, of a user who may change the project.",
    )
    backend_url: str | None = Field(
        None,
        validation_alias="AL_BACKEND_URL",
        description="URL at which Label Studio reaches this backend; behind a proxy, include the sub-path. Default: "
        "`http://localhost:PORT`.",
    )
    basic_auth_user: str | None = Field(
        None, validation_alias="BASIC_AUTH_USER", description="User name that Label Studio must send."
    )
    basic_auth_pass: SecretStr | None = Field(
        None, validation_alias="BASIC_AUTH_PASS", description="Password that Label Studio must send."
    )
    webhook_secret: SecretStr | None = Field(
        None,
        validation_alias="AL_WEBHOOK_SECRET",
        description="Key from which each project's webhook secret is derived, 16 characters or more. `NEW,OLD` "
        "accepts both while you rotate it. Default: created in MODEL_DIR on first start.",
    )
    allowed_hosts: str | None = Field(
        None,
        validation_alias="AL_ALLOWED_HOSTS",
        description="Additional host names of this backend (the `Host` header), separated by commas. Without basic "
        "auth, only these, loopback, and the hosts of AL_BACKEND_URL and `--host` are accepted.",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        validation_alias="AL_TRUSTED_PROXIES",
        description="Number of proxies in front of this backend whose `X-Forwarded-For`, `-Proto`, `-Host` and "
        "`-Prefix` are trusted; 0 trusts none (docs/proxy.md).",
    )
    media_hosts: Annotated[str | None, AfterValidator(check_hosts)] = Field(
        None,
        validation_alias="AL_MEDIA_HOSTS",
        description="Hosts other than Label Studio from which images of tasks may be fetched, its storages' among "
        "them: names, or names with ports, separated by commas (docs/privacy.md). Default: none.",
    )
    ca_bundle: Path | None = Field(
        None,
        validation_alias="AL_CA_BUNDLE",
        description="PEM file of additional certificate authorities to trust, for a Label Studio with a private one. "
        "`REQUESTS_CA_BUNDLE` does the same; `SSL_CERT_FILE` replaces the well-known authorities.",
    )
    signing_key: SecretStr | None = Field(
        None,
        validation_alias="AL_SIGNING_KEY",
        description="Key that signs stored models. Default: created in MODEL_DIR on first start.",
    )

    @field_validator("label_studio_url", "label_studio_public_url", "backend_url", mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        value = value.strip()
        know_address(value)
        address = TypeAdapter(HttpUrl).validate_python(value)
        if address.username or address.password:
            # Pages and Label Studio show it, and as a header it would take the token's place.
            raise PydanticCustomError("address", "must not hold a user or a password")
        return value.rstrip("/") or None

    @field_validator("label_studio_api_key", "basic_auth_pass", "webhook_secret", "signing_key", mode="before")
    @classmethod
    def _without_ends(cls, value: Any) -> Any:
        return without_ends(value)

    @field_validator("label_studio_api_key")
    @classmethod
    def _is_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _ASCII.fullmatch(value.get_secret_value()):
            raise PydanticCustomError(
                "token", "must be a token as Label Studio shows it: ASCII letters, digits and signs on one line"
            )
        return value

    @field_validator("basic_auth_user")
    @classmethod
    def _is_user(cls, value: str | None) -> str | None:
        if value is not None and (not _ASCII.fullmatch(value) or ":" in value):
            raise PydanticCustomError(
                "user", "must be ASCII characters without a colon, which ends the user's name in basic auth"
            )
        return value

    @field_validator("basic_auth_pass")
    @classmethod
    def _is_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _ASCII.fullmatch(value.get_secret_value()):
            raise PydanticCustomError(
                "password", "must be ASCII characters: Label Studio sends no others in basic auth"
            )
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        keys = split_keys(value.get_secret_value())
        know(*keys)
        if not keys or any(len(key) < KEY_CHARACTERS or not _ASCII.fullmatch(key) for key in keys):
            raise PydanticCustomError(
                "keys",
                f"must be one key, or two with a comma between them, of {KEY_CHARACTERS} ASCII characters or more",
            )
        return value

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> ConnectionSettings:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS must be set together: one alone protects nothing")
        if self.basic_auth_user and self.basic_auth_pass:
            know_login(self.basic_auth_user, self.basic_auth_pass.get_secret_value())
        return self

    @field_validator("signing_key")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < KEY_CHARACTERS:
            raise PydanticCustomError("short", f"must have {KEY_CHARACTERS} characters or more")
        return value

    @property
    def is_protected(self) -> bool:
        """Whether callers must show credentials."""
        return self.login is not None

    @property
    def host_names(self) -> list[str]:
        """Further names under which this backend is called."""
        return [one.lower() for one in re.split(r"[\s,]+", self.allowed_hosts or "") if one]

    @property
    def linked_at(self) -> str | None:
        """Label Studio's address, as people's browsers reach it."""
        return self.label_studio_public_url or self.label_studio_url

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password of this backend's own, where both are set."""
        if self.basic_auth_user and self.basic_auth_pass:
            return self.basic_auth_user, self.basic_auth_pass.get_secret_value()
        return None

    @property
    def has_studio(self) -> bool:
        """Whether Label Studio can be asked and told: it has an address and a token."""
        return bool(self.label_studio_url and self.label_studio_api_key)


def split_keys(given: str) -> list[str]:
    """The keys of `NEW,OLD`."""
    return [one for one in map(str.strip, re.split(r"[\r\n,]+", given)) if one]


def without_ends(value: Any) -> Any:
    """A secret without blanks around, None if nothing is left; registered first, so that no message repeats it."""
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(given, str):
        return value
    know(given, given.strip())
    return given.strip() or None
