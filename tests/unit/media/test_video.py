"""Which frames are sampled, with which pixels, and what becomes of files that are no videos."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stemtune.media import clock, decoding, sampling
from stemtune.media.sampling import Span
from tests.support import clips, reference
from tests.support.clips import WriteClip


def sample_frames(path: Path, count: int, side: int) -> sampling.Sample:
    return decoding.sample_frames(path, count, side, reference.LIMITS)


def brightness(sample: sampling.Sample) -> list[int]:
    return [round(float(frame.mean()) / 10) for frame in sample.frames]


def test_frames_come_from_the_middle_of_equal_parts(write_clip: WriteClip) -> None:
    path = write_clip("clip.mp4", [10 * (k + 1) for k in range(12)])
    sample = sample_frames(path, 4, 32)
    assert sample.frames.shape == (4, 32, 32, 3)
    assert sample.frames.dtype == np.uint8
    # Parts of 0.3 s; their middles 0.15, 0.45, … lie in frames 1, 4, 7 and 10.
    assert brightness(sample) == [2, 5, 8, 11]
    assert sample.seconds.tolist() == pytest.approx([0.1, 0.4, 0.7, 1.0], abs=0.01)
    assert sample.duration == pytest.approx(1.2, abs=0.01)
    assert (sample.width, sample.height) == (96, 64)


def test_a_clip_of_fewer_frames_repeats_them(write_clip: WriteClip) -> None:
    sample = sample_frames(write_clip("short.mp4", [50, 100]), 5, 32)
    assert brightness(sample) == [5, 5, 10, 10, 10]
    assert sample.available == 2


def test_the_same_file_gives_the_same_bytes(write_clip: WriteClip) -> None:
    path = write_clip("clip.mp4", list(range(0, 200, 10)))
    first, second = (sample_frames(path, 5, 48).frames for _ in range(2))
    assert np.array_equal(first, second)


def test_a_still_image_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    picture = av.VideoFrame.from_ndarray(np.full((40, 60, 3), 120, np.uint8), format="rgb24")
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 60, 40, "rgb24"
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    sample = sample_frames(path, 4, 32)
    assert sample.frames.shape == (1, 32, 32, 3)
    assert brightness(sample) == [12]
    assert sample.available == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "cannot be decoded"), (b"no video " * 100, "cannot be decoded")],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(sampling.DecodeError, match=said) as error:
        sample_frames(path, 4, 32)
    assert str(tmp_path) not in str(error.value)


def test_a_clip_that_was_cut_off_is_refused(write_clip: WriteClip) -> None:
    path = write_clip("cut.mkv", [10 * (k % 20) for k in range(60)], size=(320, 240))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(sampling.DecodeError):
        sample_frames(path, 4, 32)


# What ffmpeg is told to make of its test picture. The second part of a name is the container.
FORMATS = {
    "B-frames.mp4": "-c:v libx264 -bf 3 -pix_fmt yuv420p",
    "short GOP.mkv": "-c:v libx264 -bf 3 -g 12 -pix_fmt yuv420p",
    "open GOP.mkv": "-c:v libx264 -bf 3 -g 12 -x264opts open-gop=1 -pix_fmt yuv420p",
    "open GOP.ts": "-c:v libx264 -bf 3 -g 12 -x264opts open-gop=1 -pix_fmt yuv420p",
    "intra refresh.ts": "-c:v libx264 -g 12 -x264opts intra-refresh=1 -pix_fmt yuv420p",
    "open GOP, HEVC.mp4": (
        "-c:v libx265 -preset fast -x265-params log-level=error:keyint=12:open-gop=1"
    ),
    "short GOP, VP9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12",
    "short GOP, MPEG-4.mkv": "-c:v mpeg4 -bf 2 -g 12",
    "10 bits.mp4": "-c:v libx264 -profile:v high10 -pix_fmt yuv420p10le",
    "full range.mp4": "-c:v libx264 -pix_fmt yuvj420p -color_range pc",
    "BT.709, 4:4:4.mp4": "-c:v libx264 -pix_fmt yuv444p -colorspace bt709 -color_trc bt709",
    "interlaced.mp4": "-c:v libx264 -flags +ildct+ilme -x264opts interlaced=1 -pix_fmt yuv420p",
    "interlaced.mpg": "-c:v mpeg2video -flags +ildct+ilme -pix_fmt yuv420p",
    "XviD.avi": "-c:v mpeg4 -vtag xvid -bf 2",
    "MPEG-4.mp4": "-c:v mpeg4 -bf 2",
    "VP9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "alpha.webm": "-vf format=yuva420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "alpha, 10 bits.mov": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
    "AV1.mp4": "-c:v libsvtav1 -preset 12",
    "HEVC.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=error",
    "Theora.ogv": "-c:v libtheora",
    "palette.gif": "-vf fps=10",
    "animated.apng": "-plays 0 -vf fps=5",
    "Motion JPEG.avi": "-c:v mjpeg",
    "grey, 16 bits.mkv": "-vf format=gray16le -c:v ffv1",
    "transport stream.ts": "-c:v libx264 -pix_fmt yuv420p",
    "no times.h264": "-c:v libx264 -pix_fmt yuv420p",
    "variable rate.mp4": (
        "-vf select='not(mod(n,3))+lt(n,10)',setpts=N*N/400/TB -fps_mode vfr "
        "-c:v libx264 -pix_fmt yuv420p"
    ),
    "still.png": "-frames:v 1",
    "still, 16 bits and alpha.png": "-frames:v 1 -pix_fmt rgba64be",
    "still.bmp": "-frames:v 1",
    "still, lossless.webp": "-frames:v 1 -lossless 1 -pix_fmt bgra",
    "still, RGB.tif": "-frames:v 1 -pix_fmt rgb24",
    "animated, lossless.webp": "-vf fps=5 -lossless 1 -pix_fmt bgra",
}
# What is done to the first of them without recoding: metadata that say how to show it.
SHOWN_OTHERWISE = {
    "turned left.mp4": "-display_rotation 90",
    "turned right.mp4": "-display_rotation -90",
    "upside down.mp4": "-display_rotation 180",
    "mirrored.mp4": "-display_hflip",
    "flipped.mp4": "-display_vflip",
    "turned and mirrored.mp4": "-display_rotation 90 -display_vflip",
    "turned left.mkv": "-display_rotation 90",
    "mirrored.mkv": "-display_hflip",
    "edit list.mp4": "-ss 0.5",
}
TEST_PICTURE = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2"


def encoded(folder: Path, name: str) -> Path:
    path = folder / name
    if name in FORMATS:
        reference.ffmpeg(*TEST_PICTURE.split(), *FORMATS[name].split(), path)
    else:
        source = encoded(folder, "B-frames.mp4")
        reference.ffmpeg(*SHOWN_OTHERWISE[name].split(), "-i", source, "-c", "copy", path)
    return path


@pytest.mark.parametrize("name", [*FORMATS, *SHOWN_OTHERWISE])
def test_frames_and_pixels_are_those_of_ffmpeg(tmp_path: Path, name: str) -> None:
    path = encoded(tmp_path, name)
    assert not reference.difference(path, 7, 96)
    sample = sample_frames(path, 1, 96)
    turned = "turned" in name
    assert (sample.width, sample.height) == ((240, 320) if turned else (320, 240))


LONG_GOP = "-c:v libx264 -g 30 -bf 2 -pix_fmt yuv420p"


JOINED = {
    "ts": (LONG_GOP, (0, 3600)),
    "mpg": ("-c:v mpeg2video", (60,)),
    "ogv": ("-c:v libtheora", (0,)),
}


@pytest.mark.parametrize("container", JOINED)
def test_joined_recordings_follow_one_another(tmp_path: Path, container: str) -> None:
    """The clock of such a stream may jump, or be set back."""
    codec, jumps = JOINED[container]
    for jump in jumps:
        parts = [tmp_path / f"{number}.{container}" for number in range(2)]
        for number, part in enumerate(parts):
            made = ("-vf", f"hue=h={90 * number}", "-output_ts_offset", str(jump * number))
            reference.ffmpeg(*TEST_PICTURE.split(), *codec.split(), *made, part)
        path = tmp_path / f"joined after {jump} s.{container}"
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        assert not reference.difference(path, 8, 96)
        assert sample_frames(path, 4, 96).duration == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        *[(container, LONG_GOP) for container in ("ts", "mkv", "mp4", "flv", "h264")],
        ("avi", "-c:v libx264 -g 30 -bf 0 -pix_fmt yuv420p"),
        ("mpg", "-c:v mpeg2video -bf 2 -g 30"),
        ("webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30"),
    ],
)
def test_a_stream_that_begins_within_a_group_starts_with_its_first_whole_frame(
    tmp_path: Path, container: str, codec: str
) -> None:
    path = tmp_path / f"cut.{container}"
    whole = tmp_path / "whole.mkv"
    reference.ffmpeg(*TEST_PICTURE.split(), *codec.split(), whole)
    filters = "noise=drop=lt(n\\,10)" + (",h264_mp4toannexb" if container == "avi" else "")
    reference.ffmpeg("-i", whole, "-c", "copy", "-bsf:v", filters, path)
    assert not reference.difference(path, 8, 96)
    assert sample_frames(path, 4, 96).duration == pytest.approx(0.8, abs=0.1)


def test_what_a_stream_says_of_its_frames_is_applied(tmp_path: Path) -> None:
    """Cropped by what its decoder cannot shift; turned where it says so, and from there on."""
    source, bare = tmp_path / "plain.mp4", tmp_path / "plain.h264"
    reference.ffmpeg(*TEST_PICTURE.split(), *LONG_GOP.split(), source)
    reference.ffmpeg("-i", source, "-c", "copy", bare)
    says = {
        "cropped": "crop_left=18:crop_right=6:crop_top=10",
        "turned": "display_orientation=insert:rotate=90",
        "upside down": "display_orientation=insert:rotate=180",
    }
    paths = {}
    for name, said in says.items():
        for plain in (source, bare):
            path = paths[name, plain.suffix] = tmp_path / f"{name}{plain.suffix}"
            reference.ffmpeg("-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata={said}", path)
    # A message holds until the next one.
    paths["several", ".h264"] = tmp_path / "several.h264"
    parts = (bare, paths["turned", ".h264"], bare, paths["upside down", ".h264"])
    paths["several", ".h264"].write_bytes(b"".join(part.read_bytes() for part in parts))
    for path in paths.values():
        sample = sample_frames(path, 7, 96)
        frames = reference.decoded(path, 96).frames
        shown = frames[np.rint(sample.seconds * 25).astype(int)]
        assert np.abs(sample.frames.astype(int) - shown).max() <= 1, path.name
    cropped = sample_frames(paths["cropped", ".mp4"], 1, 96)
    assert (cropped.width, cropped.height) == (320 - 24, 240 - 10)


def test_the_limit_of_frames_is_for_clips_that_are_decoded_whole(tmp_path: Path) -> None:
    limits = reference.LIMITS.model_copy(update={"frames": 10})
    trusted, whole = tmp_path / "clip.mp4", tmp_path / "clip.avi"
    reference.ffmpeg(*TEST_PICTURE.split(), *LONG_GOP.split(), trusted)
    reference.ffmpeg(*TEST_PICTURE.split(), "-c:v", "mpeg4", whole)
    assert decoding.sample_frames(trusted, 4, 32, limits).available == 4
    with pytest.raises(sampling.LimitError, match="more frames than limits.frames allows, 10"):
        decoding.sample_frames(whole, 4, 32, limits)


def test_containers_and_codecs_outside_the_list_are_refused(tmp_path: Path) -> None:
    game, camera = tmp_path / "game.roq", tmp_path / "camera.avi"
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x64:duration=1"]
    reference.ffmpeg(*source, "-c:v", "roqvideo", "-r", "30", game)
    with pytest.raises(sampling.DecodeError, match="no picture or video of a kind that is read"):
        sample_frames(game, 4, 32)
    reference.ffmpeg(*source, "-c:v", "asv1", camera)
    # No encoder makes a codec that an AVI may hold and that is not listed.
    camera.write_bytes(camera.read_bytes().replace(b"ASV1", b"ULTI"))
    with pytest.raises(sampling.DecodeError, match=r"its codec \(ultimotion\) is none of those"):
        sample_frames(camera, 4, 32)


class CountedPath(type(Path())):  # type: ignore[misc]
    """A path that counts how often its file is opened."""

    opened = 0

    def __fspath__(self) -> str:
        type(self).opened += 1
        return str(self)


def test_a_video_is_opened_once_and_its_packets_are_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [np.full((64, 96, 3), 20 + number % 200, np.uint8) for number in range(400)]
    path = clips.write_frames(tmp_path / "long.mp4", frames, rate=1)
    read, packets = [0], clock.packets

    def counted(*asked: Any) -> Iterator[Any]:
        for packet in packets(*asked):
            read[0] += 1
            yield packet

    monkeypatch.setattr(clock, "packets", counted)
    spans = [Span(0, 400), Span(300, 310), Span(390, 400)]
    seen = [decoding.sample_frames(path, 4, 32, reference.LIMITS, span) for span in spans]
    # Listing takes 401 of them, each time without a memory. Key frames are 250 s apart.
    assert read[0] < 1200
    monkeypatch.setattr(clock, "SEEK_SECONDS", 1000)
    for span, sample in zip(spans, seen, strict=True):
        whole = decoding.sample_frames(path, 4, 32, reference.LIMITS, span)
        assert np.array_equal(sample.frames, whole.frames)
        assert sample.seconds.tolist() == whole.seconds.tolist()
    CountedPath.opened = 0
    decoding.sample_frames(CountedPath(path), 4, 32, reference.LIMITS)
    assert CountedPath.opened == 1
