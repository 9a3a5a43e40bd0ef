"""A stored classifier as an MLflow model, which loads where this project is not installed.

It holds the classifier's folder as DVC knows it and the few modules that run it.
"""

import ast
import functools
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import mlflow

from stemtune.core import files
from stemtune.core.input_specification import CLASSES_FILE

PACKAGE = Path(__file__).parent.parent
SERVED = "serving/pyfunc_model.py"
REQUIREMENTS = (
    "av",
    "keras",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pillow-heif",
    "pydantic",
    "ruamel.yaml",
)


def requirements() -> list[str]:
    """Returns what a logged model needs, in the versions installed here.

    Raises:
        KeyError, importlib.metadata.PackageNotFoundError: One is not installed.
    """
    # With or without a GPU TensorFlow has another name.
    tensorflow = set(metadata.packages_distributions()["tensorflow"])
    return [f"{name}=={metadata.version(name)}" for name in sorted({*REQUIREMENTS, *tensorflow})]


def save(folder: Path, path: Path, model: mlflow.models.Model | None = None) -> None:
    """Writes a stored classifier as an MLflow model.

    Args:
        folder: Where `classifier.save` stored it.
        path: A folder to be made.
        model: What MLflow already knows about it.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    classes = files.read_json(folder / CLASSES_FILE)
    # MLflow lets any array through such a signature, frames as well as clips, and a column of
    # clips; one of uint8 would keep clips out. The classifier itself checks what it is given.
    anything = Schema([TensorSpec(np.dtype(object), (-1,))])
    probabilities = Schema([ColSpec("float", name) for name in classes])
    with tempfile.TemporaryDirectory() as temporary, _quiet():
        package = Path(temporary) / PACKAGE.name
        for module in modules(PACKAGE):
            (package / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PACKAGE / module, package / module)
        mlflow.pyfunc.save_model(
            path,
            python_model=PACKAGE / SERVED,
            code_paths=[str(package)],
            artifacts={"classifier": str(folder.resolve(strict=True))},
            signature=ModelSignature(inputs=anything, outputs=probabilities),
            input_example=np.full((1, 4, 4, 3), 127, np.uint8),
            pip_requirements=requirements(),
            mlflow_model=model,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow from printing: what is worth knowing arrives as an exception."""
    log = logging.getLogger("mlflow")
    before = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(before)


@functools.cache
def modules(package: Path) -> list[str]:
    """Returns the modules that serve a classifier: pyfunc_model.py, and all that it imports."""
    waiting, found = [package / SERVED], set()
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imported(module, package)
    return sorted(path.relative_to(package).as_posix() for path in found)


def code() -> str:
    """Returns a name for the content of the modules that are logged."""
    return files.key(*[files.sha256(PACKAGE / module) for module in modules(PACKAGE)])


def _imported(module: Path, package: Path) -> list[Path]:
    """Returns the modules of the package that a module imports, and what makes them packages."""
    found = [module.with_name("__init__.py")]
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = [name.split(".")[1:] for name in names if name.split(".")[0] == package.name]
        found += [package.joinpath(*part).with_suffix(".py") for part in parts if part]
        found += [package.joinpath(*part, "__init__.py") for part in parts]
    return [path for path in found if path.exists()]
