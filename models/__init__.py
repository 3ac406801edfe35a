"""What is learned: the encoders, the taxonomy, the classifier and the language model's port."""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""onnxruntime 1.32 notes a number of this device and its events under the home folder and sends them to its maker unless
this is set before it is loaded; its ``disable_telemetry_events()`` comes too late for that."""
