"""The settings of the process (environment) and of one project (extra params of its model connection).

Read once at the edge by `Settings()`; docs/settings.md is generated from these fields.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.redaction import know, know_address, know_login

KEY_CHARACTERS = 16
# What a header takes. Line ends (also Windows') and blanks around, which files and variables often have, are stripped.
_ASCII = re.compile(r"[\x20-\x7e]+")

_SCHEDULER = re.compile(r"tcp://([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


class Settings(BaseSettings):
    """What the environment says. Empty variables count as unset."""

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
    model_dir: Path = Field(
        default_factory=lambda: user_data_path("label-studio-active-learning", appauthor=False),
        validation_alias="MODEL_DIR",
        description="Folder for databases, features and keys. Default: the user's data folder.",
    )
    database_url: str | None = Field(
        None,
        repr=False,
        validation_alias="DATABASE_URL",
        description="Database that holds the state; `postgresql+psycopg://...` for several machines. "
        "Default: SQLite in MODEL_DIR.",
    )
    port: int = Field(9090, ge=1, le=65535, validation_alias="PORT", description="Port of the web server.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="Lowest level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        validation_alias="AL_LOG_FORMAT",
        description="Log format: for people (`text`) or for machines (`json`).",
    )
    max_body_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024,
        validation_alias="AL_MAX_BODY_BYTES",
        description="Maximum size of a request body, and of all bodies handled at once. Retrieving predictions for a "
        "whole tab is one request.",
    )
    max_tasks: int = Field(
        50_000, ge=1, validation_alias="AL_MAX_TASKS", description="Maximum tasks in one prediction request."
    )
    max_projects: int = Field(
        1_000,
        ge=1,
        validation_alias="AL_MAX_PROJECTS",
        description="Maximum projects that may use this backend. Only those that Label Studio confirms count.",
    )
    web_threads: int = Field(
        8, ge=1, le=256, validation_alias="AL_WEB_THREADS", description="Requests handled at the same time."
    )
    web_queue: int = Field(
        64,
        ge=1,
        le=10_000,
        validation_alias="AL_WEB_QUEUE",
        description="Requests that may wait; any more get a 503.",
    )
    worker_threads: int = Field(
        8, ge=1, le=64, validation_alias="AL_WORKER_THREADS", description="Projects that take a turn at the same time."
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        validation_alias="AL_THREADS",
        description="CPU threads that compute at the same time in a process; each uses one BLAS thread. Default: the "
        "CPUs available to it.",
    )
    dask_scheduler: str | None = Field(
        None,
        validation_alias="AL_DASK_SCHEDULER",
        description="Dask cluster that computes committees, expected error reduction, embedding and simulate (extra "
        "`dask`): `tcp://HOST:PORT`.",
    )
    encoder: str = Field(
        "wordllama",
        validation_alias="AL_ENCODER",
        description="Sentence embeddings to use with TF-IDF: `wordllama`, `sentence-transformers:MODEL`, "
        "`model2vec:MODEL` (a folder or a name) or `none`.",
    )
    sync_seconds: float = Field(
        300.0,
        gt=0,
        validation_alias="AL_SYNC_SECONDS",
        description="Seconds between checks for changes in Label Studio, which make up for lost webhooks. With more "
        "than three projects, quiet ones are checked less often: docs/reliability.md.",
    )
    sweep_seconds: float = Field(
        1.0,
        gt=0,
        validation_alias="AL_SWEEP_SECONDS",
        description="Seconds between checks for projects whose job was lost or whose retry is due.",
    )
    secrets_dir: Path | None = Field(
        None,
        validation_alias="AL_SECRETS_DIR",
        description="Folder with a file for each variable, named after it and holding its value, as Docker and "
        "Kubernetes provide secrets. An environment variable takes precedence over its file.",
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

    @field_validator(
        "label_studio_api_key", "basic_auth_pass", "webhook_secret", "signing_key", "database_url", mode="before"
    )
    @classmethod
    def _without_ends(cls, value: Any) -> Any:
        """Registered as secrets first, so that no message repeats them."""
        given = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(given, str):
            return value
        know(given, given.strip())
        return given.strip() or None

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

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str | None) -> str | None:
        if value is not None:
            _check_database(value)
        return value

    @field_validator("dask_scheduler")
    @classmethod
    def _is_scheduler(cls, value: str | None) -> str | None:
        if value is not None and not _SCHEDULER.fullmatch(value):
            raise PydanticCustomError("scheduler", "must be tcp://HOST:PORT, the address of a Dask scheduler")
        return value

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Settings:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS must be set together: one alone protects nothing")
        if self.basic_auth_user and self.basic_auth_pass:
            know_login(self.basic_auth_user, self.basic_auth_pass.get_secret_value())
        return self

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

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
    def reached_at(self) -> str:
        """This backend's address, as Label Studio reaches it."""
        return self.backend_url or f"http://localhost:{self.port}"

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

    @property
    def store_url(self) -> str:
        """SQLAlchemy address of the state."""
        return self.database_url or f"sqlite:///{self.model_dir / 'state.sqlite'}"

    @property
    def features_dir(self) -> Path:
        """Where the files of all features lie."""
        return self.model_dir / "features"

    @property
    def jobs_url(self) -> str:
        """SQLAlchemy address of the jobs: a SQLite file of their own, so that they never wait for a label's write."""
        return self.database_url or f"sqlite:///{self.model_dir / 'jobs.sqlite'}"


