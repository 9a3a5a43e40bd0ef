"""The page of mistakes: the right clips, the most telling first, in one file of limited size."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest

from stemtune.report import mistakes
from stemtune.report.mistakes import BASELINE_ALONE, BOTH, STEM_ALONE
from tests.support import results


class Reader(HTMLParser):
    """Reads a page: its text, where links and pictures lead, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags = "", set[str]()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "a":
            self.links.append(values["href"] or "")
        if tag == "img":
            self.pictures.append(values["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(clips: int) -> str:
    table, baseline, stem = results.answered(clips)
    found = mistakes.find(table, results.CLASSES, baseline, stem)
    return mistakes.render(found, clips, "joint", results.footage)


@pytest.fixture(scope="module")
def many() -> str:
    return page_of(600)


def test_a_clip_is_shown_that_one_of_the_models_misses_or_both() -> None:
    of_frames = {
        # By clip: its label, then what baseline and stem give its class 1, frame by frame.
        "right": (1, [0.9, 0.8], [0.6, 0.9]),
        "stem": (1, [0.9, 0.9], [0.4, 0.2]),
        "baseline": (0, [0.6, 0.7], [0.1, 0.2]),
        "both": (0, [0.6, 0.6], [0.9, 0.9]),
        # Two of three frames against one that is sure, and wins.
        "sure": (0, [0.4, 0.4, 1.0], [0.1, 0.1, 0.1]),
    }
    rows = [
        (clip, "ab"[label], label, clip, index, one, other)
        for clip, (label, *answers) in of_frames.items()
        for index, (one, other) in enumerate(zip(*answers, strict=True))
    ]
    columns = ["clip", "class", "label", "shard", "index", "baseline", "stem"]
    table = pd.DataFrame(rows, columns=columns)
    baseline, stem = (
        np.stack([1 - table[name], table[name]], axis=1) for name in ("baseline", "stem")
    )
    found = mistakes.find(table, ["a", "b"], baseline, stem)
    assert [*zip(found["clip"], found["missed_by"], strict=True)] == [
        ("both", BOTH),
        ("stem", STEM_ALONE),
        ("baseline", BASELINE_ALONE),
        ("sure", BASELINE_ALONE),
    ]
    stem, sure = found.loc[1], found.loc[3]
    assert (stem["stem_predicted"], stem["baseline_predicted"]) == ("a", "b")
    assert (stem["stem_probability"], stem["stem_own"]) == pytest.approx((0.7, 0.3))
    assert (sure["baseline_predicted"], sure["baseline_probability"]) == ("b", pytest.approx(0.6))
    assert sure["indexes"] == [0, 1, 2]


def test_of_many_clips_the_page_stays_small_and_says_how_many_it_leaves_out(many: str) -> None:
    assert len(many.encode()) < 3_000_000
    sections = re.findall(
        r'<h2 id="missed-\d">Missed by (.+?)</h2>\s*'
        r'<p class="note">Left out, to keep this page small: (\d+) of (\d+) clips.</p>(.*?)</div>',
        many,
        flags=re.DOTALL,
    )
    assert [section[0] for section in sections] == list(mistakes.KINDS)
    shown = [body.count("<article>") for *_, body in sections]
    for (_, left, count, _), number in zip(sections, shown, strict=True):
        assert int(left) + number == int(count)
    assert set(shown) == {mistakes.CLIPS}
    assert f"{sum(int(count) for _, _, count, _ in sections)} of 600 test clips" in many


def test_equal_answers_give_equal_bytes() -> None:
    assert page_of(20) == page_of(20)


def test_a_clip_of_any_name_is_shown_and_found(tmp_path: Path) -> None:
    read = Reader(page_of(20))
    table, _, _ = results.answered(20)
    for clip in table["clip"].unique():
        path = tmp_path / "data" / clip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    page = (tmp_path / "report/mistakes.html").as_uri()
    clips = [link for link in read.links if link.startswith("../data/")]
    led = [urlsplit(urljoin(page, link)) for link in clips]
    assert all((parts.scheme, parts.query, parts.fragment) == ("file", "", "") for parts in led)
    found = {Path(url2pathname(parts.path)) for parts in led}
    assert len(found) == len(clips)
    assert all(path.is_file() for path in found)
    assert {path.name for path in found} >= set(results.ODD_CLIPS)
    for place, name in enumerate(results.ODD_CLIPS):
        assert (name if name.isprintable() else repr(f"{place}/{name}")) in read.text
    assert results.EVIL in read.text
    assert "script" not in read.tags


def test_it_needs_no_other_file(many: str) -> None:
    read = Reader(many)
    assert {picture.split(",")[0] for picture in read.pictures} == {"data:image/webp;base64"}
    others = {link for link in read.links if not link.startswith(("../data/", "#missed-"))}
    pages = {"index.html", "../records/exports.html", "../records/data_docs.html"}
    assert others == {*pages, "#top"}
    # A way back, at the top and at the end.
    assert [read.links[0], read.links[-1]] == ["index.html", "index.html"]


def test_without_mistakes_it_says_so() -> None:
    table, _, _ = results.answered(3)
    right = np.eye(3)[table["label"]]
    found = mistakes.find(table, results.CLASSES, right, right)
    assert "0 of 3 test clips" in mistakes.render(found, 3, "joint", results.footage)
