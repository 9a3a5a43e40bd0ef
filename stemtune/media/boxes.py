"""What an AVIF file says of its main picture that Pillow leaves out: its colours and its crop.

A file consists of boxes, some of which hold further ones (ISO 14496-12, ISO 23008-12).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

# Versions and flags of a box, and what comes before the boxes in a description of samples.
FULL, ENTRIES, VISUAL = 4, 8, 78
TRACK = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


class Told(NamedTuple):
    """What a file tells.

    Attributes:
        code_points: Of the colours, as ITU-T H.273 numbers primaries and transfer; None: untold.
        aperture: Width, height and offsets of the centre, each above and below a fraction's line;
            None: the whole picture is shown.
    """

    code_points: tuple[int, int] | None = None
    aperture: tuple[int, ...] | None = None


class _Box(NamedTuple):
    kind: bytes
    content: bytes


def read(data: bytes) -> Told:
    """Returns what a file tells; what cannot be read is not told."""
    try:
        top = list(_boxes(data))
        major = next((box.content[:4] for box in top if box.kind == b"ftyp"), b"")
        return _told(_of_track(top) if major == b"avis" else _of_item(top))
    except (struct.error, IndexError):
        return Told()


def _told(properties: list[_Box]) -> Told:
    code_points, aperture = None, None
    for kind, content in properties:
        if kind == b"colr" and content[:4] == b"nclx":
            code_points = struct.unpack_from(">2H", content, 4)
        if kind == b"clap":
            aperture = struct.unpack_from(">4IiIiI", content)
    return Told(code_points, aperture)


def _boxes(data: bytes) -> Iterator[_Box]:
    start = 0
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, start + 8), 16
        end = start + size if size else len(data)
        yield _Box(kind, data[start + head : end])
        start = max(end, start + head)


def _inside(boxes: Iterator[_Box] | list[_Box], kind: bytes) -> bytes:
    """Returns the content of the first box of a kind; b"" if there is none."""
    return next((box.content for box in boxes if box.kind == kind), b"")


def _of_track(top: list[_Box]) -> list[_Box]:
    """Returns the properties of the first track of a sequence."""
    content = b""
    boxes: Iterator[_Box] | list[_Box] = top
    for kind in TRACK:
        content = _inside(boxes, kind)
        boxes = _boxes(content)
    entries = _inside(boxes, b"stsd")[ENTRIES:]
    return list(_boxes(_inside(_boxes(entries), b"av01")[VISUAL:]))


def _of_item(top: list[_Box]) -> list[_Box]:
    """Returns the properties of the main picture."""
    meta = list(_boxes(_inside(top, b"meta")[FULL:]))
    main = _inside(meta, b"pitm")
    wide = main[0] > 0
    (item,) = struct.unpack_from(">I" if wide else ">H", main, FULL)
    parts = list(_boxes(_inside(meta, b"iprp")))
    properties = list(_boxes(_inside(parts, b"ipco")))
    places = [place for part in parts if part.kind == b"ipma" for place in _places(part, item)]
    return [properties[place - 1] for place in places if place]


def _places(links: _Box, item: int) -> list[int]:
    """Returns which properties an item has, counted from 1; 0 stands for none."""
    data = links.content
    numbers, width = (">I" if data[0] else ">H"), (">H" if data[3] & 1 else ">B")
    (count,) = struct.unpack_from(">I", data, FULL)
    place = FULL + 4
    for _ in range(count):
        (number,) = struct.unpack_from(numbers, data, place)
        place += struct.calcsize(numbers)
        several, place = data[place], place + 1
        size = struct.calcsize(width)
        found = [
            struct.unpack_from(width, data, place + size * index)[0] for index in range(several)
        ]
        place += size * several
        if number == item:
            # The highest bit says whether a reader has to understand it.
            return [one & (0x7FFF if size > 1 else 0x7F) for one in found]
    return []
