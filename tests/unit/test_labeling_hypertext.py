"""The text that spans of HTML are counted in: each case as Label Studio 1.23.2 showed it in Chromium."""

from __future__ import annotations

import pytest

from label_studio_al.labeling.hypertext import MAX_HTML_CHARACTERS, body_text

MEASURED = {
    "plain text": ("Hi Anna here", "Hi Anna here"),
    "blanks before it": ("  \n Hi Anna", "Hi Anna"),
    "form feed before it": ("\x0c a Anna", "a Anna"),
    "byte order mark before it": ("\ufeffHi Anna", "Hi Anna"),
    "blanks behind it": ("<p>Anna</p>  \n ", "Anna  \n "),
    "entities": (
        "<p>A&amp;B &lt; &nbsp;&eacute;&#x1F600; &notin; &ampx &copy Anna</p>",
        "A&B < \xa0é😀 \u2209 &x © Anna",
    ),
    "entities without tags": ("A&amp;B Anna", "A&B Anna"),
    "no entities": ("<p>&nosuch; &#0; &#150; Anna</p>", "&nosuch; \ufffd \u2013 Anna"),
    "entities that are blanks": ("&#32;&#10;Anna", "Anna"),
    "no-break space before it": ("&nbsp; Anna", "\xa0 Anna"),
    "no tags": ("2 < 3 and 3<4 Anna", "2 < 3 and 3<4 Anna"),
    "comment": ("<p>a<!-- hidden -->b Anna</p>", "ab Anna"),
    "comment before it": ("<!-- hidden -->  Hi Anna", "Hi Anna"),
    "CDATA": ("<p>a<![CDATA[ x ]]>b Anna</p>", "ab Anna"),
    "processing instruction": ("<?xml version='1.0'?><p>Anna</p>", "Anna"),
    "whole document": (
        "<!DOCTYPE html>\n<html>\n<head>\n<title>T</title>\n</head>\n<body>\n<p>Anna</p>\n</body>\n</html>\n",
        "\nAnna\n\n\n",
    ),
    "script": ("<p>a</p><script>var x = '<b>';</script><p>Anna</p>", "aAnna"),
    "style": ("<p>a</p><style>p { color: red }</style><p>Anna</p>", "ap { color: red }Anna"),
    "template": ("<p>a</p><template><p>inside</p></template><p>Anna</p>", "aAnna"),
    "noscript": ("<p>a</p><noscript><p>inside</p></noscript><p>Anna</p>", "a<p>inside</p>Anna"),
    "textarea": ("<p>a</p><textarea>\nin & out</textarea><p>Anna</p>", "ain & outAnna"),
    "options": ("<select><option>one<option>two</select>Anna", "onetwoAnna"),
    "title in the body": ("<p>a</p><title>The title</title><p>Anna</p>", "aThe titleAnna"),
    "another page": ("<p>a</p><iframe src='http://x/'>fallback</iframe><p>Anna</p>", "aAnna"),
    "line breaks": ("a<br>b<br/>c<br>Anna", "a\nb\nc\nAnna"),
    "tags without text": ("a<wbr>b<img src='data:,'>c Anna", "abc Anna"),
    "pre": ("<pre>\n\nx\nAnna</pre>", "\nx\nAnna"),
    "pre with CR LF": ("<pre>\r\nx\r\nAnna</pre>", "x\nAnna"),
    "CR LF": ("<p>a\r\nb\rc</p>\r\nAnna", "a\nb\nc\nAnna"),
    "CR LF without tags": ("a\r\nb\r\nAnna", "a\nb\nAnna"),
    "NUL": ("<p>a\x00b Anna</p>", "ab Anna"),
    "table": ("<table>\n <tr>\n  <td>Anna</td>\n </tr>\n</table>", "\n \n  Anna\n \n"),
    "table that is completed": ("<table><td>a<td>Anna</table>", "aAnna"),
    "tags that do not end": ("<p>a<b>b<i>Anna", "abAnna"),
    "tag that is cut off": ("Anna <b", "Anna "),
    "tags that cross": ("<b>a<i>b</b>Anna</i>c", "abAnnac"),
    "tags that end twice": ("<p>a<p>b</p>Anna</p>c", "abAnnac"),
    "list": ("<ul>\n<li>a\n<li>Anna\n</ul>", "\na\nAnna\n"),
    "markup inside": ("<p>x An<b>n</b>a y</p>", "x Anna y"),
    "head without body": ("<head><title>T</title></head>  Hi Anna", "Hi Anna"),
    "title without head": ("<title>T</title>  Hi Anna", "Hi Anna"),
    "head that does not end": ("<head><title>T</title><p>Anna", "Anna"),
    "blanks around the head": ("<html>\n<head> <meta charset='utf-8'> </head>\n\n <body> Anna</body>", " Anna"),
    "body begins with blanks": ("<html><body>\n\nHi Anna</body></html>", "\n\nHi Anna"),
    "body begins twice": ("<body>a<body>Anna</body>", "aAnna"),
    "text behind the body": ("<html><body>Anna</body> \n</html> more", "Anna \n more"),
    "style before the body": ("<style>p { }</style>\n<p>Anna</p>", "Anna"),
    "script before the body": ("<script>x</script>\n<p>Anna</p>", "Anna"),
    "meta before the body": ("<meta charset='utf-8'><link rel='x'>\n <p>Anna</p>", "Anna"),
    "emoji": ("<p>😀 👩\u200d🚀 Anna</p>", "😀 👩\u200d🚀 Anna"),
    "sign in an attribute": ("<p title='a > b'>Anna</p>", "Anna"),
    "unknown tags": ("<foo>a</foo> <a@b.c> Anna", "a  Anna"),
    "drawing": ("<svg><text>in svg</text><title>t</title></svg>Anna", "in svgtAnna"),
    "hidden text": ("<div style='display:none'>hid</div>Anna", "hidAnna"),
}


@pytest.mark.parametrize("case", MEASURED)
def test_text_is_what_the_page_counts(case: str) -> None:
    html, text = MEASURED[case]
    assert body_text(html) == text


def test_only_the_beginning_of_a_large_page_is_read() -> None:
    assert body_text("<p>" + "a" * (MAX_HTML_CHARACTERS + 10)) == "a" * (MAX_HTML_CHARACTERS - 3)
    assert body_text("b" * (MAX_HTML_CHARACTERS + 10)) == "b" * MAX_HTML_CHARACTERS


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("  \n Hi Anna", "  \n Hi Anna"),
        ("<!-- hidden -->  Hi Anna", "  Hi Anna"),
        ("<title>T</title>  Hi Anna", "T  Hi Anna"),
        ("<style>p { }</style>\n<p>Anna</p>", "p { }\nAnna"),
        ("<html>\n<head> <meta charset='utf-8'> </head>\n\n <body> Anna</body>", "\n  \n\n  Anna"),
        (MEASURED["whole document"][0], "\n\n\nT\n\n\nAnna\n\n\n"),
        ("<body>a<body>Anna</body>", "aAnna"),
        ("<pre>\n\nx\nAnna</pre>", "\nx\nAnna"),
    ],
)
def test_text_in_the_labelling_page_itself_begins_at_once(html: str, text: str) -> None:
    assert body_text(html, is_inline=True) == text
