"""The pages hold what they say: links, commands, settings, files; and they are short."""

import importlib.util
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs.__main__ import PAGES as NUMBERED
from docs.__main__ import renewed
from stemtune.commands.main import main
from stemtune.core import files, typed_json
from stemtune.export.exports import Exports
from tests.support.project import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS, ROOT / "samples/README.md"]
# CHANGELOG.md names what went, too.
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
CODE = ["stemtune", "stages", "ci", "bench", "profiles", "samples", "docs", "tests"]

WORDS = {README: 700, ROOT / "docs/results.md": 1500}
WORDS_OF_A_SENTENCE = 25
# Pages of which every sentence is short.
PLAIN = [README, *DOCS]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def tokens(page: Path) -> Iterator[Token]:
    """Yields the blocks of a page, with what stands in a line below them."""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or []


def in_backticks(page: Path) -> set[str]:
    return {token.content for token in tokens(page) if token.type == "code_inline"}


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yields the words of each line of code or in backticks, without what precedes a program."""
    blocks = (token for token in tokens(page) if token.type in ("code_block", "fence"))
    lines = [line for block in blocks for line in block.content.splitlines()]
    for line in [*lines, *in_backticks(page)]:
        line = re.sub(r"^\s*\$ |^\s*(\w+=\S+ )+", "", line).split(" # ")[0].strip()
        try:
            words = shlex.split(line.split("        ")[0])
        except ValueError:
            continue
        if words[1:3] == ["-m", "stemtune"]:
            yield words[2:]
        elif words:
            yield [re.sub(r"^([\w.]+/)*\.?venv/bin/|^two/bin/", "", words[0]), *words[1:]]


def anchors(page: Path) -> set[str]:
    """Returns what the headings of a page are called in links, as GitHub and GitLab have it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_lead_to_what_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    links = [link for link in links if not re.match(r"[a-z]+:", link)]
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_and_picture_of_docs_is_linked() -> None:
    links = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    there = {path for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".png", ".svg")}
    assert there <= links


@pytest.mark.parametrize("page", CURRENT, ids=named)
def test_make_is_told_targets_that_it_has(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {*re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE), ".venv/ready"}
    profiles = {path.stem for path in (ROOT / "profiles").glob("*.yaml")}
    for program, *words in command_lines(page):
        if program == "make":
            given = dict(word.split("=", 1) for word in words if "=" in word)
            assert {word for word in words if "=" not in word} <= targets, words
            assert {*given} <= {"PROFILE", "BASE"}, words
            assert given.get("PROFILE", "smoke") in profiles, words


@pytest.mark.parametrize("page", CURRENT, ids=named)
def test_stemtune_is_told_commands_and_options_that_it_has(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for program, *words in command_lines(page):
        # A message begins with the command and a colon.
        if program != "stemtune" or not words or words[0].endswith(":"):
            continue
        options = {word.split("=")[0] for word in words if word.startswith("--")} - {"--help"}
        # Whether there is such a command, and what its options are.
        with pytest.raises(SystemExit, match="0"):
            main([*words[: 1 if words and not words[0].startswith("-") else 0], "--help"])
        assert options <= {*re.findall(r"--[a-z-]+", capsys.readouterr().out)}, words


@pytest.mark.parametrize("page", CURRENT, ids=named)
def test_python_is_told_modules_that_there_are(page: Path) -> None:
    for _, *words in command_lines(page):
        if "-m" in words[:1]:
            assert words[1] == "pip" or importlib.util.find_spec(words[1]), words


def settings(content: object, place: str = "") -> Iterator[str]:
    """Yields the path of each setting of params.yaml, its blocks included."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield f"{place}{name}"
            yield from settings(value, f"{place}{name}.")


@pytest.mark.parametrize("page", CURRENT, ids=named)
def test_settings_are_those_of_params_yaml(page: Path) -> None:
    content = files.read_yaml(ROOT / "params.yaml")
    there = {*settings(content)}
    there |= {re.sub(r"(variants\.)\w+", r"\1<name>", path) for path in there}
    there |= {path.removeprefix("extract_frames.") for path in there}
    blocks = "|".join([*content, "split", "limits"])
    for span in in_backticks(page):
        found = re.match(rf"((?:{blocks})\.[\w.<>]+)", span)
        if found and not re.search(r"\.(py|json|html|md|png|yaml|csv|yml)$", span):
            assert found[1].rstrip(".") in there, span


@pytest.mark.parametrize("page", CURRENT, ids=named)
def test_modules_and_variables_are_those_of_the_code(page: Path) -> None:
    sources = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    modules = [f"/{path.relative_to(ROOT).as_posix()}" for path in sources]
    texts = [path.read_text(encoding="utf-8") for path in sources] if page in DOCS else []
    for span in in_backticks(page):
        if re.fullmatch(r"[\w/]+\.py", span):
            assert any(module.endswith(f"/{span}") for module in modules), span
        if texts and re.fullmatch(r"STEMTUNE_\w+", span):
            assert any(re.search(rf"\b{span}\b", text) for text in texts), span


def test_the_table_of_packages_names_every_module() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]*\|$", page, flags=re.MULTILINE)
    named = {f"{package}/{module}" for package, listed in rows for module in listed.split(", ")}
    modules = {
        path.relative_to(ROOT / "stemtune").with_suffix("").as_posix()
        for path in (ROOT / "stemtune").rglob("*.py")
        if path.name != "__init__.py" and path.parent != ROOT / "stemtune"
    }
    assert named == modules


def sentences(page: Path) -> Iterator[str]:
    """Yields the sentences of a page, tables and blocks of code left out; code is one word."""
    blocks = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
    for before, block in itertools.pairwise(blocks):
        if block.type == "inline" and before.type not in ("td_open", "th_open"):
            words = "".join(
                "code" if child.type == "code_inline" else child.content or " "
                for child in block.children or []
            )
            yield from re.split(r"(?<=[.?!])\s+", words)


@pytest.mark.parametrize(("page", "limit"), WORDS.items(), ids=str)
def test_what_is_read_first_is_short(page: Path, limit: int) -> None:
    assert len(page.read_text(encoding="utf-8").split()) <= limit


@pytest.mark.parametrize("page", PLAIN, ids=named)
def test_sentences_are_short(page: Path) -> None:
    assert [each for each in sentences(page) if len(each.split()) > WORDS_OF_A_SENTENCE] == []


# Not in `make test`: a run on other clips has other numbers.
@pytest.mark.footage
@pytest.mark.parametrize("page", NUMBERED, ids=str)
def test_numbers_are_those_of_the_committed_run(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert renewed(text, times={}) == text, "run `make docs`"


@pytest.mark.footage
@pytest.mark.parametrize("page", [README, *DOCS], ids=named)
def test_files_for_devices_are_those_of_the_committed_run(page: Path) -> None:
    exported = {*typed_json.read(ROOT / "metrics/export.json", Exports).exports}
    shown = re.findall(r"\b\w+_(?:float32|float16|int8)\b", page.read_text(encoding="utf-8"))
    # A cascade's name holds those of its files.
    assert {each for each in shown if "_to_" not in each} <= exported
