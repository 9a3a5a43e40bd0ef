"""Where work runs is chosen by environment or file, and a wrong choice is refused in words."""

from pathlib import Path

import pytest

from stemtune.core.errors import InputError
from stemtune.engine import choice
from stemtune.engine.choice import Choice
from stemtune.engine.engine import Local, split
from stemtune.engine.ray_engine import RayEngine


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in (choice.ENGINE_VARIABLE, choice.ADDRESS_VARIABLE, "DVC_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_the_environment_goes_before_the_file_and_both_may_be_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choice.read() == Choice(engine="local", address="")
    assert isinstance(choice.choose(2), Local)
    (folder / choice.FILE).write_text("engine: ray\naddress: 10.0.0.5:6379\n")
    assert choice.read() == Choice(engine="ray", address="10.0.0.5:6379")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    engine = choice.choose(2)
    assert isinstance(engine, RayEngine)
    assert engine.address == "auto"
    monkeypatch.setenv("STEMTUNE_ENGINE", "local")
    assert isinstance(choice.choose(2), Local)


def test_a_choice_in_an_experiment_s_copy_is_that_of_the_project(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / choice.FILE).write_text("engine: ray\n")
    copy = folder / ".dvc/tmp/exps/tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setattr(choice.dvc, "git", lambda *_: "")
    assert choice.read().engine == "ray"


@pytest.mark.parametrize(
    ("variables", "content", "said"),
    [
        ({"STEMTUNE_ENGINE": "dask"}, "", "STEMTUNE_ENGINE is not accepted:\n  engine: Input"),
        ({}, "engine: rays", "engine: Input should be 'local' or 'ray' (found 'rays')"),
        ({}, "adress: x", ".stemtune.yaml is not accepted:\n  adress: unknown setting; check its"),
        ({}, "address: 5", "address: Input should be a valid string (found 5)"),
        ({}, "workers: 0", "workers: Input should be greater than or equal to 1 (found 0)"),
        ({}, "ray", "must have lines such as `engine: ray`; got 'ray'"),
        (
            {"RAY_ADDRESS": "ray://head:10001"},
            "",
            "RAY_ADDRESS is not accepted:\n  address: is no address",
        ),
    ],
)
def test_a_wrong_choice_is_refused_with_what_is_allowed(
    variables: dict[str, str],
    content: str,
    said: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / choice.FILE).write_text(content)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as error:
        choice.read()
    assert said in str(error.value)


def test_chunks_are_as_large_as_asked_where_they_are_spread() -> None:
    spread = RayEngine("", 1, None)
    assert split(spread, [1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert split(Local(2), [1, 2, 3], 2) == [[1, 2, 3]]
    assert split(spread, [], 2) == split(Local(2), [], 2) == []
