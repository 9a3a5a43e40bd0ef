"""The processor of this machine: its name, and whether it was busy while times were measured."""

import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# Boards with an Arm processor name themselves there; /proc/cpuinfo has numbers alone.
BOARD = Path("/sys/firmware/devicetree/base/model")

# Of the time; on an idle machine one thread works nearly all of it.
BUSY_SHARE = 0.1


def name() -> str:
    """Returns the processor's name, the board's if the processor has none, or the architecture."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if BOARD.exists():
        return BOARD.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    return platform.processor() or platform.machine()


def busy_note(share: float | None) -> str:
    """Returns a warning on times that were measured while other programs ran; "" if none did.

    Args:
        share: Of time in which others had the processor, in [0, 1]; None: not known.
    """
    if share is None or share <= BUSY_SHARE:
        return ""
    return (
        f"other programs had the processor for {share:.0%} of the time, so the times are too long; "
        "the files were slowed alike. Measure again while nothing else runs"
    )
