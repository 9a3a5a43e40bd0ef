"""The processor of this machine, by name: times are worth little without it."""

import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# Boards with an Arm processor name themselves there; /proc/cpuinfo has numbers alone.
BOARD = Path("/sys/firmware/devicetree/base/model")


def name() -> str:
    """Returns the processor's name, the board's if the processor has none, or the architecture."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if BOARD.exists():
        return BOARD.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    return platform.processor() or platform.machine()
