"""Which frames are sampled, and what becomes of files that are no videos."""

from pathlib import Path

import av
import numpy as np
import pytest

from stemtune import video
from tests.conftest import WriteClip


def brightness(sample: video.Sample) -> list[int]:
    return [round(float(frame.mean()) / 10) for frame in sample.frames]


def test_frames_come_from_the_middle_of_equal_parts(write_clip: WriteClip) -> None:
    path = write_clip("clip.mp4", [10 * (k + 1) for k in range(12)])
    sample = video.sample_frames(path, 4, 32)
    assert sample.frames.shape == (4, 32, 32, 3)
    assert sample.frames.dtype == np.uint8
    # Parts of 0.3 s; their middles 0.15, 0.45, … lie in frames 1, 4, 7 and 10.
    assert brightness(sample) == [2, 5, 8, 11]
    assert sample.seconds.tolist() == pytest.approx([0.1, 0.4, 0.7, 1.0], abs=0.01)
    assert sample.duration == pytest.approx(1.2, abs=0.01)
    assert (sample.width, sample.height) == (96, 64)


def test_fewer_frames_than_asked_give_them_all(write_clip: WriteClip) -> None:
    assert brightness(video.sample_frames(write_clip("short.mp4", [50, 100]), 8, 32)) == [5, 10]


def test_the_same_file_gives_the_same_bytes(write_clip: WriteClip) -> None:
    path = write_clip("clip.mp4", list(range(0, 200, 10)))
    first, second = (video.sample_frames(path, 5, 48).frames for _ in range(2))
    assert np.array_equal(first, second)


def test_a_still_image_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    picture = av.VideoFrame.from_ndarray(np.full((40, 60, 3), 120, np.uint8), format="rgb24")
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 60, 40, "rgb24"
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    sample = video.sample_frames(path, 4, 32)
    assert sample.frames.shape == (1, 32, 32, 3)
    assert brightness(sample) == [12]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "cannot be decoded"), (b"no video " * 100, "cannot be decoded")],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(video.VideoError, match=said) as error:
        video.sample_frames(path, 4, 32)
    assert str(tmp_path) not in str(error.value)


def test_a_clip_that_was_cut_off_is_refused(write_clip: WriteClip) -> None:
    path = write_clip("cut.mkv", [10 * (k % 20) for k in range(60)], size=(320, 240))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(video.VideoError):
        video.sample_frames(path, 4, 32)
