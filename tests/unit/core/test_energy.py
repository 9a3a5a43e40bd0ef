"""The energy of a stage is an estimate that may be missing."""

import pytest
from codecarbon import OfflineEmissionsTracker

from stemtune.core import energy
from stemtune.core.records import Record


def test_a_machine_whose_energy_cannot_be_estimated_costs_no_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As codecarbon does if it could not begin.
    monkeypatch.setattr(OfflineEmissionsTracker, "start", lambda _: None)
    monkeypatch.setattr(OfflineEmissionsTracker, "stop", lambda _: None)
    record = Record.start("tune_lr")
    with energy.measured(record):
        pass
    assert record.energy_wh is None
