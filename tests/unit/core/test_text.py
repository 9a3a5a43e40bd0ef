"""Text is read where its encoding is sure, and refused with the line where it is not."""

from pathlib import Path

import pytest

from stemtune.core import params, text
from tests.support.project import ROOT

WORDS = "first\r\ncafé\rlast"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_are_sure(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(WORDS.encode(encoding))
    assert text.lines(text.read(path)) == ["first", "café", "last"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WORDS.encode("cp1252"), r"list.txt, line 2: is not UTF-8; its byte 0xE9 .* 'café"),
        (WORDS.encode("utf-16-le"), r"list.txt, line 1: holds a byte 0"),
        (WORDS.encode("utf-16")[:-1], r"begins with the mark of UTF-16"),
    ],
)
def test_others_are_refused_with_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(text.TextError, match=said) as error:
        text.read(path)
    assert "as UTF-8" in str(error.value)


def test_params_in_another_encoding_are_refused_alike(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"# \xdcber\n" + (ROOT / "params.yaml").read_bytes())
    with pytest.raises(text.TextError, match="line 1: is not UTF-8; .*Über"):
        params.load(path)
