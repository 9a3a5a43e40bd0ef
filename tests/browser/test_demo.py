"""A clip dropped on the page of `stemtune demo` in a real browser, and what the page refuses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from stemtune.core import files
from stemtune.core.paths import BASELINE, METRICS, STEMS
from stemtune.media import decoding
from stemtune.networks import classifier
from stemtune.serving.requested_clips import LIMITS
from tests.support import clips, results
from tests.support.browser import chromium
from tests.support.classifiers import CLASSES, SIDE, tiny_classifier
from tests.support.project import ROOT

pytestmark = pytest.mark.browser

CLIP = ROOT / "data/weave/weave_s00_c0.mp4"
FRAMES, CLIP_MIB = 3, 1
# Validates best in `results.COMPARED`.
STEM = "warm_start"


@dataclass(frozen=True)
class Demo:
    """A page that is served: where, from which project, and where it may keep what is sent."""

    address: str
    project: Path
    temporary: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    project, temporary = (tmp_path_factory.mktemp(name) for name in ("project", "temporary"))
    specification = classifier.InputSpecification(frames_per_clip=FRAMES, size=SIDE, side=SIDE)
    for folder, with_stem in ((BASELINE, False), (STEMS / STEM, True)):
        classifier.save(tiny_classifier(with_stem), CLASSES, specification, project / folder)
    files.write_json(project / METRICS, results.COMPARED.model_dump())
    server = subprocess.Popen(
        [sys.executable, "-m", "stemtune", "demo", "--port", "0"],
        cwd=project,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), "STEMTUNE_CLIP_MIB": str(CLIP_MIB)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    address = server.stdout.readline().split()[-1]
    yield Demo(address, project, temporary)
    server.terminate()
    server.wait(60)
    # Whatever was sent is gone.
    assert list(temporary.rglob("stemtune-*")) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as opened:
        yield opened


def drop(browser: webdriver.Chrome, demo: Demo, clip: Path) -> str:
    """Drops a clip on the page, as a hand with a mouse does, and returns what can be read then."""
    browser.get(demo.address)
    zone = browser.find_element(By.TAG_NAME, "label").rect
    place = {"x": zone["x"] + zone["width"] / 2, "y": zone["y"] + zone["height"] / 2}
    held = {"items": [], "files": [str(clip)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, **place, "data": held})
    WebDriverWait(browser, 60).until(lambda _: browser.find_elements(By.TAG_NAME, "h2"))
    return browser.find_element(By.TAG_NAME, "body").text


def test_a_clip_that_is_dropped_is_seen_with_each_model_s_answer(
    browser: webdriver.Chrome, demo: Demo
) -> None:
    text = drop(browser, demo, CLIP)
    assert CLIP.name in text
    assert "A model always answers with one of its classes" in text
    sides = "return [...document.images].map(image => [image.naturalWidth, image.naturalHeight])"
    assert browser.execute_script(sides) == [[SIDE, SIDE]] * FRAMES
    cards = browser.find_elements(By.TAG_NAME, "article")
    for card, (name, folder) in zip(
        cards, {"baseline": BASELINE, f"stem, {STEM}": STEMS / STEM}.items(), strict=True
    ):
        predict = classifier.load(demo.project / folder).predictor(SIDE)
        frames = decoding.sample_frames(CLIP, FRAMES, SIDE, LIMITS).frames
        shares = dict(zip(CLASSES, predict(frames).mean(axis=0), strict=True))
        best = max(shares, key=shares.__getitem__)
        shown, label, *rows, time = card.text.splitlines()
        assert (shown, label) == (name, best)
        assert f"{best} {shares[best]:.3f}" in " ".join(rows).replace("\n", " ")
        assert float(time.split()[0]) > 0
        assert time.endswith("ms for 3 frames")
    loaded = browser.execute_script("return performance.getEntriesByType('resource')")
    assert [one["name"] for one in loaded if not one["name"].startswith("data:")] == []
    assert browser.get_log("browser") == []


def test_a_clip_that_cannot_be_read_is_shown_with_its_reason(
    browser: webdriver.Chrome, demo: Demo, tmp_path: Path
) -> None:
    broken, bomb = tmp_path / "<b>broken&.mp4", tmp_path / "bomb.png"
    broken.write_text(f"#EXTM3U\n#EXTINF:9,\n{CLIP}\n")
    bomb.write_bytes(clips.bomb(10_000))
    text = drop(browser, demo, broken)
    assert broken.name in text
    assert "This clip cannot be decoded: it is damaged" in text
    assert "pixels; limits.pixels allows 67108864 in all." in drop(browser, demo, bomb)


def test_what_others_send_and_what_is_too_large_is_refused(demo: Demo, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes((CLIP_MIB + 1) * 2**20))
    for status, said, asked in (
        (413, "This clip has 2 MiB; STEMTUNE_CLIP_MIB allows 1 MiB", {"file": large}),
        (403, "Only this page may send clips", {"file": CLIP, "origin": "http://a.example"}),
        (403, "Only this page may send clips", {"file": CLIP, "origin": "null"}),
        (400, "Invalid host", {"file": CLIP, "host": "a.example"}),
        (400, "No clip was sent", {"file": None}),
    ):
        headers = {name: str(asked[name]) for name in ("origin", "host") if name in asked}
        path = asked["file"]
        parts = {"clip": (path.name, path.read_bytes())} if isinstance(path, Path) else None
        answer = requests.post(demo.address, headers=headers, files=parts, timeout=60)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
    # The name of a file is no file, and no other page is there.
    answer = requests.post(demo.address, files={"clip": (None, str(CLIP))}, timeout=60)
    assert answer.status_code == 400
    assert requests.get(f"{demo.address}/{CLIP}", timeout=60).status_code == 404
