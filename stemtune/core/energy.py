"""The energy that a stage takes: an estimate from the processor's load, not a meter's."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from stemtune.core.records import Record


@contextmanager
def measured(record: Record) -> Iterator[None]:
    """Adds the energy of a block that succeeds to a record, if it is known."""
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    # Only energy is read; the country, which sets grams of CO2 per kWh, is a required argument.
    tracker = OfflineEmissionsTracker(
        country_iso_code="USA", save_to_file=False, log_level="critical", allow_multiple_runs=True
    )
    tracker.start()
    try:
        yield
    finally:
        tracker.stop()
    # It has none where it could not look at the machine.
    if not (emissions := getattr(tracker, "final_emissions_data", None)):
        return
    record.energy_wh = emissions.energy_consumed * 1000
    record.energy_method = (
        f"estimate by codecarbon {emissions.codecarbon_version} from processor load and nominal "
        "power, memory size and, if there is one, the GPU's own meter"
    )
