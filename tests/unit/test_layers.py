"""Dependencies point downwards only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "backend" / "label_studio_al"

# Top first. A part may import from its own layer and from every lower one.
LAYERS = (
    ("cli", "__main__"),
    ("doctor", "exporting", "host", "simulate", "web"),
    ("endpoint", "wiring", "wording"),
    ("turns",),
    ("autolabel",),
    ("learners", "pool"),
    ("jobs", "store", "studio"),
    ("questions",),
    ("labeling",),
    ("learning",),
    ("examples", "runtime", "__init__"),
)
MODULE_LINES = 500
CLASS_LINES = 300
PARAMETERS = 5
LAYER_OF = {part: place for place, layer in enumerate(LAYERS) for part in layer}
# What is measured here must be measurable anywhere: no files, no network, no database.
NO_IO = ("sqlalchemy", "flask", "httpx", "requests", "dbos", "label_studio_sdk", "socket", "sqlite3", "pathlib")


def module_name(path: Path) -> str:
    """The dotted name below the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path: Path) -> set[str]:
    """Absolute names of everything that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                above = ("label_studio_al", *path.relative_to(PACKAGE).parts)[: -node.level]
                base = ".".join((*above, *([node.module] if node.module else [])))
            else:
                base = node.module or ""
            found.add(base)
            # A module may be imported by `from PACKAGE import MODULE`, a name by `from MODULE import NAME`.
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {name.removesuffix(".__init__") for name in FILES}
IMPORTS = {name: imports_of(path) for name, path in FILES.items()}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def own_imports(name: str) -> set[str]:
    """Modules of this package that a module imports, as dotted names below it."""
    below = {found.removeprefix("label_studio_al.") for found in IMPORTS[name] if found.startswith("label_studio_al.")}
    return {found for found in below if found in MODULES}


def part(name: str) -> str:
    """The top-level part of a module."""
    return name.partition(".")[0]


every_module = pytest.mark.parametrize("name", list(FILES))


@every_module
def test_module_has_a_layer(name: str) -> None:
    assert part(name) in LAYER_OF, f"give {part(name)} a layer in LAYERS"


@every_module
def test_module_imports_only_from_its_own_layer_and_lower_ones(name: str) -> None:
    if part(name) not in LAYER_OF:
        pytest.skip("has no layer yet: test_module_has_a_layer says so")
    upwards = {found for found in own_imports(name) if LAYER_OF[part(found)] < LAYER_OF[part(name)]}
    assert not upwards, f"{name} imports upwards: {sorted(upwards)}"


@pytest.mark.parametrize(("one", "other"), [("web", "turns"), ("turns", "web")])
def test_web_and_turns_do_not_know_each_other(one: str, other: str) -> None:
    guilty = {name for name in FILES if part(name) == one and any(part(found) == other for found in own_imports(name))}
    assert not guilty


def test_web_never_calls_label_studio() -> None:
    guilty = {name for name in FILES if part(name) == "web" and "studio.client" in own_imports(name)}
    assert not guilty


@pytest.mark.parametrize("name", [name for name in FILES if part(name) == "learning"])
def test_learning_does_no_input_or_output(name: str) -> None:
    assert not {found for found in IMPORTS[name] if found.partition(".")[0] in NO_IO}


@every_module
def test_module_and_its_classes_are_read_in_one_go(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    assert text.count("\n") <= MODULE_LINES
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    sizes = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in classes}
    assert {name: size for name, size in sizes.items() if size > CLASS_LINES} == {}


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Names of what is passed to it, without what a method belongs to."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


# A command takes what its users may say.
@pytest.mark.parametrize("name", [name for name in FILES if part(name) != "cli"])
def test_function_takes_few_parameters(name: str) -> None:
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {one.name: parameters_of(one) for one in functions}
    assert {name: names for name, names in found.items() if len(names) > PARAMETERS} == {}


def test_imports_are_seen() -> None:
    """So that an empty answer above means something."""
    assert {"store", "turns.means", "runtime.errors"} <= own_imports("turns.loop")
    assert "learning.types" in own_imports("learning.strategies.query")


# What only a kind of question, or the registry of kinds, may know.
KINDS = {"SingleChoice", "MultipleChoice", "Rating", "Taxonomy"}
CONTROLS = {"Choices", "choices", "Taxonomy", "Rating", "Pairwise", "rating", "taxonomy", "multiple", "single"}
CONTROLS |= {"multiple choice"}


@every_module
def test_no_module_but_the_kinds_own_knows_a_kind(name: str) -> None:
    if part(name) == "questions":
        return
    named = {node.id for node in ast.walk(TREES[name]) if isinstance(node, ast.Name)}
    imported = {found.rpartition(".")[2] for found in IMPORTS[name]}
    compared = {
        constant.value
        for node in ast.walk(TREES[name])
        if isinstance(node, (ast.Compare, ast.Match))
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant)
    }
    assert not (named | imported) & KINDS
    assert not compared & CONTROLS
