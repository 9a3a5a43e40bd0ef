"""Opens a page in a real browser, headless Chromium, and says what it saw."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

TEXT = "return document.body.innerText"
# Ticks the row of a run, counted from its parent.
SELECT = """
const box = document.querySelector(`.ag-row[row-index="${arguments[0]}"] input[type=checkbox]`);
if (box && !box.checked) box.click();
return Boolean(box && box.checked);
"""

# Moves a part of MLflow's table of metrics, the names or the values, to its start or its end. Of
# each cell there is then, the row, the column and the text.
CELLS = """
const [part, end, done] = arguments;
const grid = document.querySelectorAll(".ReactVirtualized__Grid")[part];
grid.scrollTop = end ? grid.scrollHeight : 0;
requestAnimationFrame(() => setTimeout(() => done([...grid.firstElementChild.children].map(
  cell => [parseInt(cell.style.top), parseInt(cell.style.left), cell.innerText.trim()])), 500));
"""

# What an element shows, and how wide and high it is; a picture that did not load is 0 wide.
LOOK = """
return [...document.querySelectorAll("img, svg")].map(one => {
  const box = one.getBoundingClientRect();
  const loaded = one.tagName === "IMG" ? one.naturalWidth : 1;
  return [one.alt || one.id || one.tagName, Math.min(loaded, box.width, box.height)];
})
"""

# Visible boxes whose content sticks out, or can be seen by scrolling alone.
CUT = """
return [...document.querySelectorAll("body *")].filter(one => {
  const style = getComputedStyle(one);
  return style.overflowX !== "visible" && style.clipPath === "none"
    && one.scrollWidth > one.clientWidth + 1;
}).map(one => one.getAttribute("aria-label") || one.className || one.tagName);
"""

# Text with less contrast to what is behind it than WCAG 2 asks for (4.5, AA).
FAINT = """
const parse = color => (color.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const over = ([r, g, b, a = 1], below) => [r, g, b].map((x, i) => a * x + (1 - a) * below[i]);
const light = color => color.map(x => x / 255)
  .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
  .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
const behind = one => one
  ? over(parse(getComputedStyle(one).backgroundColor), behind(one.parentElement))
  : [255, 255, 255];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const found = [];
if ((light(behind(document.body)) < 0.2) !== (arguments[0] === "dark")) found.push("the page");
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
  if (!text || one.closest("svg, style") || !one.offsetParent) continue;
  const back = behind(one), front = over(parse(getComputedStyle(one).color), back);
  const [low, high] = [light(front), light(back)].sort((x, y) => x - y);
  const contrast = (high + 0.05) / (low + 0.05);
  if (contrast < 4.5) found.push(`${text}: ${contrast.toFixed(1)}`);
}
return found;
"""

# What a screen reader tells about the page, and that is missing.
UNTOLD = """
const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .filter(one => one.offsetParent).map(one => +one.tagName[1]);
const jumps = levels.filter((level, i) => level > (levels[i - 1] || 0) + 1);
const tables = [...document.querySelectorAll("table")];
return [
  ...(document.querySelectorAll("main").length === 1 ? [] : ["not one main"]),
  ...(levels.filter(level => level === 1).length === 1 ? [] : ["not one h1"]),
  ...jumps.map(level => `h${level} below none of level ${level - 1}`),
  ...tables.filter(one => !one.caption || !one.caption.innerText).map(() => "table, no caption"),
  ...[...document.querySelectorAll("th:not([scope])")].map(one => `no scope: ${one.innerText}`),
];
"""


@dataclass(frozen=True)
class Seen:
    """What a page showed in a window of `width`, px.

    Attributes:
        width: Of the window.
        page_width: Of the page's content; more than the window's means scrolling sideways.
        text: What can be read.
        pictures: By description, the least of its sides; 0: it did not load.
        cut: Boxes whose content is wider than they are.
        faint: Text of too little contrast, in a light and in a dark window.
        untold: What a screen reader misses: main, order of headings, captions, scopes.
        errors: From the browser's console.
    """

    width: int
    page_width: int
    text: str
    pictures: list[tuple[str, float]]
    cut: list[str]
    faint: list[str]
    untold: list[str]
    errors: list[str]


@contextmanager
def chromium(height: int = 900) -> Iterator[webdriver.Chrome]:
    """Yields a browser; fails the test where there is no Chromium."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.fail(
            "this test opens a page in Chromium, and chromium or chromedriver is not on PATH; "
            "on Debian: apt-get install chromium chromium-driver. To leave out such tests: "
            'pytest -m "not browser"'
        )
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Its sandbox does not start as root, and a container's /dev/shm is small.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--window-size=1500,{height}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def look_at(page: Path, widths: Sequence[int]) -> list[Seen]:
    """Opens a page in windows of several widths."""
    return look_at_all([page], widths)


