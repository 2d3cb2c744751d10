"""Spans beside other questions, on other objects, and what nobody would mark on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import pytest

from label_studio_al.autolabel.plan import Case, make_plan
from label_studio_al.endpoint import Current, answer
from label_studio_al.learners.published import Models
from label_studio_al.questions import parse_config
from label_studio_al.runtime.settings import Settings, read_project_settings
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.entities import CONFIG, items, sentences
from tests.support.fake_label_studio import FakeProject

pytestmark = pytest.mark.usefixtures("one_thread")

TRUTH = dict(sentences())
TONE = '<Choices name="tone" toName="text"><Choice value="thanks"/><Choice value="other"/></Choices></View>'
BOTH = CONFIG.replace("</View>", TONE)
HYPERTEXT = CONFIG.replace("<Text ", "<HyperText ")
PARAGRAPHS = """<View>
  <ParagraphLabels name="entity" toName="text"><Label value="Person"/><Label value="Place"/></ParagraphLabels>
  <Paragraphs name="text" value="$text" layout="dialogue"/>
</View>"""

# The items that people leave on a task with this data.
Marks = Callable[[Any], list[dict[str, Any]]]


def add(bench: Bench, config: str, values: Sequence[Any], **settings: Any) -> FakeProject:
    project = bench.add(config, [], **{"window": 40, "audit_share": 0.5} | settings)
    bench.fake.add_tasks(project.id, [{"text": value} for value in values])
    assert bench.turn(project).error is None
    return project


def label(bench: Bench, project: FakeProject, marks: Marks, rounds: int = 2, n: int = 12) -> None:
    for _ in range(rounds):
        for task_id in (project.queue() or [])[:n]:
            result = marks(project.tasks[task_id]["data"]["text"])
            bench.hear(bench.fake.annotate(project.id, task_id, None, result=result))
        state = bench.turn(project)
        assert state.error is None, state.error


def truth(text: str) -> list[dict[str, Any]]:
    return items(text, TRUTH[text])


def pushed(project: FakeProject) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Of each task with a prediction of the current version, what it shows and what is pre-annotated."""
    return [
        (project.tasks[one["task"]]["data"]["text"], one["result"])
        for one in project.predictions.values()
        if one["model_version"] == project.model_version
    ]


def predicted(bench: Bench, project: FakeProject, values: Sequence[Any]) -> list[list[dict[str, Any]]]:
    """What /predict answers."""
    version = bench.version(project)
    model = Models(bench.store, bench.signer).get(project.key, version.id)
    current = Current(parse_config(project.label_config), (version.id, version.name), model)
    tasks = [{"id": None, "data": {"text": value}} for value in values]
    return [one["result"] for one in answer(bench.store, bench.clock, current, tasks)]


def page(bench: Bench, settings: Settings, project: FakeProject, part: str = "") -> str:
    client = create_app(Parts(settings, bench.store, bench.signer, bench.clock), []).test_client()
    found = client.get(f"/projects/{project.key}{part}", headers={"Accept": "text/html"})
    assert found.status_code == 200
    assert client.get("/status").status_code == 200
    return str(found.get_data(as_text=True))


def n_marked(result: Sequence[Mapping[str, Any]]) -> int:
    return sum(item["from_name"] == "entity" for item in result)


