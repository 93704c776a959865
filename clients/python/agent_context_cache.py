"""Client of a served Agent Context Cache. One file; needs Python 3.9 or later and nothing else.

    from agent_context_cache import Cache
    cache = Cache("./agent-memory")              # or Cache("http://127.0.0.1:7400", token="...")
    cache.set("plan", ["search", "book"], "trip", agent="planner")

The directory or URL must be served: by `context-cache serve`, `startServer` or a process that shares the directory.
"""

import http.client
import json
import os
import socket
import ssl
import time
from typing import Any, Callable, Dict, Iterator, List, Optional
from urllib.parse import urlencode, urlsplit

__all__ = ["Cache", "CacheError", "Unreachable", "VersionConflict"]


class CacheError(Exception):
    """An error of the cache. `code` is stable and meant for programs; `details` has the other fields of the answer."""

    def __init__(self, code: str, message: str, details: Optional[Dict[str, Any]] = None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}


class VersionConflict(CacheError):
    """A write whose condition did not hold. `current` is the present entry; None: the key is missing."""

    @property
    def current(self) -> Optional[Dict[str, Any]]:
        return self.details.get("current")


class Unreachable(CacheError):
    """The server cannot be reached, or the connection was lost before the answer: a write may have taken effect."""


def _error(fields: Dict[str, Any]) -> CacheError:
    code = fields.get("code", "INTERNAL")
    kind = VersionConflict if code == "VERSION_CONFLICT" else CacheError
    return kind(code, fields.get("message", ""), fields)


