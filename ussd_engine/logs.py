"""Logs for operators: one event a line, and nothing personal in any of them.

An exception's words can quote what it choked on, a phone number or a PIN. So of an exception only the type, our
own code and the places are logged, and of another library's message only its template, without what was filled
in.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TextIO, cast

import structlog

from ussd_engine.errors import UssdError

Format = Literal["auto", "json", "console"]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
MAX_PLACES = 12
"""Innermost places of a traceback that are logged: more of them say no more."""


def configure(level: str, form: Format) -> None:
    """Set the process's logging up, on stderr: `auto` is readable lines on a terminal and JSON elsewhere."""
    readable = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_words,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(_LEVELS[level], logging.WARNING))


class Unfailing:
    """Where log lines go. A full disk or a reader that has gone costs the lines, never the work that they tell of."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._file.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def describe(error: BaseException) -> dict[str, Any]:
    """Type, code and places of an exception, innermost last; its words stay out."""
    found: dict[str, Any] = {"error": type(error).__name__, "at": places(error.__traceback__)}
    if isinstance(error, UssdError):
        found["code"] = error.code
    if error.__cause__ is not None:
        found["cause"] = type(error.__cause__).__name__
    return found


def places(traceback: TracebackType | None) -> list[str]:
    found: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        found.append(f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return found[-MAX_PLACES:]


def _without_words(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event.update(describe(error))
    return event


class _Forward(logging.Handler):
    """Other libraries' warnings, by logger and template."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno,
            "library_message",
            logger=record.name,
            message=str(record.msg),
            exc_info=record.exc_info,
        )
