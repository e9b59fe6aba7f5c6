"""Which claims that ran out are left to their runs, as one table."""

from __future__ import annotations

import pytest

from xintu_cli.storage.verbs.absences import RunOut, is_cut_off, saw_none, to_return_until

LEASE = 180.0
BACK = "2026-05-04 12:00:00.000"
"""When the database came back."""
SOON = "2026-05-04 12:10:00.000"


@pytest.mark.parametrize(
    ("why", "begun_at", "expires_at", "now", "back_at", "left"),
    [
        ("cut off by the absence", "11:30:00", "11:58:00", SOON, BACK, True),
        ("and it ends after it", "11:30:00", "12:01:00", SOON, BACK, True),
        ("renewed to the last moment", "11:30:00", "12:02:59", SOON, BACK, True),
        ("renewed since", "11:30:00", "12:03:00", SOON, BACK, False),
        ("begun since", "12:00:00", "12:02:00", SOON, BACK, False),
        ("nobody knows when it began", None, "11:58:00", SOON, BACK, True),
        ("it has not been away", "11:30:00", "11:58:00", SOON, "", False),
        ("a day has nearly passed", "11:30:00", "11:58:00", "2026-05-05 11:59:59.999", BACK, True),
        ("a day has passed", "11:30:00", "11:58:00", "2026-05-05 12:00:00.000", BACK, False),
        ("away over a weekend", "2026-05-01 20:00:00.000", "2026-05-01 20:05:00.000",
         SOON, BACK, True),
        ("a server that is restarted nightly", "2026-04-27 11:00:00.000",
         "2026-04-27 12:00:00.000", SOON, BACK, False),
        ("somebody else wrote it", "", "yesterday", SOON, BACK, False),
    ],
)  # fmt: skip
def test_a_claim_is_left_to_its_run_if_an_absence_of_the_database_cut_it_off(
    why: str, begun_at: str | None, expires_at: str, now: str, back_at: str, left: bool
) -> None:
    def dated(time: str) -> str:
        return f"2026-05-04 {time}.000" if len(time) == 8 and ":" in time else time

    begun = None if begun_at is None else dated(begun_at)
    claim = RunOut("0" * 32, "anna", dated(expires_at), begun)
    verdict = is_cut_off(claim, now=now, back_at=back_at, lease_seconds=LEASE)
    assert verdict is left, why


def test_a_machine_has_a_day_to_return() -> None:
    assert to_return_until(BACK) == "2026-05-05 12:00:00.000"


def test_who_saw_no_absence_says_so() -> None:
    assert saw_none(SOON) == ""
