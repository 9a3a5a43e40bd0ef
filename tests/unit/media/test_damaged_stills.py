"""Pictures that are damaged or cut off are refused, with a reason that a reader understands."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from stemtune.media import sampling
from tests.support.pictures import CASES, UPRIGHT, sample


def jpeg(**options: Any) -> bytes:
    file = io.BytesIO()
    mode = options.pop("mode", "RGB")
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    picture = Image.fromarray(noise).resize((160, 120)).convert(mode)
    picture.save(file, "JPEG", quality=90, **options)
    return file.getvalue()


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
    "whole color": {"subsampling": "4:4:4"},
    "print": {"mode": "CMYK"},
    "grey": {"mode": "L"},
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_damaged_jpeg_is_refused_and_one_that_lacks_its_end_alone_is_not(
    tmp_path: Path, kind: str
) -> None:
    path, whole = tmp_path / "photo.jpg", jpeg(**JPEGS[kind])
    path.write_bytes(whole)
    expected = sample(path).frames
    for harmless in (whole[:-2], whole + bytes(100), whole[:-2] + bytes(100)):
        path.write_bytes(harmless)
        assert np.array_equal(sample(path).frames, expected)
    middle = len(whole) * 2 // 3
    for damaged in (whole[:middle], whole[:middle] + b"\xff\xd9"):
        path.write_bytes(damaged)
        with pytest.raises(sampling.DecodeError, match="the JPEG image file is truncated, damaged"):
            sample(path)


def test_a_jpeg_with_a_part_of_zeros_is_refused() -> None:
    with pytest.raises(sampling.DecodeError, match="the JPEG image file is truncated, damaged"):
        sample(CASES / "zeroed_middle.jpg")


@pytest.mark.parametrize(
    "name",
    ["a.png", "a.gif", "a.bmp", "a.webp", "a.tif", "lzw.tif", "a.jp2", "a.avif", "a.heic", "a.ico"],
)
def test_of_a_picture_that_was_cut_off_the_reason_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / name
    pictures = [Image.fromarray(np.roll(UPRIGHT, 32 * k, 1)) for k in range(3)]
    options: dict[str, Any] = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
    if name in ("a.gif", "a.webp", "a.avif"):
        options = {"save_all": True, "append_images": pictures[1:]}
    if name == "a.ico":
        options = {"sizes": [(16, 12), (128, 96)]}
    if name == "a.heic":
        pillow_heif.from_pillow(pictures[0]).save(path)
    else:
        pictures[0].save(path, **options)
    whole = path.read_bytes()
    for share in (0.2, 0.5, 0.8):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(sampling.DecodeError) as caught:
            sample(path)
        # Nothing but this kind of error is final: another would be tried again in each run.
        assert type(caught.value) is sampling.DecodeError
        reason = str(caught.value)
        assert reason.startswith("cannot be decoded: the ")
        assert " image file is truncated, damaged, or of a kind that is not read here" in reason
        assert len(reason.splitlines()) == 1
    assert capfd.readouterr().err == ""
