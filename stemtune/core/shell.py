"""Variables of a user's shell that would change results although no setting changed."""

import os

# Keras, Keras Tuner, TensorFlow and what computes for it read these.
DECIDING = ("DNNL_", "KERAS_", "KERASTUNER_", "NVIDIA_TF32_OVERRIDE", "ONEDNN_", "TF_", "XLA_")
# They say where files and messages go, and how a GPU's memory is shared; or they are Terraform's.
HARMLESS = (
    "KERAS_HOME",
    "TF_CPP_",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    *("TF_CLI_", "TF_DATA_DIR", "TF_IN_AUTOMATION", "TF_INPUT", "TF_LOG", "TF_PLUGIN_", "TF_VAR_"),
)
# Read once NumPy is imported, too early to be changed, and needed on some machines: OpenBLAS takes
# the wrong kernels on processors that it does not know.
REMAINING = (
    *("BLIS_", "CUBLAS_", "CUDA_VISIBLE_DEVICES", "CUDNN_", "GOTO_", "KMP_", "MKL_", "NPY_"),
    *("OMP_", "OPENBLAS_", "VECLIB_"),
)


def forget() -> dict[str, str]:
    """Removes the deciding variables from this process's environment, and returns them."""
    names = [name for name in os.environ if name.startswith(DECIDING)]
    return {name: os.environ.pop(name) for name in names if not name.startswith(HARMLESS)}


def remaining() -> str:
    """Returns the variables that stay and can change last bits: `OMP_NUM_THREADS=1, …`."""
    found = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(REMAINING)]
    return ", ".join(sorted(found))
