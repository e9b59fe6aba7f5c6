"""Open an onnxruntime session as this product runs it: batch 1, one thread a call.

In: an ONNX file's bytes. Out: a session that any number of threads may call at once.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def open_session(content: bytes) -> Any:
    """Open an onnxruntime session for batch 1, one thread a call.

    One intra-op thread and several calling threads beat one call with several threads
    (87 against 61 photos/s). Without the arena memory follows what a photo needs; with it,
    every thread keeps its peak.
    """
    # Imported without this, onnxruntime 1.32 gives the machine an id (~/.cache/Microsoft), counts
    # sessions and sends the counts to its maker: here nothing leaves the machine.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    if _sums_may_overflow():
        options.add_session_config_entry("session.x64quantprecision", "1")
    # Weights in a file of their own would be taken from wherever one stands, unchecked.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    # Not even errors: they come as exceptions, and on stderr as well, in red.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _sums_may_overflow() -> bool:
    """Tell whether int8 products are added in 16 bits here: x86 without VNNI.

    Such a processor must take the exact way, so that every machine of a shared cache says the
    same; on others that way costs 42 ms instead of 21 for nothing. Where nothing tells, exact.
    """
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
