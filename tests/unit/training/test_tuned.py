"""tuning/best.json is written and read back whole, and refused where it is something else."""

from pathlib import Path

import pytest

from stemtune.core.errors import InputError
from stemtune.training import tuned


def test_what_tune_lr_found_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="tuning/best.json is missing; `dvc repro` makes"):
        tuned.read()
    best = tuned.Best(trial="trial 3", learning_rate=1e-4, validation_accuracy=0.1 + 0.2)
    tuned.write(best)
    assert tuned.read() == best


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"trial": "trial 1", "validation_accuracy": 0.9}', "learning_rate: is missing"),
        (
            '{"trial": "trial 1", "learning_rate": "0.01", "validation_accuracy": 0.9}',
            "learning_rate: .*valid number .found '0.01'",
        ),
        ('{"trial": "tri', "the whole file: Invalid JSON"),
    ],
)
def test_what_is_no_result_of_tune_lr_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning/best.json").write_text(text)
    with pytest.raises(InputError, match=rf"(?s)best.json is not accepted.*{said}.*dvc repro"):
        tuned.read()
