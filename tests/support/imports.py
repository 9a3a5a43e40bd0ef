"""Which of the project's modules a module needs."""

import ast
from pathlib import Path

from tests.support.project import ROOT


def imported(module: Path) -> set[Path]:
    """Returns the project's modules that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package = ROOT / node.module.replace(".", "/")
            candidates = [package, *(package / alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            candidates = [ROOT / alias.name.replace(".", "/") for alias in node.names]
        else:
            continue
        found |= {
            path.with_suffix(".py") for path in candidates if path.with_suffix(".py").exists()
        }
    return found


def reached(module: Path) -> set[str]:
    """Returns the paths of a module and of all that it imports, directly or through others."""
    waiting, seen = [module], set()
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += imported(current)
    return {path.relative_to(ROOT).as_posix() for path in seen}
