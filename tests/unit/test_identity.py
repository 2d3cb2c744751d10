"""Names that both sides agree on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.labeling import project_id_of, project_key, read_project_key, version_name, version_number
from label_studio_al.runtime.errors import InvalidRequest


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock shows New York's time."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_key_is_what_label_studio_sends_to_setup(payload: Callable[[str], dict[str, Any]]) -> None:
    project = payload("project_updated")["project"]
    assert project_key(project["id"], project["created_at"]) == payload("setup")["project"] == "2.1795394190"


def test_key_cuts_the_fraction_of_the_second() -> None:
    assert project_key(3, "2026-11-23T00:36:30.999999Z") == project_key(3, "2026-11-23T00:36:30Z")


def test_key_does_not_depend_on_the_offset_that_shows_the_time(far_from_utc: None) -> None:
    assert project_key(3, "2026-11-23T00:36:30Z") == project_key(3, "2026-11-23T01:36:30+01:00") == "3.1795394190"


def test_time_without_offset_does_not_depend_on_this_machine(far_from_utc: None) -> None:
    assert project_key(3, "2026-11-23T00:36:30") == "3.1795394190"


def test_recreated_project_has_another_key() -> None:
    assert project_key(3, "2026-11-23T00:36:30Z") != project_key(3, "2026-11-23T00:36:31Z")


@pytest.mark.parametrize("project_id", [None, True, "3", 3.0, [3], {}])
def test_project_id_must_be_a_whole_number(project_id: object) -> None:
    with pytest.raises(InvalidRequest, match=r"project\.id must be a whole number"):
        project_key(project_id, "2026-11-23T00:36:30Z")


@pytest.mark.parametrize("created_at", [None, "", "yesterday", 1795394190, [], "2026-13-01T00:00:00Z", "x" * 10_000])
def test_time_of_creation_must_be_a_time(created_at: object) -> None:
    with pytest.raises(InvalidRequest, match=r"project\.created_at must be an ISO 8601 time") as caught:
        project_key(3, created_at)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("created_at", ["0001-01-01", "9999-12-31T23:59:59"])
def test_time_at_the_edge_of_the_calendar_is_no_crash(created_at: str) -> None:
    with suppress(InvalidRequest):
        assert project_key(3, created_at)


@pytest.mark.parametrize(
    ("project_id", "created_at"),
    [(-1, "2026-11-23T00:36:30Z"), (10**40, "2026-11-23T00:36:30Z"), (3, "1960-01-01T00:00:00Z")],
)
def test_identity_that_no_request_could_name_is_refused(project_id: int, created_at: str) -> None:
    with pytest.raises(InvalidRequest):
        project_key(project_id, created_at)


@given(
    project_id=st.integers(0, 10**17),
    created=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(timezone.utc)),
)
def test_every_key_given_is_read_back(project_id: int, created: datetime) -> None:
    key = project_key(project_id, created.isoformat())
    assert read_project_key(key) == key
    assert project_id_of(key) == project_id


@pytest.mark.parametrize(
    "value", [None, 3, 3.17, "", "3", "3.", ".3", "3.1.2", "-3.1", "3.1\n", " 3.1", "3.x", "3." + "1" * 19, ["3.1"]]
)
def test_project_field_must_look_like_a_key(value: object) -> None:
    with pytest.raises(InvalidRequest, match="project must look like"):
        read_project_key(value)


def test_key_is_written_in_ascii_digits() -> None:
    with pytest.raises(InvalidRequest):
        read_project_key("٣.١٧٩")


@pytest.mark.parametrize("installation", ["", "k3f7a"])
@given(number=st.integers(0, 999_999_999))
def test_version_name_is_read_back(installation: str, number: int) -> None:
    name = version_name(number, installation)
    assert version_number(name, installation) == number
    assert version_number(name, "other") is None


@pytest.mark.parametrize(
    "name", [None, 3, "", "al-", "al-x", "xal-3", "al-3 ", "al-3\n", "al--3", "AL-3", "v1", ["al-3"]]
)
def test_other_models_names_are_not_ours(name: object) -> None:
    assert version_number(name, "") is None
    assert version_number(name, "k3f7a") is None
