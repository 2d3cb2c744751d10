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
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import SettingsError

from label_studio_al.runtime.connection_settings import ConnectionSettings, without_ends
from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.redaction import know, know_address

_SCHEDULER = re.compile(r"tcp://([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


class Settings(ConnectionSettings):
    """What the environment says. Empty variables count as unset."""

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
        "auto",
        validation_alias="AL_ENCODER",
        description="Sentence embeddings to use with TF-IDF: `wordllama`, `fastembed:MODEL`, "
        "`sentence-transformers:MODEL`, `model2vec:MODEL` (a folder or a name), an installed package's, or `none`. "
        "`auto` is the recommended `fastembed` model if it was fetched, else `wordllama` (docs/encoders.md).",
    )
    image_encoder: str = Field(
        "none",
        validation_alias="AL_IMAGE_ENCODER",
        description="Embeddings of images: `fastembed:MODEL` (a folder or a name), `onnx:FOLDER`, an installed "
        "package's, or `none`.",
    )
    models_dir: Path | None = Field(
        None,
        validation_alias="AL_MODELS",
        description="Folder of encoders that `label-studio-al encoders --fetch` downloaded. Default: the cache of "
        "Hugging Face.",
    )
    encoder_threads: int = Field(
        1,
        ge=1,
        le=1024,
        validation_alias="AL_ENCODER_THREADS",
        description="CPU threads of a `fastembed` or `onnx` encoder.",
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

    @field_validator("database_url", mode="before")
    @classmethod
    def _without_blanks(cls, value: Any) -> Any:
        return without_ends(value)

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

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @property
    def reached_at(self) -> str:
        """This backend's address, as Label Studio reaches it."""
        return self.backend_url or f"http://localhost:{self.port}"

    @property
    def store_url(self) -> str:
        """SQLAlchemy address of the state."""
        return self.database_url or f"sqlite:///{self.model_dir / 'state.sqlite'}"

    @property
    def features_dir(self) -> Path:
        """Where the files of all features lie."""
        return self.model_dir / "features"

    @property
    def embeddings_dir(self) -> Path:
        """Where the embeddings lie that are filled in later."""
        return self.model_dir / "embeddings"

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
    thumbnails: Literal["on", "off"] = Field(
        "on",
        description="Whether small pictures of the tasks' images are kept, and shown on the status page: `off` removes "
        "those that exist.",
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