def look_at_all(pages: Sequence[Path], widths: Sequence[int]) -> list[Seen]:
    """Opens pages, one after the other, in windows of several widths."""
    with chromium() as browser:
        return [_look(browser, page, width) for page in pages for width in widths]


def assert_sound(seen: Seen) -> None:
    """Asserts what has to hold for the report of any results."""
    assert [name for name, side in seen.pictures if not side > 0] == []
    assert seen.errors == []
    assert seen.page_width <= seen.width
    assert seen.cut == []
    assert seen.faint == []
    assert seen.untold == []


def compared(address: str, experiment: str, runs: Sequence[str], picture: Path) -> dict[str, Any]:
    """Opens MLflow's list of runs, selects two below their parent, and presses Compare.

    Args:
        address: Of MLflow's server.
        experiment: Id of the experiment.
        runs: Ids of two runs that share a parent.
        picture: Where to keep a picture of the page.

    Returns:
        By run name, each metric as the page shows it.
    """
    found = quote(f"attributes.run_id IN ({', '.join(repr(run) for run in runs)})")
    with chromium(height=2400) as browser:
        wait = WebDriverWait(browser, 120)
        browser.get(f"{address}/#/experiments/{experiment}/runs?searchFilter={found}")
        opener = wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, ".ag-row button"))
        browser.execute_script("arguments[0].click()", opener[0])
        for row in (1, 2):
            wait.until(partial(_selected, row=row))
        press = (
            "return [...document.querySelectorAll('button')].find(b => b.innerText === 'Compare')"
        )
        button = wait.until(lambda _: browser.execute_script(press))
        browser.execute_script("arguments[0].click()", button)
        try:
            wait.until(lambda _: "calibration_error" in browser.execute_script(TEXT))
        finally:
            browser.save_screenshot(str(picture))
        text = str(browser.execute_script(TEXT))
        names, values = (_cells(browser, part) for part in (0, 1))
    columns = sorted({column for _, column in values})
    shown = [line.strip() for line in _between(text, "Run Name:", "Start Time:") if line.strip()]
    return {
        name: {metric: values[row, column] for (row, _), metric in names.items()}
        for name, column in zip(shown, columns, strict=True)
    }


def _cells(browser: webdriver.Chrome, part: int) -> dict[tuple[int, int], str]:
    """Returns the cells of a part of MLflow's table of metrics, which holds those near by alone."""
    found = [browser.execute_async_script(CELLS, part, end) for end in (False, True)]
    return {(row, column): text for cells in found for row, column, text in cells}


def _selected(browser: webdriver.Chrome, row: int) -> bool:
    return bool(browser.execute_script(SELECT, row))


def _between(text: str, start: str, end: str) -> list[str]:
    return text.split(start, 1)[1].split(end, 1)[0].split("\n")


def _look(browser: webdriver.Chrome, page: Path, width: int) -> Seen:
    window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    browser.get(page.resolve().as_uri())
    # What is folded has to fit too.
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    return Seen(
        width=browser.execute_script("return innerWidth"),
        page_width=browser.execute_script("return document.documentElement.scrollWidth"),
        text=browser.execute_script("return document.body.innerText"),
        pictures=[(name, side) for name, side in browser.execute_script(LOOK)],
        cut=browser.execute_script(CUT),
        faint=[text for scheme in ("light", "dark") for text in _faint(browser, scheme)],
        untold=browser.execute_script(UNTOLD),
        errors=[entry["message"] for entry in browser.get_log("browser")],
    )


def _faint(browser: webdriver.Chrome, scheme: str) -> list[str]:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    return [f"{scheme}: {text}" for text in browser.execute_script(FAINT, scheme)]
