"""Markdown: what people wrote, as the only HTML that comes into a page of the console.

HTML within it stays text. A link leads to a web page, an address of mail, or a page of the console. An image is shown
as a link to it, so that nothing is fetched from elsewhere. Headings begin below those of the page.
"""

from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

LEADS_TO = ("http://", "https://", "mailto:", "#/")
REL = "noopener noreferrer nofollow"
ABOVE, LOWEST = 2, 6  # ranks of headings: those of a page stand above those of a text


@lru_cache(256)
def html_of(markdown: str) -> str:
    """The text as HTML."""
    return _MARKDOWN.render(markdown)


def words_of(markdown: str) -> str:
    """Its words without the marks, in one line."""
    blocks = ([_word(each) for each in block.children or ()] for block in _MARKDOWN.parse(markdown))
    return " ".join(" ".join("".join(block) for block in blocks).split())


def _word(token: Token) -> str:
    return " " if token.type in {"softbreak", "hardbreak"} else token.content


class _Markdown(MarkdownIt):
    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False})
        self.enable(["table", "strikethrough"])
        self.disable(["image", "html_block", "html_inline"])
        self.core.ruler.push("mend", _mend)

    def validateLink(self, url: str) -> bool:  # noqa: N802 (theirs)
        return url.lower().startswith(LEADS_TO)


def _mend(state: StateCore) -> None:
    within: list[int] = []  # levels of the headings within which a text stands, as its author has them
    for token in state.tokens:
        if token.type == "heading_open":
            level = int(token.tag[1:])
            within = [*(each for each in within if each < level), level]
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(ABOVE + len(within), LOWEST)}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", REL)


_MARKDOWN = _Markdown()
