"""State in Redis, for any number of instances behind a load balancer.

Keys are ``cipp-mcp:1:{…}:kind:…``: the part in braces is derived from CIPP_STATE_KEY and the deployment, so that
servers with other keys cannot meet, and keeps all keys of a server in one slot of a Redis cluster. Names of callers,
tenants and handles go in as keyed digests only.

While Redis cannot be reached every instance stands alone: it keeps its own limits and rates, caches nothing, and
whatever must not happen twice is refused (StateLost).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import string
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cipp_mcp.state.state import MINUTE, ProcessState, StateLost

_log = logging.getLogger(__name__)
T = TypeVar("T")
_PATIENCE = 2.0
_PAUSE = 1.0
"""After a failure nothing is asked of Redis for so long: every call would wait for the same time-out."""

_SIGN_OF_LIFE = 10.0
_LEASE = 30.0
"""How long an instance that died holds its places."""

_TEND_EVERY = 3.0
_REVOKED_FOR = 1.0
_CHANGES_KEPT = 24 * 3600
_TAG_LETTERS = 5

# Redis' own clock counts, since those of the instances may differ.
_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000);"
_TURN = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(1, first[2] + ARGV[2] - now)
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
"""
)
_PLACE = (
    _NOW
    + """
local past, till = string.format('%.0f', now), string.format('%.0f', now + ARGV[4])
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', past)
  if redis.call('ZSCORE', key, ARGV[1]) == false and redis.call('ZCARD', key) >= tonumber(ARGV[1 + i]) then
    return 0
  end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, till, ARGV[1])
  redis.call('PEXPIRE', key, ARGV[4] * 2)
end
return 1
"""
)
# Only what is still held: a place that was given back a moment ago must not come to life again.
_RENEW = (
    _NOW
    + """
for _, key in ipairs(KEYS) do
  if redis.call('ZSCORE', key, ARGV[1]) then
    redis.call('ZADD', key, string.format('%.0f', now + ARGV[2]), ARGV[1])
    redis.call('PEXPIRE', key, ARGV[2] * 2)
  end
end
"""
)


