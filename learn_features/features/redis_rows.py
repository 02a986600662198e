"""Rows in Redis (6.2 or newer): one hash a row, one Lua script a write, one round trip a batch.

The client sends commands again when a connection breaks. Every script may therefore run twice: a
`replace_rows` or `compare_and_set_fields` that finds exactly what it was to write reports success.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from learn_features.errors import ConfigError, StoreUnavailable
from learn_features.features.row_store import CellPut, RowWrite

_SCAN_PAGE = 1000
_REFUSES_NOW = re.compile(r"\b(MISCONF|NOREPLICAS|MASTERDOWN|READONLY|OOM|LOADING|BUSY)\b")
"""Codes of answers that pass: the server is there, but takes no commands. In scripts they stand within."""

_REPLACE = """
local key, sets = KEYS[1], tonumber(ARGV[2])
local first_delete = 3 + 2 * sets
if (redis.call('HGET', key, 'as_of') or '') ~= ARGV[1] then
  for i = 3, first_delete - 1, 2 do
    if redis.call('HGET', key, ARGV[i]) ~= ARGV[i + 1] then return 0 end
  end
  for i = first_delete, #ARGV do
    if redis.call('HEXISTS', key, ARGV[i]) == 1 then return 0 end
  end
  return 1
end
if sets > 0 then redis.call('HSET', key, unpack(ARGV, 3, first_delete - 1)) end
if #ARGV >= first_delete then redis.call('HDEL', key, unpack(ARGV, first_delete)) end
return 1
"""

# Strings compare by the server's locale in Lua, so revisions are compared as 32-bit numbers.
_PUT_NEWER = """
local key = KEYS[1]
local function newer(a, b, words)
  for i = 1, 4 * words, 4 do
    local x, y = struct.unpack('>I4', a, i), struct.unpack('>I4', b, i)
    if x ~= y then return x > y end
  end
  return false
