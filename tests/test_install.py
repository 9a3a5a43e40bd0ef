"""What the lock installs where, as far as one machine can see it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT

PYTHONS = ("3.11", "3.12", "3.13")
# uv's names; PyAV's wheels for macOS ask for 14.
LINUX, ARM, MAC = "x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin"
LOCKS = {"requirements.lock": (LINUX, ARM, MAC), "requirements-gpu.lock": (LINUX,)}
# It comes as source alone, which is Python throughout.
SOURCE_ALONE = "antlr4-python3-runtime"


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("lock", "platform"), [(lock, name) for lock, names in LOCKS.items() for name in names]
)
def test_the_lock_installs_without_a_compiler(
    lock: str, platform: str, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACOSX_DEPLOYMENT_TARGET", "14.0")
    done = subprocess.run(
        [
            *(ROOT / ".venv/bin/uv", "pip", "install", "--dry-run", "--require-hashes"),
            *("--python-platform", platform, "--python-version", python, "--target", tmp_path),
            *("--only-binary", ":all:", "--no-binary", SOURCE_ALONE, "--requirements", lock),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    networks = [line for line in done.stderr.splitlines() if " + tensorflow" in line]
    smaller = lock == "requirements.lock" and platform == LINUX
    assert networks == [f" + tensorflow{'-cpu' if smaller else ''}==2.21.0"]
