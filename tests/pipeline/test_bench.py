"""Each benchmark still runs, small, and what it compares comes to the same results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import decode, search
from bench.__main__ import SUBJECTS, subject
from tests.support.project import ROOT

KEYS = {
    "name", "ours", "theirs", "other", "ratio", "spread", "target", "met", "runs", "machine",
}  # fmt: skip


# Whole chains, a search through a network, or three large networks twice.
LONG = {"search", "embed", "one_clip", "growth"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.footage] if name in LONG else []) for name in SUBJECTS],
)
def test_a_benchmark_runs_and_both_sides_agree(
    tmp_path: Path, warm: dict[str, str], name: str
) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "--tiny", "--results", str(results), name]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | warm, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(results.read_text())
    assert {subject(row) for row in rows} >= {name}
    for row in rows:
        assert set(row) == KEYS
        assert row["ours"] > 0
        assert row["theirs"] > 0
        assert row["name"] in done.stdout


def test_other_accuracies_are_noticed() -> None:
    same = {0.01: [(0.5, 0.25)], 0.001: [(0.75, 0.5)]}
    search._require_equal(same, same)
    with pytest.raises(AssertionError, match="at rate 0.001 the accuracies"):
        search._require_equal(same, same | {0.001: [(0.75, 0.53)]})
    with pytest.raises(AssertionError, match="ours tried"):
        search._require_equal(same, {0.01: [(0.5, 0.25)]})


def test_another_frame_is_noticed() -> None:
    numbered = list(decode._pictures(320, 240, 12))
    pictures = np.stack([numbered[3], numbered[9]])
    decode._require_equal("tested", pictures, pictures, [3, 9])
    with pytest.raises(AssertionError, match=r"frames \[3, 9\] instead of \[3, 10\]"):
        decode._require_equal("tested", pictures, pictures, [3, 10])
    with pytest.raises(AssertionError, match="pixels differ"):
        decode._require_equal("tested", pictures, 255 - pictures, [3, 9])