end
local forgotten, as_of = redis.call('HGET', key, 'forgotten_at'), redis.call('HGET', key, 'as_of')
local raised, taken = false, {}
for i = 1, #ARGV, 2 do
  local cell = ARGV[i + 1]
  if not forgotten or newer(cell, forgotten, 2) then
    local stored = redis.call('HGET', key, ARGV[i])
    if not stored or newer(cell, stored, 4) then
      taken[#taken + 1] = ARGV[i]
      taken[#taken + 1] = cell
      if not as_of or newer(cell, as_of, 2) then
        as_of = string.sub(cell, 1, 8)
        raised = true
      end
    end
  end
end
if #taken == 0 then return 0 end
if raised then
  taken[#taken + 1] = 'as_of'
  taken[#taken + 1] = as_of
end
redis.call('HSET', key, unpack(taken))
return 1
"""

_COMPARE_AND_SET = """
local key, checks = KEYS[1], tonumber(ARGV[1])
local first_new, agreed = 2 + 3 * checks, true
for i = 2, first_new - 1, 3 do
  local stored = redis.call('HGET', key, ARGV[i])
  if ARGV[i + 1] == '1' then
    agreed = agreed and stored == ARGV[i + 2]
  else
    agreed = agreed and not stored
  end
end
if not agreed then
  for i = first_new, #ARGV, 2 do
    if redis.call('HGET', key, ARGV[i]) ~= ARGV[i + 1] then return 0 end
  end
  return 1
end
redis.call('HSET', key, unpack(ARGV, first_new))
return 1
"""


class RedisRowStore:
    """Rows of `project` in the Redis at `url` (`redis://…`, `rediss://…`, `unix://…`); see `RowStore`."""

    def __init__(self, url: str, project: str, timeout_seconds: float = 10.0) -> None:
        import redis

        self._prefix = project.encode() + b":"
        self._shown = url.rsplit("@", 1)[-1]
        try:
            self._client: redis.Redis = redis.Redis.from_url(
                url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds
            )
        except ValueError as error:
            raise ConfigError(f"online store {self._shown}: not a Redis URL: {error}") from None

    def read_rows(self, keys: Sequence[bytes]) -> list[dict[str, bytes]]:
        answers = self._pipelined([("HGETALL", self._prefix + key) for key in keys])
        return [{field.decode(): value for field, value in answer.items()} for answer in answers]

    def read_fields(self, keys: Sequence[bytes], fields: Sequence[str]) -> list[list[bytes | None]]:
        if not fields:
            return [[] for _ in keys]
        return self._pipelined([("HMGET", self._prefix + key, *fields) for key in keys])

    def replace_rows(self, writes: Sequence[RowWrite]) -> list[bool]:
        calls = []
        for write in writes:
            sets = [part for item in write.fields.items() if item[1] is not None for part in item]
            deletes = [field for field, value in write.fields.items() if value is None]
            calls.append((write.key, [write.expected_as_of or b"", len(sets) // 2, *sets, *deletes]))
        return self._scripted(_REPLACE, calls)

    def put_newer(self, puts: Sequence[CellPut]) -> list[bool]:
        calls = [(put.key, [part for item in put.cells.items() for part in item]) for put in puts]
        return self._scripted(_PUT_NEWER, calls)

    def scan_keys(self, prefix: bytes) -> Iterator[bytes]:
        for page in self._scan(prefix):
            yield from page

    def drop_field(self, prefix: bytes, field: str) -> int:
        return sum(
            sum(self._pipelined([("HDEL", self._prefix + key, field) for key in page]))
            for page in self._scan(prefix)
        )

    def compare_and_set_fields(
        self, key: bytes, expected: Mapping[str, bytes | None], new: Mapping[str, bytes]
    ) -> bool:
        checks = [part for f, v in expected.items() for part in (f, "0" if v is None else "1", v or b"")]
        sets = [part for item in new.items() for part in item]
        return self._scripted(_COMPARE_AND_SET, [(key, [len(expected), *checks, *sets])])[0]

    def close(self) -> None:
        self._client.close()

    def _scan(self, prefix: bytes) -> Iterator[list[bytes]]:
        pattern = b"".join(
            b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in self._prefix + prefix
        )
        cursor, seen = 0, set[bytes]()
        while True:
            with self._translated():
                cursor, found = self._client.scan(cursor, match=pattern + b"*", count=_SCAN_PAGE)  # type: ignore[misc]
            page = [key[len(self._prefix) :] for key in dict.fromkeys(found) if key not in seen]
            seen.update(found)
            yield page
            if cursor == 0:
                return

    def _scripted(self, script: str, calls: Sequence[tuple[bytes, list[Any]]]) -> list[bool]:
        from redis.exceptions import NoScriptError

        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        commands = [("EVALSHA", digest, 1, self._prefix + key, *arguments) for key, arguments in calls]
        answers = self._pipelined(commands, tolerated=NoScriptError)
        missing = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:
            again = self._pipelined([("SCRIPT LOAD", script), *(commands[place] for place in missing)])
            for place, answer in zip(missing, again[1:], strict=True):
                answers[place] = answer
        return [bool(answer) for answer in answers]

    def _pipelined(
        self, commands: Sequence[tuple[Any, ...]], tolerated: type[Exception] | tuple[()] = ()
    ) -> list[Any]:
        if not commands:
            return []
        with self._translated(), self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception) and not isinstance(answer, tolerated):
                    raise answer
            return answers

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import redis.exceptions as problems

        try:
            yield
        except (
            problems.ConnectionError,
            problems.TimeoutError,
            problems.ReadOnlyError,
            problems.OutOfMemoryError,
            problems.TryAgainError,
            problems.ClusterDownError,
        ) as error:
            raise self._unavailable(error) from error
        except problems.ResponseError as error:
            if _REFUSES_NOW.search(str(error)) is None:
                raise
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"online store Redis at {self._shown}: {error}; check that it runs and accepts writes"
        )
