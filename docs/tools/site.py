"""Takes the pages at the repository's top into the site, so that each is written once and read in both places."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# Where each of them stands in the site.
AT_THE_TOP = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "LICENSE": "license.txt",
}
_LINK = re.compile(r"(?<=\]\()(?:\.\./|docs/)?([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the top."""
    top = Path(config.config_file_path).parent
    for name, page in AT_THE_TOP.items():
        files.append(File.generated(config, page, content=(top / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between the top and docs/ become links within the site."""
    return _LINK.sub(lambda link: AT_THE_TOP.get(link[1], link[1]), markdown)
