"""Long lists are cut short in messages."""

from stemtune.ingest import words


def test_a_few_are_named_and_the_others_counted() -> None:
    assert words.some(["a", "b"], named=2) == "a, b"
    assert words.some(["a", "b", "c", "d"], named=2) == "a, b and 2 more"
    assert words.some(["a", "b", "c"], "\n  ", 2) == "a\n  b\n  and 1 more"
    assert words.some(["a\x1b[2J", "b"]) == "'a\\x1b[2J', b"
