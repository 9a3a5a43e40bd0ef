"""Pictures: how they are held, which colors they have, and which of several is shown."""

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from stemtune.media import decoding, sampling, stills
from tests.support import reference
from tests.support.pictures import CASES, SIDE, UPRIGHT, most, sample, shown


@pytest.mark.parametrize("orientation", [None, 0, 1, *stills.TURNS, 9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_a_picture_is_shown_as_the_camera_was_held(
    tmp_path: Path, suffix: str, orientation: int | None
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "NIKON"
    if orientation is not None:
        exif[0x0112] = orientation
    # What the camera stores is turned back to UPRIGHT by the orientation.
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turn = back.get(orientation or 0) or stills.TURNS.get(orientation or 0)
    stored = Image.fromarray(UPRIGHT)
    stored = stored.transpose(turn) if turn is not None else stored
    path = tmp_path / f"photo.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 95, "subsampling": "4:4:4"}
    stored.save(path, exif=exif, **({} if suffix in ("png", "tif") else options))
    found = sample(path)
    assert (found.width, found.height, found.available) == (128, 96, 1)
    assert most(found.frames[0], shown(UPRIGHT)) <= (0 if suffix in ("png", "webp", "tif") else 16)


def test_exif_that_cannot_be_read_spoils_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(UPRIGHT).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 40)
    assert sample(path).width == 128


@pytest.mark.parametrize("name", ["grid.heic", "exif6.heic"])
def test_a_picture_of_tiles_is_the_whole_picture(name: str) -> None:
    found = sample(CASES / name)
    assert (found.width, found.height) == (1280, 960)
    # ffmpeg puts the tiles together as well, and heeds EXIF's orientation no more than libheif:
    # HEIF turns by properties of its own.
    whole = reference.ffmpeg("-i", CASES / name, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    expected = shown(np.frombuffer(whole, np.uint8).reshape(960, 1280, 3))
    assert np.abs(found.frames[0].astype(int) - expected).mean() < 3


def test_a_heif_photograph_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    pillow_heif.from_pillow(Image.fromarray(UPRIGHT)).save(path, quality=95)
    assert np.abs(sample(path).frames[0].astype(int) - shown(UPRIGHT)).mean() < 3


def test_of_several_pictures_the_first_is_shown(tmp_path: Path) -> None:
    first, second = Image.fromarray(UPRIGHT), Image.new("RGB", (64, 48), "blue")
    paths = [tmp_path / name for name in ("gain map.jpg", "stereo.mpo", "pages.tif")]
    paths += [tmp_path / name for name in ("previews.jpg", "views.mpo")]
    buffers = [io.BytesIO(), io.BytesIO()]
    for picture, buffer in zip((first, second), buffers, strict=True):
        picture.save(buffer, "JPEG", quality=95, subsampling="4:4:4")
    paths[0].write_bytes(b"".join(buffer.getvalue() for buffer in buffers))
    # Pillow leaves settings of an encoder in the pictures that it saves.
    options: dict[str, Any] = {"quality": 95, "subsampling": "4:4:4"}
    first.copy().save(paths[1], save_all=True, append_images=[second.copy()], **options)
    Image.fromarray(UPRIGHT).save(
        paths[2], save_all=True, append_images=[Image.new("RGB", (64, 48))]
    )
    small = buffers[1].getvalue()
    # The bytes that fill up to the next picture differ from camera to camera.
    paths[3].write_bytes(buffers[0].getvalue() + bytes(9) + small * 2)
    views = [first.transpose(Image.Transpose.ROTATE_180) for _ in range(3)]
    first.copy().save(paths[4], save_all=True, append_images=views, **options)
    for path in paths:
        found = sample(path)
        assert len(found.frames) == 1
        assert most(found.frames[0], shown(UPRIGHT)) <= 16


def test_the_largest_picture_of_an_icon_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "icon.ico"
    Image.fromarray(UPRIGHT).save(path, sizes=[(16, 12), (128, 96)])
    found = sample(path)
    assert (found.width, found.height) == (128, 96)
    assert most(found.frames[0], shown(UPRIGHT)) == 0


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "ppm", "png", "tif"])
def test_pixels_are_those_that_other_viewers_show(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(UPRIGHT).save(path)
    picture = cv2.imread(str(path))
    assert picture is not None
    assert most(sample(path).frames[0], shown(picture[:, :, ::-1])) <= 1


def test_a_header_on_one_line_is_a_header(tmp_path: Path) -> None:
    path = tmp_path / "picture.ppm"
    path.write_bytes(b"P6 128 96 255\n" + UPRIGHT.tobytes())
    assert most(sample(path).frames[0], shown(UPRIGHT)) == 0


def test_16_bits_are_scaled_to_8(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 96 * 128).reshape(96, 128).astype(np.uint16)
    expected = shown(np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, 2))
    for suffix in ("png", "tif"):
        path = tmp_path / f"grey.{suffix}"
        Image.fromarray(grey).save(path)
        assert most(sample(path).frames[0], expected) == 0
    path = tmp_path / "color.png"
    cv2.imwrite(str(path), UPRIGHT[:, :, ::-1].astype(np.uint16) * 257)
    assert most(sample(path).frames[0], shown(UPRIGHT)) == 0
    path = tmp_path / "real.tif"
    Image.fromarray(grey.astype(np.float32)).save(path)
    with pytest.raises(sampling.DecodeError, match="32 bits, whose range is not known"):
        sample(path)
    # Samples with a sign are of 16 bits here, which tag 339 says.
    path.write_bytes(signed_tiff())
    with pytest.raises(sampling.DecodeError, match="its samples are signed"):
        sample(path)


def test_what_is_transparent_is_shown_on_white(tmp_path: Path) -> None:
    alpha = np.where(np.arange(128) < 64, 0, 255).astype(np.uint8)
    rgba = np.dstack([UPRIGHT, np.broadcast_to(alpha, (96, 128))])
    expected = UPRIGHT.copy()
    expected[:, :64] = 255
    lossless: dict[str, Any] = {"lossless": True}
    for suffix, options in (("png", {}), ("webp", lossless), ("tif", {})):
        path = tmp_path / f"cut out.{suffix}"
        Image.fromarray(rgba).save(path, **options)
        assert most(sample(path).frames[0], shown(expected)) <= 1
    path = tmp_path / "palette.png"
    palette = Image.new("L", (128, 96), 5).convert("P")
    palette.save(path, transparency=palette.getpixel((0, 0)))
    assert sample(path).frames.min() == 255


def test_colors_of_print_and_of_wide_profiles_become_those_of_a_screen(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(UPRIGHT).convert("CMYK").save(path, quality=95, subsampling="4:4:4")
    assert most(sample(path).frames[0], shown(UPRIGHT)) <= 16
    # A profile of Lab makes RGB of other values the same red.
    path = tmp_path / "profile.tif"
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    picture = ImageCms.profileToProfile(Image.fromarray(UPRIGHT), srgb, lab, outputMode="LAB")
    assert picture
    picture.save(path, icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert np.abs(sample(path).frames[0].astype(int) - shown(UPRIGHT)).mean() < 8
    path = tmp_path / "broken profile.png"
    Image.fromarray(UPRIGHT).save(path, icc_profile=b"no profile")
    assert most(sample(path).frames[0], shown(UPRIGHT)) == 0


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "avif"])
def test_an_animation_is_sampled_in_time(tmp_path: Path, suffix: str) -> None:
    levels, lengths = [0, 80, 160, 240], [100, 200, 1000, 200]
    pictures = [Image.new("RGB", (64, 48), (level,) * 3) for level in levels]
    path = tmp_path / f"animation.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=lengths, loop=0)
    found = sample(path, 5)
    # Middles of 5 parts of 1.5 s: 0.15, 0.45, 0.75, 1.05 and 1.35.
    assert found.seconds.tolist() == pytest.approx([0.1, 0.3, 0.3, 0.3, 1.3])
    expected = [80, 160, 160, 160, 240]
    assert np.abs(found.frames.mean((1, 2, 3)) - expected).max() < 4
    assert found.duration == pytest.approx(1.5)
    assert found.available == 4
    # Middles of 2 parts of the second from 0.5 s on.
    part = decoding.sample_frames(path, 2, SIDE, reference.LIMITS, sampling.Span(0.5, 1.5))
    assert np.array_equal(part.frames, found.frames[[3, 3]])
    part = decoding.sample_frames(path, 2, SIDE, reference.LIMITS, sampling.Span(0.1, 1.5))
    assert part.seconds.tolist() == pytest.approx([0.3, 0.3])
    part = decoding.sample_frames(path, 1, SIDE, reference.LIMITS, sampling.Span(1.2, 9))
    assert part.seconds.tolist() == pytest.approx([1.3])


def test_an_animation_restores_what_was_there_before(tmp_path: Path) -> None:
    bars = []
    for left in (8, 48, 88):
        bar = Image.new("RGBA", (128, 96), (0, 0, 0, 0))
        bar.paste((255, 0, 0, 255), (left, 16, left + 24, 80))
        bars.append(bar)
    path = tmp_path / "bars.png"
    Image.new("RGBA", (128, 96), (0, 255, 0, 255)).save(
        path, save_all=True, append_images=bars, duration=500, disposal=[0, 2, 2, 2], blend=1
    )
    # Each bar on green alone, as ffmpeg has them.
    expected = reference.decoded(path, SIDE).frames
    assert most(sample(path).frames, expected) <= 1
    assert most(sample(path, 2).frames, expected[[1, 3]]) <= 1


def test_frames_of_no_duration_last_as_long_as_in_browsers(tmp_path: Path) -> None:
    path = tmp_path / "fast.gif"
    pictures = [Image.new("L", (64, 48), level) for level in (0, 120, 240)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=0)
    assert sample(path).duration == pytest.approx(0.3)


def test_a_picture_before_an_animation_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "animation.png"
    pictures = [Image.new("RGB", (64, 48), color) for color in ("red", "lime", "blue")]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=500, default_image=True
    )
    assert sample(path, 2).frames[:, 0, 0].tolist() == [[0, 255, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    ("limit", "said"), [("pixels", "limits.pixels"), ("frames", "more frames")]
)
def test_limits_hold_for_pictures_too(tmp_path: Path, limit: str, said: str) -> None:
    path = tmp_path / "animation.gif"
    pictures = [Image.new("L", (64, 48), level) for level in (0, 120, 240)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    limits = reference.LIMITS.model_copy(update={limit: 2})
    photo = tmp_path / "photo.jpg"
    pictures[0].save(photo)
    for clip in (path, photo) if limit == "pixels" else (path,):
        with pytest.raises(sampling.LimitError, match=said):
            decoding.sample_frames(clip, 4, SIDE, limits)


def test_notes_of_an_editor_do_not_turn_a_picture(tmp_path: Path) -> None:
    note = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    for suffix in ("jpg", "webp"):
        path = tmp_path / f"edited.{suffix}"
        Image.fromarray(UPRIGHT).save(path, xmp=note)
        assert (sample(path).width, sample(path).height) == (128, 96)


def signed_tiff() -> bytes:
    """Returns a TIFF of 32 x 24 samples of 16 bits with a sign."""
    samples = np.arange(32 * 24, dtype="<i2").tobytes()
    tags = [(256, 32), (257, 24), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 24)]
    tags += [(279, len(samples)), (339, 2)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(samples))
    return head + samples + struct.pack("<H", len(tags)) + entries + bytes(4)
