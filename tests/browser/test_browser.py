"""The report and the mistakes in a real browser: pictures load, nothing fails or sticks out."""

from pathlib import Path

import pytest

from stemtune.evaluation import mistakes, mistakes_page, report
from tests.support import results
from tests.support.browser import Seen, assert_sound, look_at

WIDTHS = [1100, 400]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return report.draw(results.make())


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, str]) -> list[Seen]:
    page = tmp_path_factory.mktemp("report") / "index.html"
    page.write_text(report.render(results.make(), drawn), encoding="utf-8")
    return look_at(page, WIDTHS)


def test_the_page_is_sound_in_wide_and_narrow_windows(seen: list[Seen]) -> None:
    assert [one.width for one in seen] == WIDTHS
    for one in seen:
        assert_sound(one)


def test_every_figure_is_there(seen: list[Seen], drawn: dict[str, str]) -> None:
    examples = sum(len(example.pictures) for example in results.make().examples)
    expected = len(drawn) + examples
    assert [len(one.pictures) for one in seen] == [expected, expected]


def test_names_are_shown_and_not_obeyed(seen: list[Seen]) -> None:
    assert all(results.EVIL in one.text for one in seen)


def test_what_is_too_wide_scrolls_in_a_box_of_its_own(seen: list[Seen]) -> None:
    wide, narrow = seen
    assert narrow.scrolled > wide.scrolled


def test_the_page_of_mistakes_is_sound(tmp_path: Path) -> None:
    table, baseline, stem = results.answered(12)
    found = mistakes.find(table, results.CLASSES, baseline, stem)
    page = tmp_path / "mistakes.html"
    page.write_text(
        mistakes_page.render(found, 12, "joint", results.footage), encoding="utf-8", newline=""
    )
    for one in look_at(page, WIDTHS):
        assert_sound(one)
        assert len(one.pictures) == 4 * len(found)
        assert results.EVIL in one.text
        assert results.ODD_CLIPS[0] in one.text


def test_a_page_that_is_not_sound_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text(
        '<!doctype html><link rel="icon" href="data:,"><img src="data:image/png;base64,AAAA" '
        'alt="broken"><div style="width: 600px">wide</div><script>unknown()</script>'
    )
    (seen,) = look_at(page, [400])
    assert seen.pictures == [("broken", 0)]
    assert seen.page_width > seen.width
    assert "unknown is not defined" in seen.errors[0]
