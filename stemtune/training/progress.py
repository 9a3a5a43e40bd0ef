"""How far trainings are, told by the processes that they run in, and shown by the stage."""

from collections.abc import Callable

from stemtune.core import terminal
from stemtune.core.records import Record
from stemtune.core.results import Epoch

# Receives the record of a training.
Tell = Callable[[Record], None]


def nobody(record: Record) -> None:
    """Leaves a record to itself."""


def add(record: Record, tell: Tell, epoch: Epoch) -> None:
    """Notes an epoch that is over, and tells of it."""
    record.add(epoch)
    tell(record)


def shown_in(record: Record, elsewhere: bool) -> Tell:
    """Returns a function that shows records of trainings below that of their stage.

    Args:
        record: Of the stage.
        elsewhere: Whether they run in other processes, which do not move this one's terminal.
    """

    def show(child: Record) -> None:
        # In this process it is the very record that is shown already, and has no new epochs.
        before = {known.name: len(known.epochs) for known in record.children}
        record.show(child)
        if elsewhere:
            terminal.move(len(child.epochs) - before.get(child.name, 0))

    return show
