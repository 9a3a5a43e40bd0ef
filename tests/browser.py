"""Opens a page in a real browser, headless Chromium, and says what it saw."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# What an element shows, and how wide and high it is; a picture that did not load is 0 wide.
LOOK = """
return [...document.querySelectorAll("img, svg")].map(one => {
  const box = one.getBoundingClientRect();
  const loaded = one.tagName === "IMG" ? one.naturalWidth : 1;
  return [one.alt || one.id || one.tagName, Math.min(loaded, box.width, box.height)];
})
"""


@dataclass(frozen=True)
class Seen:
    """What a page showed in a window of `width`, px.

    Attributes:
        width: Of the window.
        page_width: Of the page's content; more than the window's means scrolling sideways.
        text: What can be read.
        pictures: By description, the least of its sides; 0: it did not load.
        scrolled: How many boxes scroll sideways by themselves.
        errors: From the browser's console.
    """

    width: int
    page_width: int
    text: str
    pictures: list[tuple[str, float]]
    scrolled: int
    errors: list[str]


def look_at(page: Path, widths: Sequence[int]) -> list[Seen]:
    """Opens a page in windows of several widths; fails the test where there is no Chromium."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.fail(
            "this test opens the report in Chromium, and chromium or chromedriver is not on PATH; "
            "on Debian: apt-get install chromium chromium-driver. To leave out such tests: "
            'pytest -m "not browser"'
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Its sandbox does not start as root, and a container's /dev/shm is small.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        return [_look(browser, page, width) for width in widths]
    finally:
        browser.quit()


def _look(browser: webdriver.Chrome, page: Path, width: int) -> Seen:
    window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    browser.get(page.resolve().as_uri())
    return Seen(
        width=browser.execute_script("return innerWidth"),
        page_width=browser.execute_script("return document.documentElement.scrollWidth"),
        text=browser.execute_script("return document.body.innerText"),
        pictures=[(name, side) for name, side in browser.execute_script(LOOK)],
        scrolled=browser.execute_script(
            'return [...document.querySelectorAll(".scroll")]'
            ".filter(box => box.scrollWidth > box.clientWidth).length"
        ),
        errors=[entry["message"] for entry in browser.get_log("browser")],
    )
