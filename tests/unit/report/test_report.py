"""The report: complete, self-contained, the same bytes each time, honest, safe with odd names."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager

from stemtune.core.records import Epoch, Record
from stemtune.evaluation import comparison
from stemtune.ingest import groups
from stemtune.report import drawing, tables
from stemtune.report import page as report
from stemtune.tracking import summary
from tests.support import results
from tests.support.results import COMPARED, EVIL, MODELS


class Reader(HTMLParser):
    """Reads a page: its text, the cells of its tables, and where its pictures come from."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.sources: list[str] = []
        self.rows: list[list[str]] = []
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data

    def row(self, *start: str) -> list[str]:
        """Returns the one row of any table that begins with these cells."""
        (found,) = [row for row in self.rows if tuple(row[: len(start)]) == start]
        return found


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return report.draw(results.make())


@pytest.fixture(scope="module")
def page(drawn: dict[str, str]) -> str:
    return report.render(results.make(), drawn)


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


def test_it_shows_accuracy_time_and_size_of_each_model(read: Reader, drawn: dict[str, str]) -> None:
    assert read.row("baseline", "90.0%")[2:6] == ["90.0% (80.0 to 95.0)", "12.5%", "9.00", "0.800"]
    stem = ["75.0%", "75.0% (65.0 to 80.0)", "12.5%", "", "0.300", "224", "528", "3,000,000"]
    assert read.row("stem, warm_start")[1:] == stem
    # Without exports there are no times, and no column of them.
    unpriced = dataclasses.replace(results.make(), candidates=None, milliseconds={})
    untimed = Reader(report.render(unpriced, drawn))
    assert untimed.row("stem, warm_start")[1:] == [*stem[:3], *stem[4:]]
    assert "LiteRT" not in untimed.text


def test_the_paper_s_numbers_are_in_a_section_of_their_own(page: str) -> None:
    ours, theirs = page.split('<h2 id="paper">')
    read = Reader(theirs)
    assert read.row("baseline") == ["baseline", "92.1%", "78"]
    assert read.row("stem") == ["stem", "84.4%", "48"]
    assert read.row("2") == ["2", "5", "0.0001", "78", "92.1%"]
    assert not re.search("92[.]1|84[.]4|91[.]9", Reader(ours).text)


def test_it_begins_with_what_to_run_and_the_candidates_worth_it(
    page: str, read: Reader, drawn: dict[str, str]
) -> None:
    before, rest = page.split("<details>", 1)
    [sentence] = re.findall(r'<p class="recommendation"><b>(.+)</b>', before)
    assert sentence == "Use retrained_108_int8 on 1 frame at 2 ms per clip."
    assert before.index(sentence) < before.index("<img")
    assert "no better than guessing" in before
    chosen = [
        "retrained_108_int8 on 1 frameretrained_108_int8.tflite",
        "chosen, front",
        "2.00 (4.00)",
        "93.0% (83.0 to 98.0)",
        "−2.0 (−7.0 to +3.0)",
        "4.0",
        "60",
    ]
    dominated = "as_published_float32 on 4 framesas_published_float32.tflite"
    folded = Reader(rest.split("</details>")[0])
    assert Reader(before).row(chosen[0]) == folded.row(chosen[0]) == chosen
    reference = folded.row("baseline_float32 on 4 framesbaseline_float32.tflite")
    assert (reference[1], reference[4]) == ("reference, front", "")
    assert [dominated in Reader(part).text for part in (before, rest)] == [False, True]
    unpriced = dataclasses.replace(results.make(), candidates=None, recommendation="No: no price.")
    assert "front" not in report.draw(dataclasses.replace(unpriced, kernels={}))
    assert "No: no price." in Reader(report.render(unpriced, drawn)).text


def test_letters_are_those_of_matplotlib_on_every_machine(drawn: dict[str, str]) -> None:
    assert drawn
    own = Path(matplotlib.get_data_path())
    assert all(own in Path(font.fname).parents for font in font_manager.fontManager.ttflist)
    assert own in Path(font_manager.findfont("STIXGeneral", fallback_to_default=False)).parents


