"""What `xintu doctor` does around the job: what to look at, how to say it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from xintu_cli.bootstrap import prepare_patient
from xintu_cli.cli.consenting import heeding_consent
from xintu_cli.cli.session import language_of_locale, open_session
from xintu_cli.errors import ConfigurationError, StorageError
from xintu_cli.jobs.doctor import Patient, examine
from xintu_cli.jobs.findings import Finding, Verdict, broken, exit_code_of
from xintu_cli.jobs.surroundings import Terminal
from xintu_cli.reporting.doctor_phrases import PARTS, VERDICTS, Mend
from xintu_cli.reporting.escape import display_text, json_text
from xintu_cli.reporting.layout import QUIET_STYLE, open_console
from xintu_cli.reporting.phrases import speaker

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.BROKEN: "red"}
_PART_CELLS = 12
_VERDICT_CELLS = 8


def examine_installation(flags: Mapping[str, Any], config: Path | None, *, as_json: bool) -> int:
    """Print the findings as they come; return the exit code."""
    findings: list[Finding] = []
    console = open_console(sys.stdout)
    language = language_of_locale(os.environ)

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            _print(finding, console, language)

    async def look(patient: Patient) -> None:
        # Closed here, in the loop's lifetime: stdout may fail while the cache is open.
        async with aclosing(examine(patient)) as found:
            async for finding in found:
                tell(finding)

    try:
        session = heeding_consent(open_session(flags, config))
    except (ConfigurationError, StorageError) as error:
        tell(broken("settings", error, speaker(language)(Mend.OWN_FILE)))
    else:
        language, files = session.language, session.configuration.files
        say = speaker(language)
        anyio.run(look, prepare_patient(session.workspace, files, _terminal(), say))
    code = int(exit_code_of(findings))
    if as_json:
        sys.stdout.write(json_text(_document(findings, code), indent=2) + "\n")
    return code


def _print(finding: Finding, console: Console, language: str) -> None:
    verdict, part = _headings(finding, language)
    line = Text(f"{set_cell_size(verdict, _VERDICT_CELLS)} ", _STYLES[finding.verdict])
    line.append(part + " " * (max(0, _PART_CELLS - cell_len(part)) + 1), "default")
    line.append(display_text(finding.said), "default")
    # The terminal wraps: a command that is folded here could not be copied.
    console.print(line, soft_wrap=True)
    if finding.mend:
        console.print(
            Text(" " * 9 + "→ ").append(display_text(finding.mend), QUIET_STYLE), soft_wrap=True
        )


def _headings(finding: Finding, language: str) -> tuple[str, str]:
    """Return verdict and part as they are shown; a provider's part ends in its name."""
    if language != "zh":
        return finding.verdict, finding.part
    kind, space, name = finding.part.partition(" ")
    return VERDICTS[finding.verdict], PARTS.get(kind, kind) + space + name


def _document(findings: list[Finding], code: int) -> dict[str, Any]:
    return {
        "exit_code": code,
        "findings": [
            {
                "part": finding.part,
                "verdict": finding.verdict.value,
                "said": finding.said,
                "mend": finding.mend,
            }
            for finding in findings
        ],
    }


def _terminal() -> Terminal:
    stream = sys.stderr
    usable = stream is not None and not stream.closed
    return Terminal(
        is_terminal=usable and stream.isatty(),
        encoding=(stream.encoding or "utf-8") if usable else "utf-8",
        columns=shutil.get_terminal_size().columns,
        kind=os.environ.get("TERM", ""),
    )
