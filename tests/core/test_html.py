from html import escape
from html.parser import HTMLParser

from nanovllm_edu.core import html

ATTACK = "<script>alert('x')</script>&\""


class Tags(HTMLParser):
    """Which tags are opened and closed, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.closed.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_text_of_a_table_is_escaped() -> None:
    tags = Tags(html.table(ATTACK, (ATTACK,), [(ATTACK, 1)]))
    assert "script" not in tags.opened
    assert tags.text.count(ATTACK) == 3
    assert f'aria-label="{escape(ATTACK)}"' in html.table(ATTACK, ("a",), [(1,)])


def test_a_paragraph_is_escaped() -> None:
    assert Tags(html.paragraph(ATTACK)).opened == ["div"]


def test_a_table_is_well_formed() -> None:
    tags = Tags(html.table("title", ("a", "b"), [(1, 2), (3, 4)]))
    assert sorted(tags.opened) == sorted(tags.closed)
    assert tags.opened.count("tr") == 3
    assert tags.opened.count("td") == 4


def test_colours_come_from_the_theme() -> None:
    text = html.table("title", ("a",), [(1,)]) + html.paragraph("note")
    for theme in ("--jp-", "--vscode-", "--colab-"):  # JupyterLab, VS Code, Colab
        assert f"var({theme}" in text
    assert "background:transparent" in text


def test_a_table_without_rows_is_its_title() -> None:
    tags = Tags(html.table("title", ("a", "b"), iter(())))
    assert (tags.opened, tags.text) == (["div"], "title")


def test_a_title_is_not_as_narrow_as_its_table() -> None:
    """A caption would be: `Sequences: 0 running, 0 waiting` over a table of two letters."""
    assert "caption" not in html.table("a long title", ("a",), [(1,)])