def test_the_search_shows_whatever_columns_it_wrote(read: Reader, drawn: dict[str, str]) -> None:
    assert read.row("trial 1") == ["trial 1", "5", "0.01", "80.0%", "90.0%"]
    # No test accuracy.
    assert read.row("trial 2") == ["trial 2", "5", "0.003", "85.0%", ""]
    found = results.make()
    found.trials.insert(1, "seed", [3, 4])
    found.trials["test_accuracy_spread"] = [0.0123, 0.02]
    found.trials["continues"] = [np.nan, np.nan]
    row = Reader(report.render(found, drawn)).row("trial 1")
    assert row == ["trial 1", "3", "5", "0.01", "80.0%", "90.0% ± 1.2"]


def test_a_best_rate_at_the_end_of_its_list_is_told(read: Reader, drawn: dict[str, str]) -> None:
    assert "0.01 is the largest learning rate tried." in read.text
    quiet = dataclasses.replace(results.make(), advice="")
    assert "rate tried" not in Reader(report.render(quiet, drawn)).text


def test_of_many_classes_and_stems_the_page_stays_small_and_says_what_it_leaves_out() -> None:
    many = results.large(classes=400, stems=report.STEMS_SHOWN + 2, side=224)
    name, kernels = next(iter(many.kernels.items()))
    drawn = report.draw(dataclasses.replace(many, kernels={name: kernels}))
    drawn |= {f"kernels_{other}": drawn[f"kernels_{name}"] for other in many.kernels}
    page = report.render(many, drawn)
    assert len(page.encode()) < 3_000_000
    read = Reader(page)
    text = re.sub(r"\s+", " ", read.text)
    first, last = (f"a class with a long name, number {number}" for number in ("0000", "0399"))
    assert read.row(first, last) == [
        *(first, last, "4"),
        ", ".join(f"{name} 4" for name in many.answers),
    ]
    # More models than fit beside each other are in two tables.
    in_rows = [row[0].endswith(" (4)") for row in read.rows if row[0].startswith("a class")]
    assert (in_rows.count(True), in_rows.count(False)) == (2 * tables.CLASSES, tables.PAIRS)
    assert "These are the 40 of 400 classes that models get right least" in text
    last_two = comparison.ranked(many.compared.stem)[-2:]
    assert f"others are better on validation: {', '.join(sorted(last_two))}." in text
    assert all(read.row(f"stem, {name}") for name in last_two)


def test_classes_of_any_name_have_their_accuracy_and_confusions(page: str, read: Reader) -> None:
    found = results.make()
    named = re.sub(r"\s+", " ", read.text)
    for name in results.CLASSES:
        shares = found.classes[found.classes["class"] == name].set_index("model")["accuracy"]
        assert read.row(f"{name} (4)")[1:] == [
            f"{100 * share:.1f}" for share in shares[list(MODELS)]
        ]
        assert name in named
    for name, answers in found.answers.items():
        alike = (answers["actual"] == answers["predicted"]) & (answers["actual"] == EVIL)
        body = page.split(f"<caption>{name}</caption>")[1].partition("</table>")[0]
        assert Reader(body).row(EVIL)[1] == str(alike.sum())


def test_it_says_what_was_measured_on_and_that_the_paper_has_other_data(
    read: Reader, drawn: dict[str, str]
) -> None:
    text = re.sub(r"\s+", " ", read.text)
    assert read.row("test") == ["test", "12", "4", "9", "12"]
    assert read.row("all") == ["all", "18", "6", "9", "36"]
    assert "The paper does not name its dataset, which is not yours" in text
    assert "no clips known to share footage are in two splits" in text
    assert "Leaky split" not in text
    assert "estimated watt-hours" in text
    leaky = results.make(split_by="frame")
    assert "Leaky split" in Reader(report.render(leaky, drawn)).text


