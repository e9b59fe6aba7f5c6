"""The examples in `configs/` that other programs read: cron, systemd, launchd."""

from __future__ import annotations

import hashlib
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support import tiny_onnx
from tests.support.command import Home, installed_command
from tests.support.photos import make_tree
from tests.support.tiny_onnx import Node

CONFIGS = Path(__file__).parents[2] / "configs"
UNITS = ["xintu.service", "xintu.timer"]


def test_systemd_accepts_the_service_and_its_timer(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: this is no systemd machine")
    command = tmp_path / ".local" / "bin" / "xintu"
    command.parent.mkdir(parents=True)
    command.symlink_to(installed_command()[0])
    verified = subprocess.run(
        [program, "verify", "--user", "--man=no", *(CONFIGS / "systemd" / unit for unit in UNITS)],
        env={"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_launchd_file_is_a_property_list_that_runs_the_command() -> None:
    content = (CONFIGS / "launchd" / "local.xintu.classify.plist").read_bytes()
    job = plistlib.loads(content)
    assert job["Label"] == "local.xintu.classify"
    assert [Path(word).name for word in job["ProgramArguments"]] == [
        *("xintu", "classify", "-q", "Pictures"),
    ]


def test_the_crontab_line_does_what_it_says(home: Home) -> None:
    """Runs the line's command as cron does: /bin/sh, hardly any environment, no terminal."""
    text = (CONFIGS / "cron" / "crontab").read_text(encoding="utf-8")
    [line] = re.findall(r"^[\d*]+ [\d*]+ \S+ \S+ \S+ +(.+)$", text, re.MULTILINE)
    command = home.path / ".local" / "bin" / "xintu"
    command.parent.mkdir(parents=True)
    command.symlink_to(installed_command()[0])
    make_tree(home.path / "Pictures", 3)
    cron = {"HOME": str(home.path), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "you"}
    finished = subprocess.run(
        ["/bin/sh", "-c", line], env=cron, capture_output=True, text=True, check=False
    )
    # Nothing said is no mail sent.
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_the_example_of_a_shared_cache_is_a_configuration(home: Home) -> None:
    example = CONFIGS / "example-mysql.toml"
    shown = home.run("config", "show", "--json", "--config", example)
    assert shown.exit_code == 0, shown
    assert shown.json()["cache"]["value"].startswith("mysql://xintu@db.lan")


def test_the_example_of_a_manifest_describes_a_model(home: Home) -> None:
    """Every key of it is one; what is commented out as well."""
    content = tiny_onnx.model(
        [
            Node("ReduceMean", ["input"], "features", {"axes": [2, 3], "keepdims": 0}),
            Node("MatMul", ["features", "weight"], "output"),
        ],
        weights={"weight": np.eye(3, 5, dtype=np.float32)},
        inputs={"input": ("float32", ("batch", 3, 224, 224))},
        outputs={"output": ("batch", 5), "features": ("batch", 3)},
    )
    text = (CONFIGS / "example-model.toml").read_text(encoding="utf-8")
    told = text.replace("0" * 64, hashlib.sha256(content).hexdigest())
    everything = re.sub(r"^# (?=\[|[a-z_]+ = )(?!labels_file)", "", told, flags=re.MULTILINE)
    assert "\n[barcode]" in everything
    assert "\nembedding = " in everything
    for name, manifest in (("told", told), ("everything", everything)):
        directory = home.path / name
        directory.mkdir()
        (directory / "model.onnx").write_bytes(content)
        (directory / "model.toml").write_text(manifest, encoding="utf-8")
        finished = home.run("models", "verify", directory)
        assert finished.exit_code == 0, finished
