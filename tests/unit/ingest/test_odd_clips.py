"""Bad and odd files in one data folder: each has its outcome, none stops, hangs or is lost."""

import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageCms

from stemtune.core import params
from stemtune.engine.engine import Local
from stemtune.ingest import checksums, clips, extraction
from stemtune.ingest import manifest as ingest_manifest
from stemtune.ingest.listing import Listing
from stemtune.store import manifest
from stemtune.store.frame_store import Measurements
from tests.support.odd_files import (
    H264,
    PICTURE,
    SOUND,
    Make,
    camera_clip,
    content,
    cover_picture,
    ffmpeg,
    from_video,
    gif,
    latin1_title,
    link,
    listening,
    photo,
    png,
    slides,
    two_sizes,
    video,
)
from tests.support.project import ROOT

EXTRACT = params.load(ROOT / "params.yaml").extract_frames.model_copy(
    update={"frames_per_clip": 4, "size": 72}
)
SECONDS = 30.0

# Texts that have ffmpeg read another clip instead, by its path from the project.
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ndata/good/0.mp4\n#EXT-X-ENDLIST\n"
LIST = "ffconcat version 1.0\nfile data/good/0.mp4\n"
NOT_DECODED = "cannot be decoded: it is damaged, or is no picture or video"
NO_VIDEO = "has no video stream"
NO_DECODER = "there is no decoder for its codec"
CASES = ROOT / "tests/support/cases"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

