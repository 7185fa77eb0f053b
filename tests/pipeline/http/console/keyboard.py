"""Keyboard: a page as somebody walks through it who has no mouse."""

from playwright.sync_api import Page, expect

FOCUSED = """() => {
    const { labels, ariaLabel, textContent } = document.activeElement;
    return (labels?.[0] ?? { textContent: ariaLabel ?? textContent }).textContent.trim().slice(0, 70);
}"""


def reach(page: Page, name: str, *, back: bool = False) -> None:
    """Press Tab until what is so called has the focus."""
    met = []
    for _ in range(150):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        met.append(page.evaluate(FOCUSED))
        if met[-1] == name:
            return
    raise AssertionError(f"nothing on the way is called {name!r}: {met}")


def press(page: Page, name: str, *, back: bool = False) -> None:
    """The button or the link of this name."""
    reach(page, name, back=back)
    page.keyboard.press("Enter")


def fill(page: Page, **said: str) -> None:
    """Type what is said into the fields of these labels, in this order, by the keyboard alone."""
    for label, text in said.items():
        reach(page, label.replace("_", " "))
        page.keyboard.type(text)


def go(page: Page, name: str) -> None:
    """To a step of a form."""
    press(page, name)
    expect(page.locator("#step")).to_be_focused()
