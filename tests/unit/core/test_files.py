"""Files are written whole or not at all, whatever else writes the same one."""

from pathlib import Path

from stemtune.core import files


def test_two_machines_that_number_their_processes_alike_do_not_share_a_name(tmp_path: Path) -> None:
    path = tmp_path / "entry.npz"
    # This process stands for both.
    with files.replacing(path) as one, files.replacing(path) as other:
        one.write_bytes(b"one")
        other.write_bytes(b"other")
        assert one.read_bytes() == b"one"
        assert one.suffix == other.suffix == path.suffix
    assert [found.name for found in tmp_path.iterdir()] == ["entry.npz"]
