"""Names and errors of others are shown, and neither steer a terminal nor leave their Markdown."""

import io
import subprocess
import sys

import pytest
from markdown_it import MarkdownIt

from stemtune.core import markdown, printable
from tests.support.project import ROOT

STEERING = ["a\x1b[2J", "a\nb", "a\rb", "a\u202eb", "a\u2028b", "a\x9bb", "a\udcffb", "a\x07"]
# Each tries to end the code that it is put into, and to become something else.
HOSTILE = [
    "`<img src=x onerror=alert(1)>`",
    "``` ![x](http://evil/p.png)",
    "a`b``c",
    "a\\|b | ![x](http://evil/p.png) | `c",
    "` | <script>alert(1)</script> | `",
    "a\n\n# heading\n\n`@team`",
    "**bold** [x](javascript:alert(1))",
    "&lt;b&gt; \\",
    "`",
]


@pytest.mark.parametrize("name", STEERING)
def test_what_steers_a_terminal_is_shown_as_an_escape(name: str) -> None:
    for shown in (printable.name(name), printable.message(name.replace("\n", ""))):
        assert shown.isprintable()
        assert shown[0] in "a'"
    assert printable.name(name) == repr(name)


@pytest.mark.parametrize(
    "name", ["high jump", "бег -1", "日本語\u3000", "می\u200cشود", "👩\u200d🚀", "a\\b"]
)
def test_names_in_any_script_are_left_as_they_are(name: str) -> None:
    assert printable.name(name) == printable.message(name) == name


def test_a_message_keeps_its_lines_and_no_password() -> None:
    said = printable.message("a:\n\tb \x1b[31m http://alice:s3cret@host")
    assert said == "a:\n\tb \\x1b[31m http://***@host"


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_gets_out_of_code(text: str) -> None:
    parser = MarkdownIt("gfm-like", {"linkify": False})
    line = f"- why: {markdown.code(text)}"
    table = f"| a | b |\n|---|---|\n| {markdown.code(text)} | end |\n"
    for document, expected in ((line, ""), (table, "end")):
        html = parser.render(document)
        for tag in ("<img", "<script", "<a ", "<strong", "<h1"):
            assert tag not in html
        assert html.count("<code>") == html.count("</code>") == 1
        assert html.count("<td") == (2 if expected else 0)
        assert f"<td>{expected}</td>" in html or not expected


@pytest.mark.parametrize("text", [*HOSTILE, "a\n```\n# out\n````\n<b>"])
def test_nothing_gets_out_of_a_block_of_code(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown.fenced(text))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content == f"{text}\n"


def test_an_error_of_any_kind_ends_a_program_without_passwords_or_escapes() -> None:
    for kind, told in (("InputError", "stage: "), ("RuntimeError", "Traceback")):
        program = (
            "from stemtune.core.errors import InputError, run\n"
            f"def main(): raise {kind}('\\x1b[2J http://alice:s3cret@host \\udcff')\n"
            "run('stage', main)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(told)
        assert "\\x1b[2J http://***@host \\udcff" in done.stderr


def test_a_locale_that_lacks_a_letter_gets_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_written, "iso8859-1"))
    printable.tolerate_locale()
    print("é → 日", flush=True)
    assert bytes_written.getvalue() == b"\xe9 \\u2192 \\u65e5\n"