def test_clips_that_were_grouped_by_footage_are_listed(read: Reader, drawn: dict[str, str]) -> None:
    assert tables.BY_FOOTAGE == groups.BY_FOOTAGE
    assert "2 groups were found by footage" in read.text
    assert read.row("1", f"{EVIL}/0\n{EVIL}/1")
    assert read.row("2", f"{EVIL}/2\n{EVIL}/3")
    found = results.make()
    alone = dataclasses.replace(found, clips=found.clips.assign(grouped_by="content"))
    text = Reader(report.render(alone, drawn)).text
    assert "No clips were put into one group because their frames look alike." in text


def test_it_needs_no_other_file_and_runs_no_script(page: str, read: Reader) -> None:
    assert len(read.sources) > 20
    kinds = {source[0] if source[0] == "#" else source[:5] for source in read.sources}
    assert kinds == {
        "#",
        "data:",
        "mista",
        "../re",
    }
    assert "<script" not in page
    assert EVIL in read.text


def test_equal_results_give_equal_bytes(page: str, drawn: dict[str, str]) -> None:
    again = results.make()
    redrawn = report.draw(again)
    assert [name for name in drawn if redrawn[name] != drawn[name]] == []
    assert report.render(again, redrawn) == page


def test_a_model_has_one_color_in_all_figures() -> None:
    chosen = drawing.colors([row.name for row in comparison.rows(COMPARED)])
    assert len(set(chosen.values())) == 6
    assert len(chosen) == 6
    some = drawing.colors(["warm_start", "baseline", "as_published"])
    assert {name: some[name] for name in ("baseline", "as_published", "warm_start")} == {
        name: chosen[name] for name in ("baseline", "as_published", "warm_start")
    }


def test_a_dead_stem_is_called_dead(read: Reader) -> None:
    assert read.text.count("zero everywhere: a dead stem") == 3


def test_the_table_of_a_run_has_accuracy_parameters_and_time_beside_the_paper() -> None:
    epochs = [Epoch(epoch=1, time=0, seconds=2.5, metrics={})]
    models = [Record(name=name, started=0) for name in MODELS]
    records = [
        Record(name="extract_frames", started=0, metrics={"frames_per_second": 50.0}),
        Record(name="embed_frames", started=0),
        Record(name="tune_lr", started=0, children=[Record(name="trial 1", started=0, seconds=3)]),
        Record(name="train_best", started=0, epochs=epochs),
        Record(
            name="train_resized",
            started=0,
            children=[
                Record(name=f"retrained_108, trial {number}", started=0, epochs=epochs)
                for number in (1, 2)
            ],
        ),
        Record(name="add_stem@as_published", started=0, epochs=epochs),
        Record(
            name="add_stem@warm_start",
            started=0,
            epochs=epochs * 2,
            children=[Record(name=rate, started=0, epochs=epochs * 2) for rate in ("high", "low")],
        ),
        Record(name="evaluate", started=0, children=models, energy_wh=0.1, energy_method="guess"),
        Record(name="export", started=0),
    ]
    times = summary.timings(records)
    assert times.train_seconds["warm_start"] == 10.0
    assert times.train_seconds["retrained_108"] == 5.0
    assert times.train_seconds["resize_108"] == 0
    assert times.seconds_per_trial == {"trial 1": 3.0}
    assert times.frames_per_second == {"extract_frames": 50.0}
    assert times.estimated_wh.method == "guess"
    table = summary.table(comparison.rows(COMPARED), times)
    baseline = next(line for line in table.splitlines() if line.startswith("| baseline"))
    for cell in ("90.00%", "92.07%", "1,000", "2.5 s", "78 min"):
        assert cell in baseline
    stem = next(line for line in table.splitlines() if line.startswith("| stem, warm_start"))
    for cell in ("75.00%", "528", "10.0 s", "84.37%", "48 min"):
        assert cell in stem
