"""From clips to entries and manifest: what is decoded, reused, quarantined and refused."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from stages import extract_frames
from stemtune.core import params
from stemtune.core.records import Record
from stemtune.engine.engine import Local
from stemtune.ingest import data_docs, expectations, extraction, ingest_summary, listing
from stemtune.ingest import manifest as ingest_manifest
from stemtune.store import manifest
from tests.support.clips import WriteClip
from tests.support.project import ROOT

EXTRACT = params.load(ROOT / "params.yaml").extract_frames.model_copy(update={"size": 72})


@pytest.fixture
def data(tmp_path: Path, write_clip: WriteClip) -> Path:
    for number in range(3):
        for label, level in (("dark", 20), ("light", 150)):
            levels = [level + number + 10 * frame for frame in range(6)]
            write_clip(f"data/{label}/{number}.mp4", levels)
    return tmp_path / "data"


def extract(data: Path) -> tuple[pd.DataFrame, int]:
    path = data.parent / "manifest.parquet"
    found = listing.read(data, EXTRACT, 2, data.parent / "checksums.json")
    extracted = extraction.extract_all(found.clips, data.parent / "frames", EXTRACT, Local(2))
    manifest.write(ingest_manifest.build(found, extracted.outcomes, EXTRACT), path)
    return manifest.read(path), len(extracted.decoded)


def test_only_what_is_new_is_decoded(data: Path, write_clip: WriteClip) -> None:
    table, decoded = extract(data)
    assert decoded == len(table) == 6
    before = (data.parent / "manifest.parquet").read_bytes()
    store = data.parent / "frames"
    entries = {path.name: path.read_bytes() for path in store.glob("*/*")}
    _, decoded = extract(data)
    assert decoded == 0
    assert (data.parent / "manifest.parquet").read_bytes() == before

    write_clip("data/dark/new.mp4", [70, 80, 90])
    (data / "light/0.mp4").rename(data / "light/renamed.mp4")
    removed = table[table["clip"] == "light/1.mp4"]["shard"].item()
    (data / "light/1.mp4").unlink()
    table, decoded = extract(data)
    assert decoded == 1
    assert "light/renamed.mp4" in set(table["clip"])
    after = {path.name: path.read_bytes() for path in store.glob("*/*")}
    assert f"{removed}.npz" not in after
    assert len(after) == 6
    assert all(after[name] == content for name, content in entries.items() if name in after)


def test_a_damaged_entry_is_decoded_again(data: Path) -> None:
    extract(data)
    entry = next((data.parent / "frames").glob("*/*"))
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-5])
    _, decoded = extract(data)
    assert decoded == 1
    assert entry.read_bytes() == whole


def test_no_clip_changes_its_split_when_others_come_and_go(
    data: Path, write_clip: WriteClip
) -> None:
    before = extract(data)[0].set_index("clip")["split"]
    for number in range(5):
        write_clip(f"data/dark/more {number}.mp4", [30 + number, 90])
    after = extract(data)[0].set_index("clip")["split"]
    assert after[before.index].equals(before)


def test_a_clip_that_cannot_be_decoded_is_listed_with_the_reason(data: Path) -> None:
    (data / "dark/broken.mp4").write_bytes(b"not a video")
    table, decoded = extract(data)
    assert decoded == 7
    broken = table[table["clip"] == "dark/broken.mp4"].iloc[0]
    assert "cannot be decoded" in broken["quarantined"]
    frames = manifest.frame_table(table)
    assert set(frames["clip"]) == set(table["clip"]) - {"dark/broken.mp4"}
    assert frames.groupby("clip")["index"].apply(list).iloc[0] == [0, 1, 2, 3]
    # What is no video is not tried again.
    table, decoded = extract(data)
    assert decoded == 0
    assert (table["quarantined"] != "").sum() == 1


def test_an_extraction_that_was_killed_goes_on_where_it_stopped(
    data: Path, write_clip: WriteClip
) -> None:
    for number in range(10):
        write_clip(f"data/dark/long {number}.mp4", list(range(20 + number, 80)), size=(640, 480))
    store = data.parent / "frames"
    program = "import sys, pathlib; from tests.unit.ingest import test_extraction as t; "
    program += "t.extract(pathlib.Path(sys.argv[1]))"
    running = subprocess.Popen([sys.executable, "-c", program, data], cwd=ROOT)
    while not any(store.glob("*/[!.]*.npz")):
        assert running.poll() is None
        time.sleep(0.01)
    running.kill()
    running.wait()
    kept = {path: path.stat().st_mtime_ns for path in store.glob("*/[!.]*.npz")}
    (store / "ab/.torn.npz").parent.mkdir(exist_ok=True)
    (store / "ab/.torn.npz").write_bytes(b"half of an entry")
    table, decoded = extract(data)
    assert 1 <= len(kept) < 16
    assert decoded == 16 - len(kept)
    assert (table["quarantined"] == "").all()
    entries = {path: path.stat().st_mtime_ns for path in store.glob("*/*")}
    assert len(entries) == 16
    assert kept.items() <= entries.items()


def test_a_short_video_repeats_frames_or_is_quarantined_as_asked(
    data: Path, write_clip: WriteClip
) -> None:
    write_clip("data/dark/short.mp4", [40, 60])
    table, _ = extract(data)
    assert table.set_index("clip")["available"]["dark/short.mp4"] == 2
    assert (table["quarantined"] == "").all()
    found = listing.read(data, EXTRACT, 1, data.parent / "checksums.json")
    strict = EXTRACT.model_copy(update={"short_clips": "quarantine"})
    known, _ = extraction.plan(found.clips, data.parent / "frames", EXTRACT)
    table = ingest_manifest.build(found, {**known}, strict)
    left_out = table[table["quarantined"] != ""]
    assert list(left_out["clip"]) == ["dark/short.mp4"]
    assert "has 2 of the 4 frames" in left_out["quarantined"].item()


def test_content_that_stands_in_two_classes_is_quarantined_in_both(data: Path) -> None:
    (data / "light/again.mp4").write_bytes((data / "dark/0.mp4").read_bytes())
    table, decoded = extract(data)
    assert decoded == 6
    reasons = table.set_index("clip")["quarantined"]
    assert set(reasons[reasons != ""].index) == {"dark/0.mp4", "light/again.mp4"}
    assert "dark, light" in reasons["dark/0.mp4"]
    (data / "light/again.mp4").unlink()
    table, decoded = extract(data)
    assert decoded == 0
    assert (table["quarantined"] == "").all()


def failures(table: pd.DataFrame, **limits: object) -> str:
    results = expectations.check(table, EXTRACT.model_copy(update=limits)).results
    with pytest.raises(expectations.ExpectationsError) as error:
        expectations.require(results, "docs.html")
    assert "docs.html" in str(error.value)
    return str(error.value)


def dealt(table: pd.DataFrame) -> pd.DataFrame:
    """Deals the clips of each class to the three splits, one each."""
    splits = [manifest.SPLITS[int(name[-5])] for name in table["clip"]]
    frames = [[split] * 4 for split in splits]
    return table.assign(split=splits, frame_splits=frames)


def test_great_expectations_says_in_words_what_is_wrong(data: Path) -> None:
    table = dealt(extract(data)[0])
    good = expectations.check(table, EXTRACT).results
    assert all(result.holds for result in good)
    expectations.require(good, "docs.html")

    said = failures(table, min_clips=2)
    assert "each class has at least 2 clip(s) in each split; found 1 for dark (train)" in said
    assert "quarantined" not in said
    one_group = failures(table.assign(group="home"))
    assert "no group has frames in two splits; found 3 for home" in one_group
    one_content = failures(table.assign(sha256="same"))
    assert "no content stands in two classes; found 2 for dark/0.mp4" in one_content
    broken = table.assign(quarantined=["bad", *[""] * 5])
    assert "at most 5% of the clips are quarantined; found 16.7%" in failures(broken)
    assert "frames are of 72 px; found 96 for dark/0.mp4" in failures(
        table.assign(frame_side=[96, *[72] * 5])
    )
    assert "clips differ in brightness; found 0" in failures(table.assign(brightness=80.0))
    assert "['dark', 'bright']; found light/0.mp4" in failures(table, classes=["dark", "bright"])


def test_the_page_of_a_validation_can_be_read_without_a_network(data: Path, tmp_path: Path) -> None:
    table = dealt(extract(data)[0])
    table = table.assign(group="<b>home</b>", quarantined=["bad", *[""] * 5])
    page = tmp_path / "docs.html"
    data_docs.write(expectations.check(table, EXTRACT), page)
    html = page.read_text()
    assert "no group has frames in two splits" in html
    assert not re.search(r"(src|href)=[\"']?(https?:)?//(?!greatexpectations.io)", html)
    assert "<script src" not in html
    assert "light/0.mp4" in html
    assert "0.1666" in html


def test_the_summary_names_what_is_left_out_and_what_moved(data: Path) -> None:
    before = extract(data)[0]
    (data / "dark/not\na clip.mp4").write_bytes(b"not a video")
    table, decoded = extract(data)
    table.loc[table["quarantined"] != "", "quarantined"] += "\x1b[2J"
    said = ingest_summary.summary(table, before, decoded, 7)
    assert "\x1b" not in said
    assert "7 clips of 2 classes; 1 decoded, 6 reused" in said
    assert "quarantined: 1 of 7 clips (14.3%)" in said
    assert "'dark/not\\na clip.mp4' cannot be decoded" in said
    assert "another split" not in said
    moved = before.assign(split=["test", *before["split"].tolist()[1:]])
    moved.loc[0, "split"] = "train" if table["split"][0] == "test" else "test"
    assert (
        "1 clip(s) of the run before are in another split now: dark/0.mp4"
        in ingest_summary.summary(table, moved, decoded, 7)
    )


def test_where_no_clip_can_be_used_the_reasons_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dive/1.mp4", "swim/1.mp4"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_text(f"{name} is no video")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "records/data_docs.html"
    page.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        extract_frames.main(Record.start("extract_frames"))
    page.rmdir()
    assert "swim/1.mp4 cannot be decoded" in capsys.readouterr().out
    with pytest.raises(expectations.ExpectationsError) as error:
        extract_frames.main(Record.start("extract_frames"))
    assert "quarantined: 2 of 2 clips" in capsys.readouterr().out
    assert "No clip is left to train on" in str(error.value)
    assert "quarantined; found 100.0%" in str(error.value)
    assert page.is_file()