class ProjectSettings(BaseModel):
    """What an admin types into "extra params" when connecting the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Literal[
        "auto",
        "random",
        "least_confidence",
        "margin",
        "entropy",
        "k_center",
        "k_means",
        "typiclust",
        "vote_entropy",
        "consensus_entropy",
        "kl_divergence",
        "expected_gradient_length",
        "expected_error_reduction",
        "cluster_margin",
        "badge",
        "contrastive",
        "density_weighted_margin",
    ] = Field(
        "auto",
        description="What to ask first: `auto` covers the pool, then asks where the model is uncertain "
        "(all strategies: docs/strategies.md).",
    )
    features: Literal["auto", "both", "tfidf", "embeddings", "texts", "comparison"] = Field(
        "auto",
        description="Input of the model: words and topics (`tfidf`), the encoder's `embeddings`, or `both`; "
        "of two texts `texts` or their `comparison` alone; `auto` decides by cross-validation.",
    )
    audit_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Share of the asked tasks that are drawn at random, to measure the model."
    )
    verify_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02,
        description="Share of the tasks selected for automatic labels (at least 30) that people label instead, as a "
        "check; 0 for none.",
    )
    retrain_growth: Annotated[float, Field(ge=0, le=10)] = Field(
        0.05, description="Share of new or changed labels that triggers a retraining (at least one label)."
    )
    window: Annotated[int, Field(ge=5, le=5000)] = Field(
        100,
        description="Maximum tasks kept pushed to Label Studio. The target is 50, or 3 times the labels that trigger a "
        "retraining if that is more.",
    )
    min_labels: Annotated[int, Field(ge=2, le=100_000)] = Field(
        5, description="Labelled tasks needed for the first training."
    )
    questions: Annotated[str, Field(max_length=2_000)] = Field(
        "",
        description="Which of several questions order the queue: names of their controls, separated by commas. "
        "Default: all.",
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        0, description="Seed for all random choices: same labels, same seed, same model."
    )

    @property
    def steering(self) -> tuple[str, ...]:
        """The names in `questions`."""
        return tuple(name for name in map(str.strip, self.questions.split(",")) if name)


def _check_database(value: str) -> None:
    # Not at the top: `serve`, which only watches, does without it.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    know_address(value)
    rule = "must be an address as SQLAlchemy takes it, postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    try:
        address = make_url(value)
    except (ArgumentError, ValueError):
        raise PydanticCustomError("database", rule) from None
    know(None if address.password is None else str(address.password))
    if not value.isprintable() or address.get_backend_name() not in ("sqlite", "postgresql"):
        raise PydanticCustomError("database", rule)


def split_keys(given: str) -> list[str]:
    """The keys of `NEW,OLD`."""
    return [one for one in map(str.strip, re.split(r"[\r\n,]+", given)) if one]


def read_settings(**overrides: Any) -> Settings:
    """The process's settings. Raises InvalidSettings with one sentence that names the variable."""
    try:
        return Settings(_secrets_dir=_secrets_dir(), **overrides)
    except SettingsError as exc:
        why = exc.__cause__.strerror if isinstance(exc.__cause__, OSError) else "it is not text (UTF-8)"
        raise InvalidSettings(f"AL_SECRETS_DIR: a file in it cannot be read: {why}") from None
    except ValidationError as exc:
        raise InvalidSettings(_sentence(exc)) from None


def _secrets_dir() -> str | None:
    folder = os.environ.get("AL_SECRETS_DIR") or None
    if folder is not None and not Path(folder).is_dir():
        raise InvalidSettings(f"AL_SECRETS_DIR: must be a folder, not {folder!a}")
    return folder


def read_project_settings(extra_params: object) -> ProjectSettings:
    """A project's settings from its extra params (an object, or None for the defaults).

    Raises InvalidSettings with one ASCII sentence, because Label Studio shows only the status line.
    """
    if extra_params is None:
        return ProjectSettings()
    if not isinstance(extra_params, dict):
        raise InvalidSettings(f"extra params must be a JSON object, not {type(extra_params).__name__}")
    unknown = sorted(set(map(str, extra_params)) - set(ProjectSettings.model_fields))
    if unknown:
        known = ", ".join(ProjectSettings.model_fields)
        raise InvalidSettings(f"unknown extra param {unknown[0][:60]!a}: use one of {known}")
    try:
        return ProjectSettings.model_validate(extra_params)
    except ValidationError as exc:
        raise InvalidSettings(_sentence(exc)) from None


def _sentence(exc: ValidationError) -> str:
    first = exc.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if not name:
        # A rule about several variables says itself which; its input is all of them, secrets included.
        return str(first["msg"]).removeprefix("Value error, ")
    rule = first["msg"] if first["msg"][:2].isupper() else first["msg"][:1].lower() + first["msg"][1:]
    # A user may be given with the password behind it, and an address with both in front.
    came = ascii(first["input"])
    is_secret = "@" in came or any(word in name.upper() for word in ("KEY", "PASS", "AUTH", "SECRET", "DATABASE_URL"))
    return f"{name}: {rule}" + ("" if is_secret else f", not {came[:80]}")