class Cache:
    """A served cache. Each request has a connection of its own, so that threads may share a Cache.

    `target` is a data directory, whose serve.json has address and token, or a URL, with its token. A directory is looked up
    with each request, because another process may take over a shared one. `context` is for https.
    """

    def __init__(
        self,
        target: str,
        token: Optional[str] = None,
        timeout: float = 30.0,
        context: Optional[ssl.SSLContext] = None,
    ):
        self._target = os.fspath(target)
        self._is_url = self._target.startswith(("http://", "https://"))
        if self._is_url and token is None:
            raise CacheError("INVALID_OPTION", "A URL needs the token of the server: Cache(url, token=...).")
        self._token = token
        self._timeout = timeout
        self._context = context

    def get(self, key: str, namespace: str = "default", default: Any = None) -> Any:
        """Returns the value; `default` if the key is missing."""
        answer = self._command("context.get", key=key, namespace=namespace)
        return default if answer.get("found") is False else answer["ok"]

    def entry(self, key: str, namespace: str = "default") -> Optional[Dict[str, Any]]:
        """Returns the value with its version, instants and agent; None if the key is missing."""
        answer = self._command("context.entry", key=key, namespace=namespace)
        return None if answer.get("found") is False else answer["ok"]

    def set(self, key: str, value: Any, namespace: str = "default", **options: Any) -> Dict[str, Any]:
        """Stores a value. Options: ttl, expiresAt, ifVersion, ifAbsent, ifPresent, ifDifferent, agent, meta, operationId, basis."""
        return self._command("context.set", key=key, value=value, namespace=namespace, **options)["ok"]

    def delete(self, key: str, namespace: str = "default", **options: Any) -> Dict[str, Any]:
        """Removes a key. Options: ifVersion, ifPresent, agent, meta, operationId, basis."""
        return self._command("context.delete", key=key, namespace=namespace, **options)["ok"]

    def update(
        self, key: str, change: Callable[[Any], Any], namespace: str = "default", **options: Any
    ) -> Dict[str, Any]:
        """Reads, changes and writes a value atomically. `change` gets the value (None if the key is missing) and returns
        the new one. It is called again if another writer has changed the entry meanwhile."""
        entry = self.entry(key, namespace)
        while True:
            value = change(None if entry is None else entry["value"])
            version = 0 if entry is None else entry["version"]
            try:
                return self.set(key, value, namespace, **{**options, "ifVersion": version})
            except VersionConflict as conflict:
                entry = conflict.current

    def keys(self, namespace: str = "default", **options: Any) -> List[str]:
        """Returns the keys in order. Options: prefix, from (as {"from": ...}), to, after, reverse, limit."""
        return list(self._lines("/v1/keys", {"namespace": namespace, **options}))

    def namespaces(self, **options: Any) -> List[str]:
        """Returns the namespaces. Options: prefix, after, reverse, limit."""
        return self._command("context.namespaces", **options)["ok"]

    def history(self, key: str, namespace: str = "default") -> Iterator[Dict[str, Any]]:
        """Yields the versions of an entry, newest first."""
        return self._lines("/v1/history", {"key": key, "namespace": namespace})

    def changes(self, since: int, **options: Any) -> Dict[str, Any]:
        """Returns a page of the last update of each key changed since a position: changes, next, more. Options: namespace,
        prefix, limit."""
        return self._json("GET", "/v1/changes?" + _query({"since": since, **options}))

    def health(self) -> Dict[str, Any]:
        """Returns the condition of the cache; `health()["log"]["head"]` is its position."""
        return self._json("GET", "/v1/health")

    def watch(self, since: Optional[int] = None, retry: float = 30.0, **options: Any) -> Iterator[Dict[str, Any]]:
        """Yields updates as they happen: those after `since`, by default after this call. Goes on over a lost connection
        without gap or duplicate, and raises Unreachable if the server stays away for `retry` seconds. Options: namespace and
        key (a text or a list), namespacePrefix, keyPrefix."""
        position = self.health()["log"]["head"] if since is None else since
        return self._watch(position, retry, options)

    def _watch(self, position: int, retry: float, options: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
        deadline: Optional[float] = None

        def connected() -> None:
            nonlocal deadline
            deadline = None

        while True:
            try:
                query = {**options, "since": position}
                for update in self._lines("/v1/watch", query, endless=True, connected=connected):
                    yield update
                    position = update["position"]
            except CacheError as error:
                if not isinstance(error, Unreachable) and error.code not in ("CLOSED", "UNREACHABLE", "UNAUTHORIZED"):
                    raise
                # A new holder of a shared directory has another token, and the file is read again.
                if error.code == "UNAUTHORIZED" and self._is_url:
                    raise
                deadline = deadline or time.monotonic() + retry
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.1)

    def _command(self, kind: str, **fields: Any) -> Dict[str, Any]:
        given = {name: value for name, value in fields.items() if value is not None or name == "value"}
        return self._json("POST", "/v1/command", {"type": kind, **given})

    def _json(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        connection, response = self._request(method, path, body)
        try:
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as cause:
            raise Unreachable("UNREACHABLE", f"The connection was lost before the answer: {cause}") from cause
        finally:
            connection.close()
        if response.status >= 400:
            raise _error(answer.get("error", {}))
        return answer

    def _lines(
        self, path: str, query: Dict[str, Any], endless: bool = False, connected: Callable[[], None] = lambda: None
    ) -> Iterator[Any]:
        connection, response = self._request("GET", f"{path}?{_query(query)}", endless=endless)
        try:
            if response.status >= 400:
                raise _error(json.loads(response.read()).get("error", {}))
            connected()
            for line in response:
                item = json.loads(line)
                if isinstance(item, dict) and list(item) == ["error"]:
                    raise _error(item["error"])
                yield item
        except (OSError, http.client.HTTPException, ValueError) as cause:
            raise Unreachable("UNREACHABLE", f"The connection was lost: {cause}") from cause
        finally:
            connection.close()

    def _request(self, method: str, path: str, body: Optional[Dict[str, Any]] = None, endless: bool = False):
        # allow_nan: NaN is no JSON, and the server would refuse the whole command with less to go by.
        try:
            data = None if body is None else json.dumps(body, allow_nan=False).encode()
        except (TypeError, ValueError) as cause:
            raise CacheError("INVALID_VALUE", f"The value is no JSON: {cause}") from cause
        connection, token = self._connect()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, data, headers)
            if endless and connection.sock is not None:
                # Updates may be hours apart. The system detects a dead peer.
                connection.sock.settimeout(None)
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as cause:
            connection.close()
            raise Unreachable("UNREACHABLE", f"{self._target} cannot be reached: {cause}") from cause

    def _connect(self):
        if self._is_url:
            url = urlsplit(self._target)
            host, port, is_secure, token = url.hostname or "", url.port, url.scheme == "https", self._token
        else:
            try:
                with open(os.path.join(self._target, "serve.json"), encoding="utf-8") as file:
                    served = json.load(file)
            except (OSError, ValueError) as cause:
                message = f"No process serves {self._target}. Start: context-cache serve --data-dir {self._target}"
                raise Unreachable("UNREACHABLE", message) from cause
            host, port, is_secure = served.get("host", "127.0.0.1"), served["port"], served.get("tls", False)
            token = self._token or served["token"]
        if is_secure:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context), token
        return http.client.HTTPConnection(host, port, timeout=self._timeout), token


def _query(fields: Dict[str, Any]) -> str:
    given = {name: value for name, value in fields.items() if value is not None}
    flags = {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}
    return urlencode(flags, doseq=True)
