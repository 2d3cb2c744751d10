"""Settings: one sentence for each wrong value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.settings import ProjectSettings, Settings, read_project_settings, read_settings

ENV_NAMES = {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}
SECRETS = ("LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS", "AL_WEBHOOK_SECRET", "AL_SIGNING_KEY")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of our variables is set."""
    for name in set(ENV_NAMES.values()) & set(os.environ):
        monkeypatch.delenv(name)


def refused(**environment: str) -> str:
    """The sentence with which the environment is refused."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(InvalidSettings) as caught:
            read_settings()
    return str(caught.value)


def refused_params(params: object) -> str:
    """The sentence with which extra params are refused."""
    with pytest.raises(InvalidSettings) as caught:
        read_project_settings(params)
    return str(caught.value)


# -- environment ----------------------------------------------------------------------------------------------


def test_defaults_need_no_environment() -> None:
    settings = read_settings()
    assert (settings.port, settings.log_level, settings.label_studio_url) == (9090, "INFO", None)
    assert not settings.is_protected


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "LABEL_STUDIO_URL": "http://studio:8080",
        "AL_LABEL_STUDIO_PUBLIC_URL": "https://labels.example.org",
        "AL_BACKEND_URL": "http://backend:9090",
        "BASIC_AUTH_USER": "user",
        "MODEL_DIR": str(tmp_path),
        "DATABASE_URL": "postgresql://db/al",
        "LOG_LEVEL": "ERROR",
        "AL_LOG_FORMAT": "json",
        "AL_THREADS": "2",
        "AL_ENCODER_THREADS": "2",
        "AL_WORKER_THREADS": "3",
        "AL_TRUSTED_PROXIES": "1",
        "AL_DASK_SCHEDULER": "tcp://cluster:8786",
        "AL_SECRETS_DIR": str(tmp_path),
    } | dict.fromkeys(SECRETS, "hidden and long enough")
    for name in ENV_NAMES.values():
        monkeypatch.setenv(name, values.get(name, "4321"))
    monkeypatch.setenv("AL_WEB_THREADS", "7")
    settings = read_settings()
    for field, name in ENV_NAMES.items():
        value = getattr(settings, field)
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        assert str(plain).removesuffix(".0") == os.environ[name], name
    assert settings.is_protected


def test_secrets_are_read_from_files_named_as_their_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SECRETS:
        (tmp_path / name).write_text(f"{name} in a file\n", encoding="utf-8")
    monkeypatch.setenv("AL_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("BASIC_AUTH_USER", "user")
    monkeypatch.setenv("AL_WEBHOOK_SECRET", "from the environment")
    settings = read_settings()
    assert settings.label_studio_api_key == SecretStr("LABEL_STUDIO_API_KEY in a file")
    assert settings.basic_auth_pass == SecretStr("BASIC_AUTH_PASS in a file")
    assert settings.webhook_secret == SecretStr("from the environment")


def test_wrong_value_in_a_file_is_refused_as_in_a_variable(tmp_path: Path) -> None:
    (tmp_path / "AL_SIGNING_KEY").write_text("hunter2", encoding="utf-8")
    assert refused(AL_SECRETS_DIR=str(tmp_path)) == "AL_SIGNING_KEY: must have 16 characters or more"


def test_secrets_folder_that_is_none_or_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert refused(AL_SECRETS_DIR=f"{tmp_path}/none") == f"AL_SECRETS_DIR: must be a folder, not '{tmp_path}/none'"
    (tmp_path / "AL_SIGNING_KEY").write_bytes(b"\xff\xfe not text")
    assert (
        refused(AL_SECRETS_DIR=str(tmp_path)) == "AL_SECRETS_DIR: a file in it cannot be read: it is not text (UTF-8)"
    )


def test_short_signing_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AL_SIGNING_KEY", "hunter2")
    with pytest.raises(InvalidSettings, match="AL_SIGNING_KEY: must have 16 characters or more") as refused:
        read_settings()
    assert "hunter2" not in str(refused.value)


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENV_NAMES.values():
        monkeypatch.setenv(name, "")
    assert read_settings() == Settings()


def test_foreign_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AL_UNHEARD_OF", "1")
    assert read_settings().port == 9090


def test_addresses_lose_their_trailing_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://studio.example.org/base/")
    monkeypatch.setenv("AL_BACKEND_URL", "http://localhost:9090/")
    settings = read_settings()
    assert settings.label_studio_url == "https://studio.example.org/base"
    assert settings.backend_url == "http://localhost:9090"


def test_log_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert read_settings().log_level == "DEBUG"


def test_state_lies_in_the_model_folder_unless_a_database_is_named(tmp_path: Path) -> None:
    own = read_settings(model_dir=tmp_path)
    assert own.store_url == f"sqlite:///{tmp_path / 'state.sqlite'}"
    assert own.jobs_url == f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    named = read_settings(model_dir=tmp_path, database_url="postgresql://db/al")
    assert named.store_url == named.jobs_url == "postgresql://db/al"


@pytest.mark.parametrize(
    ("user", "password", "is_protected"),
    [("u", "p", True), (None, None, False)],
)
def test_protection_needs_user_and_password(user: str | None, password: str | None, is_protected: bool) -> None:
    assert read_settings(basic_auth_user=user, basic_auth_pass=password).is_protected is is_protected


@pytest.mark.parametrize("parts", [{"basic_auth_user": "u"}, {"basic_auth_pass": "hunter2"}])
def test_half_of_the_credentials_is_refused(parts: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="must be set together") as refused:
        read_settings(**parts)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LABEL_STUDIO_URL", "studio:8080"),
        ("LABEL_STUDIO_URL", "ftp://studio"),
        ("LABEL_STUDIO_URL", "http://"),
        ("LABEL_STUDIO_URL", "http://studio:99999"),
        ("AL_BACKEND_URL", "localhost"),
        ("PORT", "abc"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "90.5"),
        ("LOG_LEVEL", "LOUD"),
        ("AL_MAX_BODY_BYTES", "1023"),
        ("AL_WEB_THREADS", "0"),
        ("AL_WEB_THREADS", "257"),
        ("AL_WORKER_THREADS", "-1"),
        ("AL_WORKER_THREADS", "65"),
        ("AL_THREADS", "0"),
        ("AL_DASK_SCHEDULER", "cluster:8786"),
        ("AL_DASK_SCHEDULER", "tcp://cluster"),
        ("AL_DASK_SCHEDULER", "http://cluster:8786"),
        ("AL_SYNC_SECONDS", "0"),
        ("AL_SYNC_SECONDS", "nan"),
        ("AL_SYNC_SECONDS", "soon"),
        ("AL_SWEEP_SECONDS", "-1"),
    ],
)
def test_wrong_value_gives_one_sentence_that_names_the_variable(name: str, value: str) -> None:
    message = refused(**{name: value})
    assert message.startswith(f"{name}: ")
    assert repr(value) in message
    assert "\n" not in message
    assert "pydantic" not in message
    assert len(message) < 250


def test_sentence_is_written_like_a_sentence() -> None:
    assert ": uRL" not in refused(LABEL_STUDIO_URL="ftp://studio")


def test_huge_value_gives_a_short_sentence() -> None:
    assert len(refused(PORT="9" * 3_000)) < 400


@pytest.mark.parametrize("name", ["LABEL_STUDIO_URL", "AL_BACKEND_URL"])
@pytest.mark.parametrize("address", ["http://user:hunter2@studio:99999", "ftp://user:hunter2@studio"])
def test_password_in_an_address_is_never_shown(name: str, address: str) -> None:
    assert "hunter2" not in refused(**{name: address})


@pytest.mark.parametrize("field", [field for field, name in ENV_NAMES.items() if name in SECRETS])
@pytest.mark.parametrize("value", [12345678, ["12345678"], {"key": "12345678"}])
def test_wrong_secret_is_named_but_never_shown(field: str, value: object) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(**{field: value})
    assert "12345678" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_secrets_are_hidden_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2 hunter2 hunter2")
    monkeypatch.setenv("BASIC_AUTH_USER", "someone")
    settings = read_settings()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_password_of_the_database_is_hidden_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://al:hunter2@db/al")
    assert "hunter2" not in repr(read_settings())


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        read_settings().port = 1
    with pytest.raises(ValidationError):
        ProjectSettings().seed = 1  # type: ignore[misc]


# -- extra params ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [None, {}])
def test_absent_extra_params_give_the_defaults(params: object) -> None:
    settings = read_project_settings(params)
    assert settings == ProjectSettings()
    assert (settings.strategy, settings.window, settings.min_labels, settings.seed) == ("auto", 100, 5, 0)


def test_extra_params_are_read() -> None:
    params = {
        "strategy": "entropy",
        "features": "tfidf",
        "audit_share": 0.5,
        "verify_share": 0.25,
        "retrain_growth": 0,
        "window": 5,
        "min_labels": 2,
        "questions": "topic,mood",
        "thumbnails": "off",
        "seed": 2**32 - 1,
    }
    assert read_project_settings(params).model_dump() == params


@pytest.mark.parametrize("params", [[], "", "{}", 3, True, [{"seed": 1}]])
def test_extra_params_must_be_an_object(params: object) -> None:
    assert "must be a JSON object" in refused_params(params)


def test_unknown_param_is_named_with_those_that_exist() -> None:
    message = refused_params({"seed": 1, "stratgey": "margin"})
    assert message.startswith("unknown extra param 'stratgey'")
    assert all(name in message for name in ProjectSettings.model_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "best"),
        ("strategy", ""),
        ("strategy", 3),
        ("retrain_growth", -0.01),
        ("retrain_growth", 10.01),
        ("retrain_growth", float("nan")),
        ("retrain_growth", float("inf")),
        ("retrain_growth", "much"),
        ("window", 4),
        ("window", 5001),
        ("window", 10.5),
        ("window", [10]),
        ("min_labels", 1),
        ("min_labels", 100_001),
        ("min_labels", {"n": 5}),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 10**400),
        *((name, None) for name in ProjectSettings.model_fields),
    ],
)
def test_wrong_param_gives_one_sentence_that_names_it(name: str, value: object) -> None:
    message = refused_params({name: value})
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("params", [{"strategy": "größte"}, {"größe": 1}, {"strategy": "熊"}, {"seed": "é"}])
def test_refusal_is_plain_ascii(params: dict[str, Any]) -> None:
    assert refused_params(params).isascii()


@pytest.mark.parametrize("params", [{"x" * 100_000: 1}, {"strategy": "x" * 100_000}, {"seed": ["x"] * 100_000}])
def test_refusal_of_huge_params_is_short(params: dict[str, Any]) -> None:
    assert len(refused_params(params)) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=10), inside, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(list(ProjectSettings.model_fields)) | st.text(max_size=12), json_values, max_size=4)
)
def test_any_params_give_settings_or_one_sentence(params: dict[str, Any]) -> None:
    try:
        settings = read_project_settings(params)
    except InvalidSettings as exc:
        refusal = str(exc)
        assert refusal
        assert "\n" not in refusal
    else:
        assert read_project_settings(settings.model_dump()) == settings


# -- documentation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Settings, ProjectSettings])
def test_every_setting_is_described(model: Any) -> None:
    assert all(field.description and field.description.endswith(".") for field in model.model_fields.values())
