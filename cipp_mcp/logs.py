"""Log lines as JSON objects, one per line, each with the id of the call it belongs to."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from cipp_mcp.telemetry import log_context

if TYPE_CHECKING:
    from cipp_mcp.settings import Settings

_log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """``time``, ``level``, ``logger``, ``message``, the ids of call and trace, and what the record tells beside.

    Of an exception it keeps the type and the places in the code: its message may carry a tenant's data.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **log_context(),
            **getattr(record, "told", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            line["exception"] = record.exc_info[0].__name__
            line["stack"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=True, separators=(",", ":"), default=str)


def use_json_lines() -> None:
    """Makes the handlers of the root logger write JSON lines, and adds a line for every call."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
    logging.getLogger("cipp_mcp").setLevel(logging.INFO)


def announce(settings: Settings, text: str) -> None:
    """Tells the operator `text`, which is no warning, in the form of the log."""
    if settings.log_format == "json":
        _log.info(text)
    else:
        print(f"cipp-mcp: {text}", file=sys.stderr, flush=True)
