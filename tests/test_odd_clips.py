"""Bad and odd files in one data folder: each has its outcome, none stops, hangs or is lost."""

import os
import re
import shutil
import socket
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stemtune import clips, extraction, manifest, params
from stemtune.executor import Failure
from tests.conftest import FFMPEG, ROOT

EXTRACT = params.load(ROOT / "params.yaml").extract_frames.model_copy(update={"size": 72})
SECONDS = 30.0
PICTURE = "-f lavfi -i testsrc2=size=160x120:rate=10:duration=2"
SOUND = "-f lavfi -i sine=duration=1"
H264 = "-c:v libx264 -pix_fmt yuv420p"

Make = Callable[[Path], None]


def ffmpeg(path: Path, *arguments: str, container: str = "") -> None:
    """Writes a file with ffmpeg under a plain name, then gives it its own."""
    plain = path.with_name(f"making{container or path.suffix}")
    words = [word for argument in arguments for word in argument.split()]
    subprocess.run([FFMPEG, "-v", "error", "-nostdin", "-y", *words, plain], check=True)
    plain.rename(path)


def video(*arguments: str, container: str = "") -> Make:
    return lambda path: ffmpeg(path, PICTURE, *(arguments or (H264,)), container=container)


def from_video(change: Callable[[bytes], bytes], *arguments: str, container: str = "") -> Make:
    """Makes a video and changes its bytes."""

    def make(path: Path) -> None:
        video(*arguments, container=container)(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def content(data: bytes | str) -> Make:
    return lambda path: path.write_bytes(data.encode() if isinstance(data, str) else data)


def link(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def png(width: int, height: int, rows: int) -> bytes:
    """Returns a black PNG of one bit per pixel that has the data of its first rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 + width // 8)) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + end


def gif(frames: int) -> bytes:
    """Returns a GIF of one pixel and many frames, a tenth of a second each."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", 0, 10, 0, 0)
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + (control + picture) * frames + b"\x3b"


def cover_picture(path: Path) -> None:
    picture = path.with_name("cover.png")
    ffmpeg(picture, PICTURE, "-frames:v 1")
    ffmpeg(path, SOUND, f"-i {picture} -map 0 -map 1 -disposition:v attached_pic -c:v copy")
    picture.unlink()


def two_sizes(path: Path) -> None:
    """A stream whose frames change their size half way."""
    parts = []
    for size in ("160x120", "96x96"):
        part = path.with_name(f"{size}.h264")
        ffmpeg(part, f"-f lavfi -i testsrc2=size={size}:rate=10:duration=1", H264)
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def slides(path: Path) -> None:
    """A slide show: 3 pictures, the second of which stays for an hour."""
    ffmpeg(path, PICTURE, "-frames:v 3 -vf setpts='if(eq(N,2),36000,N)*0.1/TB' -fps_mode vfr", H264)


def listening(path: Path) -> None:
    # A socket's address is short; the name that it has in the folder does not matter to it.
    short = Path(f"/tmp/stemtune {os.getpid()}")  # noqa: S108
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short))
    shutil.move(short, path)


LISTED = f"ffconcat version 1.0\nfile '{ROOT / 'samples/README.md'}'\n"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n../good/0.mp4\n#EXT-X-ENDLIST\n"
NOT_DECODED = "cannot be decoded: Invalid data found"
NO_VIDEO = "has no video stream"

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
    # Damage.
    "empty.mp4": (content(b""), NOT_DECODED),
    "no index.mp4": (from_video(lambda data: data[: len(data) // 2]), NOT_DECODED),
    "cut off.mkv": (from_video(lambda data: data[: len(data) * 2 // 3]), 4),
    "cut off early.mkv": (from_video(lambda data: data[:300]), "cannot be decoded|no frames"),
    "cut off.png": (from_video(lambda data: data[:1500], "-frames:v 1"), "of unknown size"),
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
    "sound.wav": (lambda path: ffmpeg(path, SOUND), NO_VIDEO),
    "sound.m4a": (lambda path: ffmpeg(path, SOUND), NO_VIDEO),
    "song with cover.m4a": (cover_picture, f"{NO_VIDEO}, only a cover picture"),
    "subtitles.srt": (content("1\n00:00:00,000 --> 00:00:01,000\nHello\n"), NO_VIDEO),
    # Ways to other files.
    "playlist.m3u8": (content(PLAYLIST), "cannot be decoded"),
    "playlist.mp4": (content(PLAYLIST), "cannot be decoded"),
    "list.ffconcat": (content(LISTED), "cannot be decoded"),
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
    "copy.mp4": (lambda path: shutil.copy(path.with_name("slides.mp4"), path) and None, 4),
    # Ignored.
    ".hidden.mp4": (content("ignored"), 0),
    ".folder/clip.mp4": (content("ignored"), 0),
}
assert len(ODD) >= 40


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, object]]]:
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
    limits = EXTRACT.limits.model_copy(update={"seconds": SECONDS})
    settings = EXTRACT.model_copy(update={"limits": limits})
    found = clips.find_clips(data)
    extracted = extraction.extract_all(found, root / "frames", {}, settings, workers=2)
    table = extraction.make_manifest(found, extracted.outcomes, {}, None, settings)
    manifest.write(table, root / "manifest.parquet")
    yield {row["clip"]: row for row in manifest.read(root / "manifest.parquet").to_dict("records")}
    shutil.rmtree(root)


@pytest.mark.parametrize("name", ODD)
def test_each_odd_file_has_its_outcome(rows: dict[str, dict[str, object]], name: str) -> None:
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


def test_nothing_but_what_is_hidden_is_missing(rows: dict[str, dict[str, object]]) -> None:
    hidden = {name for name, (_, expected) in ODD.items() if expected == 0}
    assert len(rows) == 3 + len(ODD) - len(hidden)


@pytest.mark.parametrize(
    ("name", "made", "limits", "said"),
    [
        (
            "slow.mp4",
            "-f lavfi -i testsrc2=size=1280x720:duration=10 -preset ultrafast",
            {"seconds": 0.1},
            "limits.seconds allows, 0.1 s",
        ),
        (
            "hungry.png",
            "-f lavfi -i color=size=8000x8000 -frames:v 1 -pix_fmt rgba -compression_level 1",
            {"memory": 700},
            "limits.memory allows, 700 MiB",
        ),
    ],
)
def test_a_clip_past_a_limit_is_tried_again_in_the_next_run(
    tmp_path: Path, name: str, made: str, limits: dict[str, float], said: str
) -> None:
    path = tmp_path / name
    ffmpeg(path, made)
    found = [clips.Clip(f"a/{name}", path, "a", "content", "")]
    settings = EXTRACT.model_copy(update={"limits": EXTRACT.limits.model_copy(update=limits)})
    extracted = extraction.extract_all(found, tmp_path / "frames", {}, settings, workers=1)
    table = extraction.make_manifest(found, extracted.outcomes, {}, None, settings)
    assert said in table["quarantined"].item()
    again = extraction.extract_all(
        found, tmp_path / "frames", extraction.outcomes_of(table), EXTRACT, workers=1
    )
    assert len(again.decoded) == 1
    assert not isinstance(again.outcomes[again.decoded[0]], Failure)
