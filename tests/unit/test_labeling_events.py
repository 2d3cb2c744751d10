"""Webhooks: what a real Label Studio sent, and what nobody should send."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.labeling import ACTIONS, Annotation, Task, read_annotation, read_event, read_task
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.build import choice

Payload = Callable[[str], dict[str, Any]]
KEY = "2.1795394190"
NOT_IDS = [None, True, False, "7", 7.0, [7], {"id": 7}, -1, 2**63, 10**30]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=10), inside, max_size=3),
    max_leaves=10,
)


# -- recorded -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "annotation_created",
        "annotation_created_skipped",
        "annotation_updated",
        "annotations_created",
        "annotations_deleted",
        "annotations_deleted_bulk",
        "project_updated",
        "start_training",
        "tasks_created",
        "tasks_created_with_annotations",
        "tasks_deleted",
        "tasks_deleted_bulk",
    ],
)
def test_recorded_webhook_names_its_project_and_config(payload: Payload, name: str) -> None:
    body = payload(name)
    event = read_event(body)
    assert event is not None
    assert event.action == body["action"]
    assert event.project_key == KEY
    assert event.label_config == body["project"]["label_config"]
    assert event.asks_training == (name == "start_training")
    assert event.needs_sync == (name == "tasks_created_with_annotations")


def test_created_annotation_brings_its_task(payload: Payload) -> None:
    event = read_event(payload("annotation_created"))
    assert event is not None
    assert event.annotations == (
        Annotation(1, 2001, [choice("A")], False, "2026-11-23T00:36:30.772119Z", completed_by=1),
    )
    assert event.tasks == (Task(2001, {"text": "hello 0"}),)
    assert event.deleted_tasks == event.deleted_annotations == ()


def test_created_annotation_says_how_long_it_took_and_what_stands_around_its_answers(payload: Payload) -> None:
    event = read_event(payload("annotation_created_relation"))
    assert event is not None
    (annotation,) = event.annotations
    assert (annotation.completed_by, annotation.lead_time, annotation.ground_truth) == (1, 7.251, False)
    assert annotation.item_details == [
        {"id": "aB3-xY9_kQ"},
        {"id": "Zk81mN0pLw", "parentID": "aB3-xY9_kQ"},
        {"from_id": "aB3-xY9_kQ", "to_id": "Zk81mN0pLw", "direction": "right", "labels": ["of"]},
    ]
    assert [one["type"] for one in annotation.result] == ["labels", "labels", "relation"]


def test_skipped_task_is_an_annotation_without_answer(payload: Payload) -> None:
    event = read_event(payload("annotation_created_skipped"))
    assert event is not None
    assert event.annotations == (Annotation(2, 2002, [], True, "2026-11-23T00:36:31.060818Z", completed_by=1),)


def test_updated_annotation_is_newer_than_the_created_one(payload: Payload) -> None:
    created, updated = read_event(payload("annotation_created")), read_event(payload("annotation_updated"))
    assert created is not None
    assert updated is not None
    assert updated.annotations[0].result == [choice("B")]
    assert updated.annotations[0].updated_at > created.annotations[0].updated_at


def test_annotations_made_in_bulk_all_arrive(payload: Payload) -> None:
    event = read_event(payload("annotations_created"))
    assert event is not None
    assert [(one.id, one.task_id) for one in event.annotations] == [(3, 2003), (4, 2004), (5, 2005)]
    assert [task.id for task in event.tasks] == [2003, 2004, 2005]


@pytest.mark.parametrize(
    ("name", "tasks", "annotations"),
    [
        ("annotations_deleted", (), (1,)),
        ("annotations_deleted_bulk", (), (3, 4)),
        ("tasks_deleted", (2010,), ()),
        ("tasks_deleted_bulk", (2011, 2012), ()),
    ],
)
def test_deletions_give_ids(payload: Payload, name: str, tasks: tuple[int, ...], annotations: tuple[int, ...]) -> None:
    event = read_event(payload(name))
    assert event is not None
    assert (event.deleted_tasks, event.deleted_annotations) == (tasks, annotations)
    assert (event.tasks, event.annotations) == ((), ())


def test_imported_tasks_arrive_with_their_data(payload: Payload) -> None:
    event = read_event(payload("tasks_created"))
    assert event is not None
    assert event.tasks == tuple(Task(2001 + place, {"text": f"hello {place}"}) for place in range(3))


def test_project_update_brings_the_new_label(payload: Payload) -> None:
    event = read_event(payload("project_updated"))
    assert event is not None
    assert event.label_config is not None
    assert '<Choice value="C"/>' in event.label_config


def test_webhook_setup_and_predict_name_the_same_project(payload: Payload) -> None:
    event = read_event(payload("annotation_created"))
    assert event is not None
    assert event.project_key == payload("setup")["project"] == payload("predict")["project"]


# -- broken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, [], "ANNOTATION_CREATED", 3, True, [{"action": "TASKS_DELETED"}]])
def test_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        read_event(body)


@pytest.mark.parametrize("body", [{}, {"action": None}, {"action": 3}, {"action": ["TASKS_DELETED"]}])
def test_body_without_an_action_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="needs an action"):
        read_event(body)


@pytest.mark.parametrize("action", ["", "LABEL_LINK_CREATED", "annotation_created", "PROJECT_DELETED"])
def test_unknown_action_does_not_concern_us(payload: Payload, action: str) -> None:
    assert read_event(payload("annotation_created") | {"action": action}) is None
    assert read_event({"action": action}) is None


@pytest.mark.parametrize("action", [*ACTIONS, "START_TRAINING"])
@pytest.mark.parametrize("project", [None, 2, "2", [], [{"id": 2}]])
def test_project_that_is_no_object_is_refused(action: str, project: object) -> None:
    with pytest.raises(InvalidRequest, match="project"):
        read_event({"action": action, "project": project})


@pytest.mark.parametrize("changes", [{"id": None}, {"id": "2"}, {"id": True}, {"created_at": None}, {"created_at": 3}])
def test_project_without_identity_is_refused(payload: Payload, changes: dict[str, Any]) -> None:
    body = payload("project_updated")
    body["project"] |= changes
    with pytest.raises(InvalidRequest, match=f"project.{next(iter(changes))}"):
        read_event(body)


@pytest.mark.parametrize("config", [None, 3, {"xml": "<View/>"}])
def test_label_config_that_is_no_text_counts_as_absent(payload: Payload, config: object) -> None:
    body = payload("project_updated")
    body["project"]["label_config"] = config
    event = read_event(body)
    assert event is not None
    assert event.label_config is None


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("annotation_created", "annotation"),
        ("annotation_updated", "annotation"),
        ("annotations_created", "annotation"),
        ("annotations_deleted", "annotations"),
        ("tasks_created", "tasks"),
        ("tasks_deleted", "tasks"),
    ],
)
@pytest.mark.parametrize("value", [None, 7, "x", True, [None], [[]], [7], ["x"]])
def test_missing_or_mistyped_part_is_refused_by_name(payload: Payload, name: str, field: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=field):
        read_event(payload(name) | {field: value})
    body = payload(name)
    del body[field]
    with pytest.raises(InvalidRequest, match=field):
        read_event(body)


@pytest.mark.parametrize("value", [7, "x", True, [None], [[]]])
def test_mistyped_task_of_an_annotation_is_refused(payload: Payload, value: object) -> None:
    with pytest.raises(InvalidRequest, match="task"):
        read_event(payload("annotation_created") | {"task": value})


@pytest.mark.parametrize("absent", [True, False])
def test_annotation_may_come_without_its_task(payload: Payload, absent: bool) -> None:
    body = payload("annotation_created")
    body["task"] = None
    if absent:
        del body["task"]
    event = read_event(body)
    assert event is not None
    assert event.tasks == ()
    assert len(event.annotations) == 1


@pytest.mark.parametrize("name", ["annotations_deleted", "tasks_deleted"])
@pytest.mark.parametrize("bad", NOT_IDS)
def test_ids_of_deleted_rows_must_be_whole_numbers(payload: Payload, name: str, bad: object) -> None:
    field = "annotations" if name == "annotations_deleted" else "tasks"
    with pytest.raises(InvalidRequest, match=rf"{field}\.id must be a whole number"):
        read_event(payload(name) | {field: [{"id": 1}, {"id": bad}]})


@pytest.mark.parametrize("bad", NOT_IDS)
def test_ids_of_tasks_and_annotations_must_be_whole_numbers(bad: object) -> None:
    with pytest.raises(InvalidRequest, match=r"task\.id must be a whole number"):
        read_task({"id": bad, "data": {}})
    with pytest.raises(InvalidRequest, match=r"annotation\.id must be a whole number"):
        read_annotation({"id": bad, "task": 1})
    with pytest.raises(InvalidRequest, match=r"annotation\.task must be a whole number"):
        read_annotation({"id": 1, "task": bad})


def test_largest_id_of_a_64_bit_table_is_read() -> None:
    assert read_task({"id": 2**63 - 1, "data": {}}).id == 2**63 - 1


@pytest.mark.parametrize("data", [None, "text", ["text"], 3, True])
def test_task_data_must_be_an_object(data: object) -> None:
    with pytest.raises(InvalidRequest, match=r"task\.data must be an object"):
        read_task({"id": 1, "data": data})


@pytest.mark.parametrize("item", [None, [], 3, "x", True])
def test_task_and_annotation_must_be_objects(item: object) -> None:
    with pytest.raises(InvalidRequest, match="must be an object"):
        read_task(item)
    with pytest.raises(InvalidRequest, match="must be an object"):
        read_annotation(item)


@pytest.mark.parametrize("result", ["A", {"choices": ["A"]}, 3, True])
def test_annotation_result_must_be_a_list(result: object) -> None:
    with pytest.raises(InvalidRequest, match=r"annotation\.result must be a list"):
        read_annotation({"id": 1, "task": 2, "result": result})


def test_annotation_without_result_is_empty() -> None:
    assert read_annotation({"id": 1, "task": 2, "result": None}).result == []
    assert read_annotation({"id": 1, "task": 2}).result == []


def test_result_items_keep_the_answer_and_drop_what_stands_around_it() -> None:
    item = choice("A") | {"id": "Ab1", "origin": "manual", "score": 0.7}
    assert read_annotation({"id": 1, "task": 2, "result": [item, "noise", None]}).result == [choice("A")]


def test_equal_answers_are_equal_whatever_stands_around_them() -> None:
    one, other = (
        read_annotation({"id": 1, "task": 2, "lead_time": seconds, "result": [choice("A") | {"id": item_id}]})
        for item_id, seconds in (("Ab1", 2.0), ("Cd2", 3.0))
    )
    assert one.result == other.result
    assert (one.item_details, other.item_details) == ([{"id": "Ab1"}], [{"id": "Cd2"}])


def details_of(*items: object) -> object:
    return read_annotation({"id": 1, "task": 2, "result": list(items)}).item_details


def test_sizes_of_what_is_marked_are_kept() -> None:
    sizes = {"original_width": 640, "original_height": 480.5, "image_rotation": 0, "item_index": 2}
    assert details_of({"id": "Ab1", **sizes, "origin": "manual"}) == [{"id": "Ab1", **sizes}]


def test_details_stand_in_the_order_of_the_result() -> None:
    assert details_of(choice("A"), "noise", {"id": "Ab1"}, None, {"type": "labels"}) == [{}, {"id": "Ab1"}, {}]
    assert details_of(choice("A"), "noise") is None
    assert details_of() is None


def test_ids_that_are_numbers_are_read_as_text() -> None:
    """As Label Studio takes them from an import."""
    items = {"id": 17, "parentID": 0}, {"type": "relation", "from_id": 17, "to_id": "b"}
    assert details_of(*items) == [{"id": "17", "parentID": "0"}, {"from_id": "17", "to_id": "b"}]


def nested(depth: int) -> object:
    inner: object = "x"
    for _ in range(depth):
        inner = [inner]
    return inner


UNREADABLE = [None, True, "x" * 1_000_000, {"a": 1}, nested(500), [], float("nan"), float("inf"), 10**400, -1e300]


@pytest.mark.parametrize("bad", UNREADABLE, ids=lambda bad: repr(bad)[:12])
def test_details_that_make_no_sense_are_left_out_and_the_answer_stays(bad: object) -> None:
    names = ("id", "parentID", "original_width", "original_height", "image_rotation", "item_index")
    relation = {"type": "relation"} | dict.fromkeys(("from_id", "to_id", "direction", "labels"), bad)
    item = choice("A") | dict.fromkeys(names, bad)
    read = read_annotation({"id": 1, "task": 2, "result": [item, relation, {"id": "Ab1"}]})
    assert read.item_details == [{}, {}, {"id": "Ab1"}]
    assert read.result[0] == choice("A")


def test_labels_of_a_relation_are_texts_and_not_too_many() -> None:
    labels = ["of", None, 7, "x" * 1_000_000, ["by"], "by", *("of" for _ in range(100_000))]
    (read,) = details_of({"type": "relation", "labels": labels})  # type: ignore[misc]
    assert read["labels"][:3] == ["of", "by", "of"]
    assert len(read["labels"]) < 200


@pytest.mark.parametrize(
    ("told", "seconds"),
    [(7.25, 7.25), (12, 12.0), (0, 0.0), (1e9, 1e9), *((bad, None) for bad in (-3, -0.5, 1e10, "7", *UNREADABLE))],
    ids=lambda value: repr(value)[:12],
)
def test_lead_time_is_seconds_or_none(payload: Payload, told: object, seconds: float | None) -> None:
    body = payload("annotation_created")
    body["annotation"]["lead_time"] = told
    event = read_event(body)
    assert event is not None
    assert [one.lead_time for one in event.annotations] == [seconds]
    assert event.annotations[0].result == [choice("A")]


@pytest.mark.parametrize("told", [True, False, None, 1, "true", [True]])
def test_ground_truth_is_what_is_marked_so(payload: Payload, told: object) -> None:
    body = payload("annotation_created")
    body["annotation"]["ground_truth"] = told
    event = read_event(body)
    assert event is not None
    assert [one.ground_truth for one in event.annotations] == [told is True]


@pytest.mark.parametrize("updated_at", [7, True, {"a": 1}, ["2026"], "x" * 1000])
def test_time_of_an_annotation_is_a_time_or_refused(updated_at: object) -> None:
    with pytest.raises(InvalidRequest, match=r"annotation\.updated_at"):
        read_annotation({"id": 1, "task": 2, "updated_at": updated_at})


def test_times_compare_like_texts_also_on_a_whole_second() -> None:
    on_the_second = read_annotation({"id": 1, "task": 2, "updated_at": "2026-11-23T00:36:30Z"})
    later = read_annotation({"id": 1, "task": 2, "updated_at": "2026-11-23T00:36:30.500000Z"})
    assert on_the_second.updated_at < later.updated_at


def test_times_compare_like_texts_also_with_an_offset() -> None:
    noon = read_annotation({"id": 1, "task": 2, "updated_at": "2026-11-23T13:00:00.000001+01:00"})
    later = read_annotation({"id": 1, "task": 2, "updated_at": "2026-11-23T12:30:00.000001Z"})
    assert noon.updated_at < later.updated_at


def test_message_about_a_huge_value_stays_short() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_task({"id": "x" * 1_000_000, "data": {}})
    assert len(str(caught.value)) < 200


@given(
    name=st.sampled_from(["annotation_created", "annotations_deleted", "tasks_created", "start_training"]),
    path=st.data(),
    value=json_values,
)
def test_any_replaced_part_gives_an_event_or_a_refusal(
    payload: Payload, name: str, path: st.DataObject, value: object
) -> None:
    body: Any = payload(name)
    holder, key = body, path.draw(st.sampled_from(sorted(body)))
    while isinstance(holder[key], dict) and holder[key] and path.draw(st.booleans()):
        holder = holder[key]
        key = path.draw(st.sampled_from(sorted(holder)))
    holder[key] = value
    with suppress(InvalidRequest):
        event = read_event(body)
        assert event is None or event.project_key == KEY


@pytest.mark.parametrize(
    ("told", "user_id"), [(7, 7), ({"id": 7}, 7), (None, None), ("x", None), (True, None), (-1, None)]
)
def test_user_who_answered_is_kept_as_a_number(payload: Payload, told: object, user_id: int | None) -> None:
    body = payload("annotation_created")
    body["annotation"]["completed_by"] = told
    event = read_event(body)
    assert event is not None
    assert [one.completed_by for one in event.annotations] == [user_id]