# Name in the class folder → how it is made → the number of frames that it gives, or the reason
# why it gives none.
ODD: dict[str, tuple[Make, int | str]] = {
    # Names.
    "-rf.mp4": (video(), 4),
    "--help": (video(container=".mp4"), 4),
    "line\nbreak.mp4": (video(), 4),
    "tab\tand bell\a.mp4": (video(), 4),
    "Папка с пробелами/ещё одна/клип №1.mp4": (video(), 4),
    "日本 🛹.mp4": (video(), 4),
    "e\u0301 decomposed.mp4": (video(), 4),
    "%03d.png": (video("-frames:v 1"), 1),
    "file:clip.mp4": (video(), 4),
    "[*?].mp4": (video(), 4),
    "$(touch pwned); rm 'x\".mp4": (video(), 4),
    f"{'long ' * 49}.mp4": (video(), 4),
    "folder.mp4/clip.mp4": (video(), 4),
    "\udcff\udcfe.mp4": (video(), "has a name that is not UTF-8"),
    # Containers and codecs that do not say what they are, or are rare.
    "no suffix": (video(container=".mkv"), 4),
    "matroska.mp4": (video(container=".mkv"), 4),
    "movie.txt": (video(container=".mp4"), 4),
    "fragmented.mp4": (video(H264, "-movflags frag_keyframe+empty_moov"), 4),
    "late start.ts": (video(H264, "-output_ts_offset 5000"), 4),
    "bare.h264": (video(), 4),
    "raw.y4m": (video("-pix_fmt yuv420p"), 4),
    "flash.flv": (video(), 4),
    "windows.wmv": (video("-c:v wmv2"), 4),
    "odd size.mkv": (video("-vf scale=161:121 -c:v ffv1"), 4),
    "panorama.mp4": (video("-vf scale=4000:16", H264), 4),
    "changes its size.h264": (two_sizes, 4),
    "slides.mp4": (slides, 4),
    "with sound.mp4": (lambda path: ffmpeg(path, PICTURE, SOUND, H264), 4),
    "two streams.mkv": (video("-map 0 -map 0", H264), 4),
    # Few frames.
    "one frame.mp4": (video("-frames:v 1", H264), 4),
    "two frames.mp4": (video("-frames:v 2", H264), 4),
    "animated.gif": (video("-vf fps=5"), 4),
    "still.gif": (video("-frames:v 1"), 1),
    "still.png": (video("-frames:v 1"), 1),
    "still.jpg": (video("-frames:v 1"), 1),
    "still.bmp": (video("-frames:v 1"), 1),
    "still.avif": (video("-frames:v 1 -c:v libsvtav1"), 1),
    "one pixel.png": (content(png(8, 1, 1)), "shows one flat colour"),
    "black.mp4": (video("-vf drawbox=color=black:t=fill", H264), "shows one flat colour"),
    # Metadata: what it says of the picture is in test_stills.py and test_video.py.
    "photo.jpg": (photo(), 1),
    "photo.png": (photo(), 1),
    "photo.webp": (photo(), 1),
    "photo.tif": (photo(), 1),
    "photo.avif": (photo(), 1),
    "photo.heic": (photo(), 1),
    "camera's clip.avi": (camera_clip, 4),
    "profile.png": (photo(icc_profile=PROFILE), 1),
    "tiles.heic": (lambda path: shutil.copy(CASES / "grid.heic", path), 1),
    "title in Latin-1.mkv": (latin1_title, 4),
    "title in Latin-1.avi": (latin1_title, 4),
    # Codecs that nothing here decodes, or that say wrongly where decoding can begin.
    "unknown codec.mp4": (from_video(lambda data: data.replace(b"avc1", b"zzzz")), NO_DECODER),
    "unknown codec.mkv": (
        from_video(lambda data: data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/ZZZ")),
        NO_DECODER,
    ),
    "unknown codec.avi": (
        from_video(lambda data: data.replace(b"XVID", b"ZZZZ"), "-c:v mpeg4 -vtag XVID"),
        NO_DECODER,
    ),
    "no key frames named.mov": (
        from_video(lambda data: data.replace(b"stss", b"free"), "-c:v mpeg4 -g 250"),
        4,
    ),
    "drawing.svg": (content('<svg xmlns="http://www.w3.org/2000/svg"/>'), "cannot be decoded"),
    # Damage.
    "empty.mp4": (content(b""), NOT_DECODED),
    "no index.mp4": (from_video(lambda data: data[: len(data) // 2]), NOT_DECODED),
    "cut off.mkv": (from_video(lambda data: data[: len(data) * 2 // 3]), 4),
    "cut off early.mkv": (from_video(lambda data: data[:300]), "cannot be decoded|no frames"),
    "cut off.png": (from_video(lambda data: data[:1500], "-frames:v 1"), "image file is truncated"),
    "cut off.jpg": (from_video(lambda data: data[:1500], "-frames:v 1"), "cannot be decoded"),
    "overwritten.mp4": (
        from_video(lambda data: data[:3000] + bytes(6000) + data[9000:]),
        "cannot be decoded",
    ),
    # No videos.
    "notes.txt": (content("Not a video.\n" * 50), f"{NOT_DECODED}|{NO_VIDEO}"),
    "page.mp4": (content("<!doctype html><title>404</title><p>Not found" * 20), NOT_DECODED),
    "archive.mp4": (lambda path: zipfile.ZipFile(path, "w").writestr("a", "b" * 500), NOT_DECODED),
    "noise.avi": (content(zlib.compress(bytes(range(256)) * 99) * 9), NOT_DECODED),
    "sound.wav": (lambda path: ffmpeg(path, SOUND), NOT_DECODED),
    "sound.m4a": (lambda path: ffmpeg(path, SOUND), NO_VIDEO),
    "song with cover.m4a": (cover_picture, f"{NO_VIDEO}, only a cover picture"),
    "subtitles.srt": (content("1\n00:00:00,000 --> 00:00:01,000\nHello\n"), NOT_DECODED),
    # Ways to other files.
    "playlist.m3u8": (content(PLAYLIST), "cannot be decoded"),
    "playlist.mp4": (content(PLAYLIST), "cannot be decoded"),
    "list.ffconcat": (content(LIST), "cannot be decoded"),
    "link inside.mp4": (link("../good/0.mp4"), "same content as a clip of another class"),
    "link in class.mp4": (link("two frames.mp4"), 4),
    "linked folder": (link("folder.mp4"), 4),
    "link to nothing.mp4": (link("nowhere.mp4"), "is a link to nothing"),
    "link to itself.mp4": (link("link to itself.mp4"), "is a link to nothing"),
    "link outside.mp4": (link("../../outside.mp4"), "a link that leads out of the data folder"),
    "link upwards": (link(".."), "is a link to a folder that it lies in"),
    # No files.
    "pipe.mp4": (lambda path: os.mkfifo(path), "is no file but a device, socket or pipe"),
    "socket.mp4": (listening, "is no file but a device, socket or pipe"),
    "device.mp4": (link("/dev/zero"), "a link that leads out of the data folder"),
    # Bombs.
    "huge.png": (content(png(32768, 32768, 32768)), "limits.pixels allows, 67108864"),
    "huge header.png": (content(png(60000, 60000, 1)), "limits.pixels allows, 67108864"),
    "million frames.gif": (content(gif(1_000_000)), "limits.frames allows, 200000"),
    # Copies.
    "copy.mp4": (lambda path: shutil.copy(path.with_name("slides.mp4"), path), 4),
    # Ignored.
    ".hidden.mp4": (content("ignored"), 0),
    ".folder/clip.mp4": (content("ignored"), 0),
}
assert len(ODD) >= 40


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Returns the manifest's row of each odd file after extracting all of them at once."""
    root = tmp_path_factory.mktemp("odd")
    data = root / "data"
    (data / "good").mkdir(parents=True)
    for number in range(3):
        ffmpeg(data / f"good/{number}.mp4", PICTURE, f"-vf hue=h={60 * number}", H264)
    ffmpeg(root / "outside.mp4", PICTURE, H264)
    for position, (name, (make, _)) in enumerate(ODD.items()):
        path = data / "odd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        # Two files of the same picture would be one content.
        if path.is_file() and not path.is_symlink() and path.read_bytes()[4:8] == b"ftyp":
            with path.open("ab") as file:
                file.write(struct.pack(">I4sI", 12, b"free", position))
    shutil.copy(data / "odd/slides.mp4", data / "odd/copy.mp4")
    limits = EXTRACT.limits.model_copy(update={"decode_seconds": SECONDS})
    settings = EXTRACT.model_copy(update={"limits": limits})
    found = checksums.add(clips.find_clips(data), 2, root / "checksums.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        extracted = extraction.extract_all(found, root / "frames", settings, Local(2))
    table = ingest_manifest.build(Listing(found, {}, None), extracted.outcomes, settings)
    manifest.write(table, root / "manifest.parquet")
    yield {row["clip"]: row for row in manifest.read(root / "manifest.parquet").to_dict("records")}
    shutil.rmtree(root)


@pytest.mark.parametrize("name", ODD)
def test_each_odd_file_has_its_outcome(rows: dict[str, dict[str, Any]], name: str) -> None:
    expected = ODD[name][1]
    listed = os.fsencode(f"odd/{name}").decode("utf-8", "backslashreplace")
    if (folder := listed) not in rows:
        listed = next((clip for clip in rows if clip.startswith(f"{folder}/")), listed)
    if expected == 0:
        assert listed not in rows
    elif isinstance(expected, int):
        assert rows[listed]["quarantined"] == ""
        assert len(rows[listed]["frame_splits"]) == expected
    else:
        assert re.search(expected, str(rows[listed]["quarantined"]))
        assert len(rows[listed]["frame_splits"]) == 0


def test_nothing_but_what_is_hidden_is_missing(rows: dict[str, dict[str, Any]]) -> None:
    hidden = {name for name, (_, expected) in ODD.items() if expected == 0}
    assert len(rows) == 3 + len(ODD) - len(hidden)


@pytest.mark.parametrize(
    ("name", "made", "limits", "said"),
    [
        (
            "slow.mp4",
            "-f lavfi -i testsrc2=size=1280x720:duration=10 -preset ultrafast",
            {"decode_seconds": 0.1},
            "limits.decode_seconds allows, 0.1 s",
        ),
        (
            "hungry.png",
            "-f lavfi -i color=size=8000x8000 -frames:v 1 -pix_fmt rgba -compression_level 1",
            {"memory_mib": 700},
            "limits.memory_mib allows, 700 MiB",
        ),
    ],
)
def test_a_clip_past_a_limit_is_tried_again_in_the_next_run(
    tmp_path: Path, name: str, made: str, limits: dict[str, float], said: str
) -> None:
    path = tmp_path / name
    ffmpeg(path, made)
    found = [clips.Clip(f"a/{name}", path, "a", "", "")]
    found = checksums.add(found, 1, tmp_path / "checksums.json")
    settings = EXTRACT.model_copy(update={"limits": EXTRACT.limits.model_copy(update=limits)})
    extracted = extraction.extract_all(found, tmp_path / "frames", settings, Local(1))
    table = ingest_manifest.build(Listing(found, {}, None), extracted.outcomes, settings)
    assert said in table["quarantined"].item()
    again = extraction.extract_all(found, tmp_path / "frames", EXTRACT, Local(1))
    assert len(again.decoded) == 1
    assert isinstance(again.outcomes[again.decoded[0]], Measurements)
