"""What people write becomes HTML in which nothing of theirs is HTML."""

import re

import pytest

from pipeline.http.remembering.markdown import REL, html_of


def test_headings_follow_those_of_the_page_whatever_their_author_began_with():
    assert re.findall(r"<h\d>\w", html_of("### a\n## b\n#### c\n# d\n###### e\n###### f")) == [
        *("<h3>a", "<h3>b", "<h4>c", "<h3>d", "<h4>e", "<h4>f")
    ]


def test_what_people_write_is_shown_and_html_stays_text():
    html = html_of("# Why\n\n**Because** `a < b`, <script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | <i>2</i> |")

    assert "<h3>Why</h3>" in html
    assert "<strong>Because</strong> <code>a &lt; b</code>, &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<td>&lt;i&gt;2&lt;/i&gt;</td>" in html


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "&#106;avascript:alert(1)",
        " javascript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
        "//evil.example",
        "file:///etc/passwd",
    ],
)
def test_a_link_leads_to_pages_and_mail_alone(link: str):
    for text in (f"[x]({link})", f"[x](<{link}>)", f"[x]\n\n[x]: {link}", f"<{link}>", f"![x]({link})"):
        assert "<a" not in html_of(text)


def test_links_that_lead_somewhere_give_nothing_away_and_images_are_links():
    for link in ("https://shop.example/a?b=1", "mailto:ann@shop.example", "#/experiments/button/exp-1/7"):
        assert html_of(f"[x]({link})") == f'<p><a href="{link}" rel="{REL}">x</a></p>\n'
    assert html_of("![x](https://shop.example/x.png)") == (
        f'<p>!<a href="https://shop.example/x.png" rel="{REL}">x</a></p>\n'
    )
    quoted = html_of('[x](https://shop.example "y\\" onclick=\\"alert(1)")')
    assert 'title="y&quot; onclick=&quot;alert(1)"' in quoted
    assert not re.search(r"<[^>]*\son", html_of('[x](https://shop.example/"onclick="alert(1))'))
