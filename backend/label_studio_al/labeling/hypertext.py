"""HTML as text: what a page shows, and what it has as text content."""

from __future__ import annotations

import re
from html import escape, unescape
from html.parser import HTMLParser

# Tags take their part of a document, of which only the beginning is ever learned from.
MAX_HTML_CHARACTERS = 200_000
# What is no text that a page shows.
_HIDDEN = frozenset(("script", "style", "head", "template", "noscript"))
_NEWLINES = re.compile(r"\r\n?")
_BLANKS = " \t\n\f"
# What is in them is in no page's text: Label Studio takes it out, or browsers keep it apart.
_APART = frozenset(("script", "iframe", "template"))
# Before the body begins, these belong to the head.
_OF_HEAD = frozenset(("title", "style", "noscript", "noframes"))
_BEFORE_BODY = frozenset(("html", "head", "base", "basefont", "bgsound", "link", "meta"))
# Of what is written anew, these are closed.
_CLOSED = frozenset(("img", "br", "hr", "area", "base", "basefont", "input", "link", "meta"))
# Pages drop the first newline inside of these.
_DROPS_NEWLINE = frozenset(("pre", "listing", "textarea"))


def shown_text(html: str) -> str:
    """What a page shows of HTML: without tags, scripts and comments, blanks as one space."""
    if "<" not in html and "&" not in html:
        return html
    reader = _Shown()
    reader.feed(html[:MAX_HTML_CHARACTERS])
    reader.finish()
    return " ".join("".join(reader.found).split())


def body_text(html: str, is_inline: bool = False) -> str:
    """The text content of the body that the labelling page makes of HTML, with all its blanks and a newline for <br>.

    is_inline: whether it stands in the labelling page itself, where all of it is the body's.
    Measured on 1.23.2: spans are counted in it. Text that a page moves (out of a table, for example) stays where it is.
    """
    text = _NEWLINES.sub("\n", html[:MAX_HTML_CHARACTERS]).replace("\0", "")
    text = text if is_inline else text.removeprefix("\ufeff")
    if "<" not in text and "&" not in text:
        return text if is_inline else text.lstrip(_BLANKS)
    reader = _Body(is_inline)
    reader.feed(text)
    reader.finish()
    return "".join(reader.found)


class _Reader(HTMLParser):
    """What both have in common."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """`<![if ...]>` is a comment to pages, whatever its word; other words raise AssertionError before 3.14."""
        return self.rawdata.find(">", i) + 1 or -1


class _Shown(_Reader):
    """The text of an HTML document, without tags, scripts and comments."""

    def __init__(self) -> None:
        super().__init__()
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag parts words."""
        # A head may end without a tag.
        self._hidden = 0 if tag == "body" else self._hidden + (tag in _HIDDEN)
        self.found.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """As the beginning."""
        self._hidden = max(0, self._hidden - (tag in _HIDDEN))
        self.found.append(" ")

    def handle_data(self, data: str) -> None:
        """What is shown."""
        if not self._hidden:
            self.found.append(data)

    def finish(self) -> None:
        """The end, with a tag or a comment that does not end as it is: `close` looks for its end again and again."""
        if not self._hidden:
            self.found.append(unescape(self.rawdata))


class _Body(_Reader):
    """The text content of a document's body."""

    def __init__(self, has_begun: bool) -> None:
        super().__init__()
        # The element whose text is left out, and how many of its kind are open.
        self._left_out, self._depth = "", 0
        self._has_begun = has_begun
        self._drops_newline = False
        self._in_noscript = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The body begins with the first tag that is none of the head's."""
        if self._left_out:
            self._depth += tag == self._left_out
        elif self._in_noscript:
            self.found.append(_as_written(tag, attrs))
        elif tag in _APART or (tag in _OF_HEAD and not self._has_begun):
            self._left_out, self._depth = tag, 1
        elif tag not in _BEFORE_BODY:
            self._has_begun = True
            self._drops_newline = tag in _DROPS_NEWLINE
            self._in_noscript = tag == "noscript"
            # Label Studio counts it as one character.
            self.found.append("\n" if tag == "br" else "")

    def handle_endtag(self, tag: str) -> None:
        """What is left out may end."""
        self._drops_newline = False
        self._in_noscript &= tag != "noscript"
        if self._in_noscript and not self._left_out:
            self.found.append(f"</{tag}>")
        self._depth -= tag == self._left_out
        if not self._depth:
            self._left_out = ""

    def handle_data(self, data: str) -> None:
        """As it is, but blanks before the body are none of its text."""
        if self._left_out:
            return
        if self._drops_newline:
            data = data.removeprefix("\n")
        self._drops_newline = False
        if not self._has_begun:
            data = data.lstrip(_BLANKS)
        self._has_begun |= bool(data)
        self.found.append(escape(data, quote=False) if self._in_noscript else data)

    def finish(self) -> None:
        """The end; a tag or a comment that does not end is no text."""
        if not self.rawdata.startswith("<"):
            self.handle_data(unescape(self.rawdata))


def _as_written(tag: str, attrs: list[tuple[str, str | None]]) -> str:
    """A tag as Label Studio writes it anew: where scripts run, pages show what is in <noscript> as text."""
    shown = ((name, escape(value or "").replace("&#x27;", "'")) for name, value in attrs if not name.startswith("on"))
    inside = "".join(f' {name}="{value}"' if value else f" {name}" for name, value in shown)
    return f"<{tag}{inside} />" if tag in _CLOSED else f"<{tag}{inside}>"
