"""Words for people that more than one message needs."""

from collections.abc import Sequence

from stemtune.core import printable

NAMED = 5


def some(items: Sequence[str], separator: str = ", ", named: int = NAMED) -> str:
    """Returns the first of the items, and how many more there are.

    Args:
        items: In the order to be named; one that would steer a terminal is quoted.
        separator: What stands between two; one with a line break gives each item a line.
        named: How many are named at most.
    """
    joint = separator if "\n" in separator else " "
    more = f"{joint}and {len(items) - named} more" if len(items) > named else ""
    return separator.join(map(printable.name, items[:named])) + more
