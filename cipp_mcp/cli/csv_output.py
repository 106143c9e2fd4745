"""A reply as CSV (RFC 4180) on stdout: every row of it, whole, and nothing else.

Cells that a spreadsheet would run: text from a tenant may begin like a formula (``=HYPERLINK(…)``, ``@SUM``, ``+cmd|…``),
and whoever opens the file would run it. Such a cell gets an apostrophe in front, by which spreadsheets know text. Numbers
stay numbers, and so does text that is nothing but a signed number, such as the phone numbers of Entra (+49 891234).
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from cipp_mcp.calls.reply import Reply
from cipp_mcp.clean import clean
from cipp_mcp.errors import Refused
from cipp_mcp.results.budget import compact
from cipp_mcp.results.whole import Whole, values

# The signs that begin a formula, and their full-width twins, which East Asian versions take for the same.
_ARMED = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_SIGNED_NUMBER = re.compile(r"[+-]\d[\d ]*([.,]\d+)?")


def print_csv(reply: Reply, fields: Sequence[str] | None, limit: int | None) -> None:
    """Prints the rows of `reply` on stdout: all of them, or the first `limit`; everything else goes to stderr.

    An answer that is an object is one row, one that has only messages a row for each; a call that did not succeed
    prints no row at all, so that no file looks like an answer.
    """
    messages = [str(message) for message in reply.body.get("messages", ())]
    whole = reply.whole
    if whole is None and reply.binary is not None:
        kind, content = reply.binary
        raise Refused(
            f"{reply.body['endpoint']} answers with a file ({kind}, {len(content)} bytes), which is no table."
        )
    if whole is None and reply.body["outcome"] == "ok":
        whole = Whole.of_data([{"message": message} for message in messages], reply.body.get("hint"))
    else:
        for message in messages:
            print(clean(message), file=sys.stderr)
    hint = whole.hint if whole is not None else reply.body.get("hint")
    if whole is not None and not reply.is_error:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # The line ends of RFC 4180 are written here; Windows would double their first half.
            sys.stdout.reconfigure(newline="")
        note = write_csv(sys.stdout, whole, fields, limit)
        sys.stdout.flush()
        print(note, file=sys.stderr)
    if hint:
        print(hint, file=sys.stderr)


def write_csv(stream: TextIO, whole: Whole, fields: Sequence[str] | None, limit: int | None) -> str:
    """Writes a header and the rows; says what was left out, if anything was."""
    names = whole.names()
    header = whole.header(fields, names)
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([cell(name) for name in header])
    count = 0
    for row in whole.rows(limit):
        writer.writerow([cell(value) for value in values(row, header)])
        count += 1
    said = f"{count} rows" if count == whole.total else f"{count} of {whole.total} rows, as --limit asks"
    hidden = not fields and len(names) > len(header)
    return f"{said}, {len(header)} of {len(names)} columns; --fields '*' writes all." if hidden else f"{said}."


def cell(value: Any) -> str:
    """`value` as the text of a cell: nothing for what is missing, JSON for objects, arrays and booleans."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return compact(value) if isinstance(value, dict | list) else json.dumps(value)
    if _ARMED.match(value) and not _SIGNED_NUMBER.fullmatch(value):
        return f"'{value}"
    return value
