"""Reading a binary cache at file:// or http(s)://, bounded in size and time. Believes nothing it reads."""

import http.client
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol
from urllib.parse import unquote, urlsplit

from agentplane.errors import Denied, NotFound, Refused, Transient

CHUNK_BYTES: Final = 1 << 20
TIMEOUT_S: Final = 20.0  # of one wait for the network, not of a whole transfer
_GONE: Final = frozenset({404, 410})
_NOT_FOR_US: Final = frozenset({401, 403, 407})


class Cache(Protocol):
    """One cache."""

    url: str

    def get(self, name: str, limit_bytes: int) -> bytes:
        """A small file, and at most one byte more than `limit_bytes`."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """A large file, piece by piece; ends early only with an error where that can be known."""
        ...


def check_url(url: str) -> str:
    """The address of a cache. Raises Refused: code `cache.url`."""
    try:
        parts = urlsplit(url)
        usable = {"file": bool(parts.path.strip("/")) and not parts.netloc, "http": bool(parts.hostname)}
        usable["https"] = usable["http"]
    except ValueError:
        usable, parts = {}, urlsplit("")
    if not usable.get(parts.scheme) or parts.query or parts.fragment or parts.password or not url.isprintable():
        hint = "write file:///absolute/directory, http://host/path or https://host/path; no password in it"
        raise Refused("this is no address of a binary cache", code="cache.url", hint=hint)
    return url.rstrip("/")


def open_cache(url: str, *, timeout_s: float = TIMEOUT_S) -> Cache:
    """The cache at an address; opens nothing yet. Raises Refused: code `cache.url`."""
    checked = check_url(url)
    if checked.startswith("file:"):
        return FileCache(checked)
    return HttpCache(checked, timeout_s)


class FileCache:
    """A cache in a directory, such as a mounted share."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = Path(unquote(urlsplit(url).path))

    def get(self, name: str, limit_bytes: int) -> bytes:
        """See `Cache.get`. Raises as `chunks`."""
        with self._open(name) as file, _away(self.url):
            return file.read(limit_bytes + 1)

    def chunks(self, name: str) -> Iterator[bytes]:
        """See `Cache.chunks`. Raises NotFound (`cache.absent`), Transient (`cache.unreachable`)."""
        with self._open(name) as file, _away(self.url):
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def _open(self, name: str) -> IO[bytes]:
        if not self._root.is_dir():
            raise _unreachable(self.url, "there is no such directory")
        try:
            descriptor = os.open(self._root / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _absent(self.url, name) from None
        except PermissionError as exc:
            raise _denied(self.url, str(exc.strerror)) from exc
        except OSError as exc:
            raise _unreachable(self.url, str(exc.strerror)) from exc
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _absent(self.url, name)
        return os.fdopen(descriptor, "rb")


class HttpCache:
    """A cache behind HTTP; redirects lead to HTTP only."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def get(self, name: str, limit_bytes: int) -> bytes:
        """See `Cache.get`. Raises as `chunks`."""
        data = b""
        for chunk in self.chunks(name):
            data += chunk
            if len(data) > limit_bytes:
                return data[: limit_bytes + 1]
        return data

    def chunks(self, name: str) -> Iterator[bytes]:
        """See `Cache.chunks`. Raises NotFound (`cache.absent`), Denied (`cache.denied`), Transient."""
        with _away(self.url), self._open(name) as answer:
            length, size = answer.headers.get("Content-Length"), 0
            while chunk := answer.read(CHUNK_BYTES):
                size += len(chunk)
                yield chunk
            if length is not None and length.isdigit() and size < int(length):
                raise _unreachable(self.url, f"it broke off after {size} of {length} bytes of {name}")

    def _open(self, name: str) -> http.client.HTTPResponse:
        try:
            answer: http.client.HTTPResponse = self._opener.open(f"{self.url}/{name}", timeout=self._timeout_s)
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code in _GONE:
                raise _absent(self.url, name) from None
            if exc.code in _NOT_FOR_US:
                raise _denied(self.url, f"it answers {exc.code}") from None
            raise _unreachable(self.url, f"it answers {exc.code}") from None
        return answer


@contextmanager
def _away(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as exc:  # URLError and time-outs are OSErrors
        reason = getattr(exc, "reason", None) or exc
        raise _unreachable(url, str(reason)[:200] or type(exc).__name__) from exc


def _unreachable(url: str, reason: str) -> Transient:
    hint = "see that the host answers and the path is right: agentplane cache check URL"
    return Transient(f"it cannot be read: {reason}", code="cache.unreachable", where=url, delay_s=5.0, hint=hint)


def _absent(url: str, name: str) -> NotFound:
    hint = "push it: agentplane bundle push BUNDLE --to URL --key-file FILE"
    return NotFound(f"it has no {name}", code="cache.absent", where=url, hint=hint)


def _denied(url: str, reason: str) -> Denied:
    return Denied(f"it is not for us: {reason}", code="cache.denied", where=url, hint="caches are read without a login")
