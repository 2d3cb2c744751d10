"""The documentation: made from the code where it can be, and true where it quotes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.tools import pictures, reference
from label_studio_al.runtime.settings import ProjectSettings, Settings

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
AT_THE_TOP = [TOP / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")]
# Attributes with which a page makes a browser fetch something.
FETCHING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


def says(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it: a warning, as of a link that leads nowhere, is a failure."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


class Page(HTMLParser):
    """What a page makes a browser fetch, and where its links lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.fetched += [values[name] or "" for name in [FETCHING.get(tag, "")] if name in values]
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")


def test_site_fetches_nothing_from_foreign_servers(site: Path) -> None:
    fetched = {address for path in site.rglob("*.html") for address in Page(path).fetched}
    assert any(address.endswith(".css") for address in fetched)
    assert [address for address in fetched if re.match(r"(https?:)?//", address)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", styles) == []


def test_top_of_the_repository_is_part_of_the_site(site: Path) -> None:
    links = Page(site / "index.html").links
    assert "security.html" in links
    assert "quickstart.html" in links
    assert Page(site / "security.html").links.count("privacy.html") > 1  # in the navigation, and in the text
    assert 'src="images/loop.svg"' in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", AT_THE_TOP, ids=lambda path: path.name)
def test_links_at_the_top_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (TOP / link).is_file()] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settings.md", reference.settings_page()),
        ("api.md", reference.api_page()),
        ("projects.md", reference.projects_page()),
    ],
)
def test_reference_is_what_the_code_says(name: str, text: str) -> None:
    assert says(name) == text, "run `make reference`"


@pytest.mark.parametrize("name", [*(str(f.validation_alias) for f in Settings.model_fields.values())])
def test_settings_page_lists_every_variable(name: str) -> None:
    assert f"\n| `{name}` | " in says("settings.md")


@pytest.mark.parametrize("name", list(ProjectSettings.model_fields))
def test_settings_page_and_readme_list_every_setting_of_a_project(name: str) -> None:
    assert f"\n| `{name}` | " in says("settings.md")
    assert f"\n| `{name}` | " in (TOP / "README.md").read_text(encoding="utf-8")


def test_settings_in_the_readme_exist_and_mean_what_the_code_says() -> None:
    described = {str(field.validation_alias): field.description for field in Settings.model_fields.values()}
    described |= {name: field.description for name, field in ProjectSettings.model_fields.items()}
    section = (TOP / "README.md").read_text(encoding="utf-8").partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| (.+) \|$", section, re.MULTILINE)
    assert len(rows) >= len(ProjectSettings.model_fields) + 5
    assert {name: meaning for name, meaning in rows if described.get(name) != meaning} == {}


@pytest.mark.parametrize("name", list(pictures.PICTURES))
def test_picture_is_what_is_drawn(name: str) -> None:
    assert says(f"images/{name}.svg") == pictures.PICTURES[name]().svg(), "run `make reference`"


@pytest.mark.parametrize("name", list(pictures.PICTURES))
def test_picture_says_in_words_what_it_shows_and_keeps_within_its_card(name: str) -> None:
    root = ElementTree.fromstring(says(f"images/{name}.svg"))
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    svg = "{http://www.w3.org/2000/svg}"
    assert len(root.findtext(f"{svg}desc") or "") > 80
    for box in root.iter(f"{svg}rect"):
        x, y, w, h = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        assert min(x, y) >= 0
        assert x + w <= width, box.attrib
        assert y + h <= height, box.attrib
    assert f"images/{name}.svg" in says("queue.md")


def spoken() -> Iterator[str]:
    """Every text that the code may say; what is filled in is an empty place."""
    paths = [*(TOP / "backend").rglob("*.py"), TOP / "Makefile"]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".py":
            yield text
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def quoted() -> list[str]:
    """The pieces of the sentences in the first column that are said to be ours: in backticks, a space within."""
    rows = re.findall(r"^\| (.+?) \| .+ \|$", says("troubleshooting.md"), re.MULTILINE)
    sentences = [sentence for cell in rows for sentence in re.findall(r"`([^`]+ [^`]+)`", cell)]
    return [
        piece.strip() for sentence in sentences for piece in re.split(r"\.\.\.|[<>]\w+>", sentence) if piece.strip()
    ]


def test_troubleshooting_quotes_what_the_code_says() -> None:
    said = "\n".join(spoken())
    pieces = quoted()
    assert len(pieces) > 40
    assert [piece for piece in pieces if piece not in said] == []


def test_troubleshooting_names_variables_that_exist() -> None:
    named = set(
        re.findall(r"\bAL_[A-Z_]+\b", says("troubleshooting.md") + says("operations.md") + says("quickstart.md"))
    )
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert named - known == set()
