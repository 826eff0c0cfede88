"""Log lines without words, and logs that cost no work."""

from __future__ import annotations

import io

import pytest

from ussd_engine.errors import BankUnavailable
from ussd_engine.logs import Unfailing, describe


class FullDisk(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError("no space left on device")

    def flush(self) -> None:
        raise OSError("no space left on device")


def test_a_full_disk_costs_the_line_and_nothing_else() -> None:
    """Whoever logs goes on as if the line had been written."""
    file = Unfailing(FullDisk())
    assert file.write("a line") == 0
    file.flush()


def test_a_closed_stream_costs_the_line_and_nothing_else() -> None:
    """The reader of a pipe may go before the service does."""
    stream = io.StringIO()
    stream.close()
    assert Unfailing(stream).write("a line") == 0


def test_an_exception_is_described_without_its_words() -> None:
    """Type, code, cause and places are logged; what the exception says may quote a subscriber."""

    def fails() -> None:
        try:
            int("+254711000001x")
        except ValueError as error:
            raise BankUnavailable("Jane Sample") from error

    with pytest.raises(BankUnavailable) as caught:
        fails()
    found = describe(caught.value)
    assert (found["error"], found["code"], found["cause"]) == (
        "BankUnavailable",
        "cbs_unavailable",
        "ValueError",
    )
    assert found["at"][-1].startswith("test_logs.py:")
    assert "Jane" not in str(found)
    assert "711000001" not in str(found)
