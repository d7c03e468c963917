"""Libraries beside this package report their use to their makers; here they are kept from it."""

import os
import sys

VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime, from 1.29 on
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub and transformers
    "GRADIO_ANALYTICS_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    "NNCF_CI": "1",
}
"""What each of them reads in the environment, once, when it is imported or started."""


def forbid_telemetry() -> None:
    """Before any of these libraries is imported; what the user's environment says stays."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    # OpenVINO and nncf do without the package that reports where that cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