def test_choices_beside_spans_are_learned_too(bench: Bench, settings: Settings) -> None:
    project = add(bench, BOTH, list(TRUTH), audit_share=0.3)

    def marks(text: str) -> list[dict[str, Any]]:
        tone = "thanks" if text.startswith("Thank") else "other"
        chosen = {"from_name": "tone", "to_name": "text", "type": "choices", "value": {"choices": [tone]}}
        return [*truth(text), chosen]

    label(bench, project, marks, rounds=5, n=14)
    version = bench.version(project)
    assert set(version.questions) == {"entity", "tone"}
    said = pushed(project)
    tones = {text: item["value"]["choices"] for text, result in said for item in result if item["type"] == "choices"}
    assert len(tones) == len(said)
    assert all((tone == ["thanks"]) == text.startswith("Thank") for text, tone in tones.items())
    assert sum(n_marked(result) == len(TRUTH[text]) for text, result in said) > 0.8 * len(said)
    ours, beside = (page(bench, settings, project, f"/questions?name={name}") for name in ("entity", "tone"))
    assert "Spans on the audit" in ours
    assert "Accuracy on the audit" in beside
    assert "<mark>" in ours
    assert "<mark>" in beside
    row = bench.store.projects.get(project.key)
    case = Case(bench.store, row, parse_config(BOTH), read_project_settings(row.extra_params), 0.4, 0.2)
    planned = make_plan(case, bench.loop._looking.pools[project.key], Models(bench.store, bench.signer))
    assert planned.labels
    assert all(set(one.answers) == {"entity", "tone"} for one in planned.labels)


def test_entities_of_html_are_marked_in_its_text_content(bench: Bench) -> None:
    html = {f"<p>\n {text.replace('Bergen', '<b>Ber</b>gen')}</p>": text for text in TRUTH}

    def marks(value: str) -> list[dict[str, Any]]:
        found = truth(html[value])
        for item in found:
            # Two more characters stand before the text.
            start, end = (item["value"].pop(name) + 2 for name in ("start", "end"))
            item["value"] |= {"globalOffsets": {"start": start, "end": end}}
        return found

    project = add(bench, HYPERTEXT, list(html))
    label(bench, project, marks, rounds=3)
    said = pushed(project)
    expected = [{(start + 2, end + 2) for start, end, _ in TRUTH[html[value]]} for value, _ in said]
    got = [{tuple(item["value"]["globalOffsets"].values()) for item in result} for _, result in said]
    assert sum(map(set.__eq__, expected, got)) > 0.8 * len(said)


def test_entities_of_dialogues_are_marked_in_their_lines(bench: Bench) -> None:
    names = ["Anna Berg", "Tom", "Mira Okafor", "Lena Fischer", "Ravi"]
    dialogues = [
        [
            {"author": "Caller", "text": f"Good morning \N{GRINNING FACE}, number {n}."},
            {"author": "Desk", "text": f"\N{GRINNING FACE} Please ask {names[n % len(names)]} about it."},
        ]
        for n in range(60)
    ]

    def marks(said: list[dict[str, str]]) -> list[dict[str, Any]]:
        text = said[1]["text"]
        # An emoji has two units of UTF-16.
        start, end = text.index("ask ") + 5, text.index(" about") + 1
        value = {"start": "1", "end": "1", "startOffset": start, "endOffset": end, "paragraphlabels": ["Person"]}
        return [{"from_name": "entity", "to_name": "text", "type": "paragraphlabels", "value": value}]

    project = add(bench, PARAGRAPHS, dialogues)
    label(bench, project, marks)
    said = pushed(project)
    wanted = [marks(value)[0]["value"] for value, _ in said]
    got = [result[0]["value"] if result else None for _, result in said]
    assert sum(one == other for one, other in zip(wanted, got, strict=True)) > 0.8 * len(said)


def test_class_that_is_gone_is_not_learned_any_more(bench: Bench, settings: Settings) -> None:
    project = add(bench, CONFIG, list(TRUTH))
    label(bench, project, truth)
    without = CONFIG.replace('<Label value="Place"/>', "")
    bench.hear(bench.fake.change_config(project.id, without))
    label(bench, project, truth)
    found = {item["value"]["labels"][0] for _, result in pushed(project) for item in result}
    assert found == {"Person", "ORD"}
    (unread,) = bench.store.projects.get(project.key).unread
    assert unread["reason"] == "unknown_label"
    page(bench, settings, project)


