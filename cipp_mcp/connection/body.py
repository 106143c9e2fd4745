"""Reads the body of an HTTP answer within bounds: its size after decompression is checked before it is made."""

from __future__ import annotations

import io
import zlib

ACCEPTED = "gzip, deflate"
_STEP = 4 * 1024 * 1024


class BodyError(Exception):
    """The body cannot be had: broken compression, or too large. Its text names which."""


class TooLarge(BodyError):
    """The body is larger than the limit."""


class Body:
    """Collects a body piece by piece.

    `encoding` is the Content-Encoding header, `limit` the most bytes it may have when decompressed. BodyError for an
    encoding that was not asked for.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BodyError(f"it is encoded as {self._encoding[:20]!r}, which was not asked for")
        self._limit = limit
        self._file = io.BytesIO()
        self._inflate = None if self._encoding in ("", "identity") else zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begun = False
        self.size = 0

    def feed(self, piece: bytes) -> None:
        """Adds bytes as they came over the wire.

        Raises TooLarge, or BodyError when they cannot be decompressed.
        """
        if self._inflate is None:
            self._add(piece)
            return
        try:
            self._decompress(piece)
        except zlib.error:
            raise BodyError(f"it is not the {self._encoding} that it claims to be") from None

    def content(self) -> bytes:
        """All of it.

        Raises BodyError when the compressed data ended too early.
        """
        if self._inflate is not None and self._begun and not self._inflate.eof:
            raise BodyError("its compressed data ended too early")
        return self._file.getvalue()

    def _decompress(self, piece: bytes) -> None:
        assert self._inflate is not None
        while piece:
            if self._inflate.eof:
                # A gzip file may have several members; what follows the last one is padding.
                if not piece.startswith(b"\x1f\x8b"):
                    return
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                out = self._inflate.decompress(piece, _STEP)
            except zlib.error:
                if self._begun or self._encoding != "deflate":
                    raise
                # Some servers send "deflate" without the zlib frame that RFC 9110 §8.4.1.2 asks for.
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
                out = self._inflate.decompress(piece, _STEP)
            self._begun = True
            self._add(out)
            piece = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail

    def _add(self, out: bytes) -> None:
        self.size += len(out)
        if self.size > self._limit:
            raise TooLarge(f"it is larger than {self._limit // 1024**2} MB")
        self._file.write(out)
