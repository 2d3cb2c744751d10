"""Writes docs/settings.md, docs/api.md and docs/projects.md from the code: `python -m docs.tools.reference`.

A test compares the files with what this writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from label_studio_al.runtime.settings import ProjectSettings, Settings
from label_studio_al.web.openapi import PATHS, SCHEMAS
from tests.support.templates import OF_IMAGES, OFFERED, OUTCOMES

DOCS = Path(__file__).parents[1]
# So many names are not listed in a cell: the meaning says where they stand.
MANY = 8
_IF_OFFERED = ", if all tasks offer the same choices"
_IF_SEEN = ", with an encoder of images"
MADE = "<!-- Made by `make reference` from {}: change that. -->"

_SETTINGS = """\
{made}

# Settings

## Of the process

Environment variables, read once when a process starts. With an invalid value the process does not start, and a message
names the variable; an empty value counts as not set. Every process of one installation (`serve`, `worker`, and the
commands that read the database) needs the same values.

{process}

Only for `demo` and the tests: `AL_LABEL_STUDIO_ENV` is the virtual environment for Label Studio (default: in the user's
cache folder).

## Of a project

Set them with `label-studio-al connect --project 1 --set strategy=margin`, or as JSON in *Extra params* on Label
Studio's model page: `{{"strategy": "margin", "audit_share": 0.2}}`. They take effect in the next turn. An unknown name
or invalid value is refused with a message; the model page shows it after *Reason*.

{project}
"""

_API = """\
{made}

# HTTP API

Label Studio calls `/health`, `/setup`, `/predict`, `/webhook` and the other paths of its ML backend protocol by itself.
The same description for machines, as OpenAPI 3.1, is served at `/openapi.json`.

- **Who may call.** If `BASIC_AUTH_USER` and `BASIC_AUTH_PASS` are set, every route except `/health` requires them
  (`/webhook` accepts them or the secret header that `connect` gave Label Studio's webhook). Without them, only requests
  to this machine's names are answered. Requests from pages of other sites are refused, even in a browser that knows the
  password.
- **Errors** are JSON with one sentence, `{{"error": "..."}}`, and a status of 400 or more. 503 comes with
  `Retry-After`: there are too many requests, or the database is down.
- **Keys.** A project's key is its number in Label Studio, a dot and its creation time: `3.1795343520`, as `/setup`
  sends it. The number alone may belong to another project if Label Studio's database was created again.

```sh
curl --user "$BASIC_AUTH_USER:$BASIC_AUTH_PASS" http://localhost:9090/status
```

{routes}
"""


def settings_page() -> str:
    """docs/settings.md."""
    process = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    return _SETTINGS.format(
        made=MADE.format("backend/label_studio_al/runtime/settings.py"),
        process=_table("variable", process),
        project=_table("name", ProjectSettings.model_fields),
    )


def api_page() -> str:
    """docs/api.md."""
    routes = [_route(path, method, does) for path, operations in PATHS.items() for method, does in operations.items()]
    return _API.format(made=MADE.format("backend/label_studio_al/web/openapi.py"), routes="\n\n".join(routes))


def projects_page() -> str:
    """docs/projects.md."""
    made = MADE.format("docs/tools/reference.py and tests/support/templates.py")
    cells = {name: ", ".join(f"`{control}`" for control in controls) for name, controls in OUTCOMES.items()}
    rows = [f"| {name} | {cell or 'nothing yet'}{_condition(name)} |" for name, cell in cells.items()]
    n_learned = sum(map(bool, OUTCOMES.values()))
    template = Path(__file__).with_name("projects.txt").read_text(encoding="utf-8")
    return template.format(made=made, rows="\n".join(rows), n=len(OUTCOMES), n_learned=n_learned)


def write() -> None:
    """Bring the pages up to date."""
    pages = {"settings.md": settings_page(), "api.md": api_page(), "projects.md": projects_page()}
    for name, text in pages.items():
        (DOCS / name).write_text(text, encoding="utf-8")


def _condition(template: str) -> str:
    return _IF_OFFERED * (template in OFFERED) + _IF_SEEN * (template in OF_IMAGES)


def _table(head: str, fields: dict[str, FieldInfo]) -> str:
    rows = [f"| {head} | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    for name, field in fields.items():
        meaning, default = _meaning_and_default(field)
        rows.append(f"| `{name}` | {default} | {_allowed(field)} | {meaning} |")
    return "\n".join(rows)


def _meaning_and_default(field: FieldInfo) -> tuple[str, str]:
    """A default that cannot be shown as a value stands in the description's last sentence."""
    meaning, _, stated = (field.description or "").partition(" Default: ")
    meaning = re.sub(r"docs/(\w+)\.md", r"[\1](\1.md)", meaning)
    if stated or field.default is None:
        return meaning, stated.removesuffix(".")
    return meaning, f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def _allowed(field: FieldInfo) -> str:
    choices = [f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str)]
    return f"one of {len(choices)}" if len(choices) > MANY else ", ".join(choices or _bounds(field))


def _bounds(field: FieldInfo) -> Iterator[str]:
    for bound in field.metadata:
        if isinstance(bound, Ge):
            yield f"from {bound.ge}"
        elif isinstance(bound, Gt):
            yield f"more than {bound.gt}"
        elif isinstance(bound, Le):
            yield f"up to {bound.le}"


def _route(path: str, method: str, does: dict[str, Any]) -> str:
    lines = [f"## {method.upper()} {path}", "", does["summary"]]
    fields = [(f"`?{one['name']}=`", one["schema"], False) for one in does.get("parameters", [])]
    kinds: list[dict[str, Any]] = []
    if "requestBody" in does:
        body = _schema(does["requestBody"])
        kinds = [_resolved(one) for one in body.get("oneOf", [])]
        fields += list(_fields(body))
    if fields:
        lines += ["", "Takes", "", *(f"- {_field(*field)}" for field in fields)]
    for kind in kinds:
        lines += [
            "",
            f"Takes, where {kind['description'][0].lower()}{kind['description'][1:].partition('. ')[0].rstrip('.')}",
            "",
        ]
        lines += [f"- {_field(*field)}" for field in _fields(kind)]
    status, answer = next(iter(does["responses"].items()))
    content_type, media = next(iter(answer["content"].items()))
    fields = list(_fields(media["schema"]))
    shown = f"a JSON object ({status})" if content_type == "application/json" else f"`{content_type}` ({status})"
    lines += ["", f"Answers {shown}" + (":" if fields else "."), *([""] if fields else [])]
    lines += [f"- {_field(name, schema, False)}" for name, schema, _ in fields]
    return "\n".join(lines)


def _schema(body: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = next(iter(body["content"].values()))["schema"]
    return schema


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"`{name}`", inner, name in schema.get("required", [])


def _field(name: str, schema: dict[str, Any], is_required: bool) -> str:
    return f"{name}: {_kind(schema)}{' (required)' if is_required else ''}"


def _kind(schema: dict[str, Any]) -> str:
    schema = _resolved(schema)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f"`{one}`" for one in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    if kind == "object" and schema.get("properties"):
        return "object of " + ", ".join(f"`{name}`" for name in schema["properties"])
    return f"{kind}, such as `{schema['examples'][0]}`" if schema.get("examples") else str(kind)


if __name__ == "__main__":
    write()