def test_text_that_changed_after_annotation(bench: Bench, settings: Settings) -> None:
    project = add(bench, CONFIG, list(TRUTH))
    label(bench, project, truth)
    for task_id in {one["task"] for one in project.annotations.values()}:
        bench.fake.change_data(project.id, task_id, {"text": "\N{GRINNING FACE}"})
    bench.store.projects.want_sync(project.key, of_everything=True)
    bench.turn(project, after_seconds=400)
    label(bench, project, truth)
    assert pushed(project)
    page(bench, settings, project)


def test_places_that_lie_in_no_text(bench: Bench, settings: Settings) -> None:
    odd = cycle([(-3, 4), (10**6, 10**6 + 5), (9, 2), (0, 10**12), ("0", 4), (True, 4), (0.5, 4), (None, None)])

    def marks(text: str) -> list[dict[str, Any]]:
        start, end = next(odd)
        value = {"start": start, "end": end, "text": "x", "labels": ["Person"]}
        return [*truth(text), {"from_name": "entity", "to_name": "text", "type": "labels", "value": value}]

    project = add(bench, CONFIG, list(TRUTH))
    label(bench, project, marks, rounds=1, n=16)
    (unread,) = bench.store.projects.get(project.key).unread
    # All but those that only lie beyond the text.
    assert (unread["reason"], unread["n"]) == ("other_type", 14)
    label(bench, project, truth, rounds=1)
    assert any(result for _, result in pushed(project))
    page(bench, settings, project)


def test_only_empty_annotations_train_nothing(bench: Bench, settings: Settings) -> None:
    project = add(bench, CONFIG, list(TRUTH))
    label(bench, project, lambda _: [])
    assert not bench.version(project).has_model
    assert pushed(project)
    assert "no span" in page(bench, settings, project)


def test_class_that_is_the_only_one(bench: Bench) -> None:
    project = add(bench, CONFIG, list(TRUTH))
    label(bench, project, lambda text: items(text, [span for span in TRUTH[text] if span[2] == "Person"]))
    found = {item["value"]["labels"][0] for _, result in pushed(project) for item in result}
    assert found == {"Person"}


def test_every_word_an_entity(bench: Bench, settings: Settings) -> None:
    project = add(bench, CONFIG, list(TRUTH))
    label(bench, project, lambda text: items(text, [(0, len(text), "Person")]))
    assert pushed(project)
    page(bench, settings, project)


def test_long_texts_and_such_of_emoji(bench: Bench, settings: Settings) -> None:
    longest = (" ".join(TRUTH) * 200)[: 1 << 20]
    odd = ["\N{GRINNING FACE}" * 5_000, "\u0301" * 50, "\x00", "   ", "\u202eAnna\u202c", "x" * 100_000]
    project = add(bench, CONFIG, [longest, *odd, *TRUTH], window=150)
    for task_id in list(project.tasks)[1:40]:
        text = project.tasks[task_id]["data"]["text"]
        result = truth(text) if text in TRUTH else items(text, [(0, min(9, len(text)), "Person")])
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=result))
    assert bench.turn(project).error is None
    first, *others = predicted(bench, project, [longest, *odd])
    assert len(first) > 1_000
    assert len(others) == len(odd)
    page(bench, settings, project)


def test_two_hundred_classes(bench: Bench, settings: Settings) -> None:
    names = [f"kind {n}" for n in range(200)]
    tags = "".join(f'<Label value="{name}"/>' for name in names)
    config = f'<View><Labels name="entity" toName="text">{tags}</Labels><Text name="text" value="$text"/></View>'
    texts = [f"Part Z{n} of machine {n % 7}, shelf {n}" for n in range(300)]

    def marks(text: str) -> list[dict[str, Any]]:
        number = int(text.split()[1][1:])
        return items(text, [(5, 5 + len(f"Z{number}"), names[number % 200])])

    project = add(bench, config, texts)
    label(bench, project, marks, rounds=1, n=40)
    assert pushed(project)
    page(bench, settings, project)