class RedisState:
    """The state of one instance among several. For one event loop."""

    def __init__(self, url: str, key: str, *, deployment: str) -> None:
        self.tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(_TAG_LETTERS))
        self._key = hashlib.sha256(b"cipp-mcp state " + key.encode()).digest()
        self._prefix = f"cipp-mcp:1:{{{self._digest('deployment', deployment)[:12]}}}"
        bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
        tls: dict[str, Any] = {"ssl_ca_certs": bundle} if bundle and url.startswith("rediss:") else {}
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            # A connection that was closed while it was idle is opened anew; every script and command bears repeating.
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[RedisConnectionError],
            max_connections=256,
            **tls,
        )
        self._turn = self._redis.register_script(_TURN)
        self._place = self._redis.register_script(_PLACE)
        self._again = self._redis.register_script(_RENEW)
        self._alone = ProcessState()
        self._held: dict[str, str] = {}
        self._revoked: frozenset[str] | None = None
        self._revoked_at = 0.0
        self._lost_until = 0.0
        self._is_lost = False

    @property
    def is_ready(self) -> bool:
        return self._revoked is not None

    async def run(self) -> None:
        while True:
            try:
                await self._do(lambda: self._redis.set(self._name("instance", self.tag), 1, ex=int(_SIGN_OF_LIFE)))
                await self._renew()
                await self.revoked()
            except StateLost:
                pass
            await anyio.sleep(_TEND_EVERY)

    async def _renew(self) -> None:
        for place, tenant in list(self._held.items()):
            renewal = partial(self._again, keys=self._places(tenant), args=[place, int(_LEASE * 1000)])
            await self._do(renewal)

    async def use_once(self, name: str, seconds: float) -> bool:
        key, life = self._name("used", name), max(1, round(seconds * 1000))
        return bool(await self._do(lambda: self._redis.set(key, 1, nx=True, px=life)))

    async def wait_for_turn(self, caller: str, per_minute: int) -> float:
        key, window, mark = self._name("turns", caller), int(MINUTE * 1000), secrets.token_hex(8)
        try:
            left = await self._do(lambda: self._turn(keys=[key], args=[per_minute, window, mark]))
        except StateLost:
            return await self._alone.wait_for_turn(caller, per_minute)
        return float(left) / 1000

    async def take_place(self, tenant: str, most: int, most_per_tenant: int) -> str | None:
        place = secrets.token_hex(8)
        self._held[place] = tenant  # before it is asked for, so that it is given back whatever happens
        try:
            arguments: list[str | int] = [place, most, most_per_tenant, int(_LEASE * 1000)]
            taken = await self._do(lambda: self._place(keys=self._places(tenant), args=arguments))
        except StateLost:
            taken = 1
        except BaseException:
            await self.give_back(place, tenant)
            raise
        if taken:
            return place
        del self._held[place]
        return None

    def _places(self, tenant: str) -> list[str]:
        return [self._name("places")] + ([self._name("places", tenant.lower())] if tenant else [])

    async def give_back(self, place: str, tenant: str) -> None:
        if self._held.pop(place, None) is None:
            return

        async def remove() -> None:
            for key in self._places(tenant):
                await self._redis.zrem(key, place)

        with anyio.CancelScope(shield=True):
            try:
                await self._do(remove)
            except StateLost:
                _log.debug("a place is left to its lease")

    async def changes(self, caller: str) -> int | None:
        try:
            return int(await self._do(lambda: self._redis.get(self._name("changes", caller))) or 0)
        except StateLost:
            return None

    async def changed(self, caller: str) -> None:
        key = self._name("changes", caller)

        async def count() -> None:
            await self._redis.incr(key)
            await self._redis.expire(key, _CHANGES_KEPT)

        try:
            await self._do(count)
        except StateLost:
            _log.warning("other instances could not be told of a change; what they have cached may be older")

    async def revoked(self) -> frozenset[str]:
        now = time.monotonic()
        if self._revoked is not None and now - self._revoked_at < _REVOKED_FOR:
            return self._revoked
        try:
            members: Any = await self._do(lambda: self._redis.smembers(self._name("revoked")))
        except StateLost:
            if self._revoked is None:
                raise
            return self._revoked  # as last known
        self._revoked = frozenset(member.decode("utf-8", "replace") for member in members)
        self._revoked_at = now
        return self._revoked

    async def revoke(self, caller: str, revoked: bool) -> None:
        change: Callable[..., Any] = self._redis.sadd if revoked else self._redis.srem
        await self._do(lambda: change(self._name("revoked"), caller))

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        await self._do(lambda: self._redis.set(self._name("kept", name), value, ex=max(1, int(seconds))))

    async def get(self, name: str) -> bytes | None:
        found: Any = await self._do(lambda: self._redis.get(self._name("kept", name)))
        return found if isinstance(found, bytes) else None

    async def is_alive(self, tag: str) -> bool:
        return bool(await self._do(lambda: self._redis.exists(self._name("instance", tag))))

    async def close(self) -> None:
        with anyio.move_on_after(_PATIENCE, shield=True):
            await self._redis.aclose()

    async def _do(self, operation: Callable[[], Awaitable[T]]) -> T:
        """What `operation` returns. Raises StateLost, and for a while at once, when Redis does not answer."""
        if time.monotonic() < self._lost_until:
            raise StateLost
        try:
            with anyio.fail_after(_PATIENCE * 2):
                result = await operation()
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._lost_until = time.monotonic() + _PAUSE
            if not self._is_lost:
                _log.warning("Redis (CIPP_STATE_URL) cannot be reached: %s", type(error).__name__)
            self._is_lost = True
            raise StateLost from None
        if self._is_lost:
            self._is_lost = False
            _log.warning("Redis is reached again")
        return result

    def _name(self, kind: str, *parts: str) -> str:
        return ":".join((self._prefix, kind, *(self._digest(kind, part) for part in parts)))

    def _digest(self, kind: str, text: str) -> str:
        return hmac.new(self._key, f"{kind}\0{text}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
