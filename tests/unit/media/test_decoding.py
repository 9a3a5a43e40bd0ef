import resource

import pytest

from stemtune.media import decoding


def test_where_a_system_limits_no_memory_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        # As macOS does, which is not what tests run on.
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    decoding.limit_memory(100)
    assert capsys.readouterr().err.splitlines() == [
        "limits.memory_mib is not held: this system does not limit memory "
        "(current limit exceeds maximum limit)"
    ]
