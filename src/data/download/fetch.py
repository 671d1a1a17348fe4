"""Resumable download of one file over HTTP, with size and SHA-256 verification."""

import http.client
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPResponse
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from ...digests import sha256
from ...errors import UserError
from ...files import move_synced
from .catalog import Remote

ATTEMPTS, PAUSE = 4, 2.0  # attempts per file, and seconds between them
TIMEOUT = 60.0  # seconds without data
BLOCK = 1 << 18
HEADERS = {"User-Agent": "bert-compression-download"}  # some hosts reject Python's default
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class Unavailable(UserError):
    """The file is not available: no network, no such host, no such file."""


class _Stopped(Exception):
    """The transfer was interrupted; the data received so far is on disk."""


def url_of(remote: Remote, mirror: str = "") -> str:
    """URL of a Remote, on `mirror` if given. Raises UserError for a mirror that is not an http(s) URL."""
    if not mirror:
        return remote.url
    if not _is_url(mirror):
        raise UserError(
            f"--mirror {mirror} is not a URL like https://HOST/FOLDER (percent-encode blanks and non-ASCII "
            "characters)"
        )
    return f"{mirror.rstrip('/')}/{remote.name}"


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        (parts.hostname or "").encode("idna")  # rejects invalid host names
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(known) and text.isascii() and text.isprintable() and " " not in text


def fetch(remote: Remote, folder: Path, mirror: str = "") -> Path:
    """Download a Remote into `folder` and return its path.

    Resumes an interrupted download (NAME.part); a complete file is only verified. A file with the wrong size
    or hash is deleted. Raises Unavailable or UserError.
    """
    url, target = url_of(remote, mirror), folder / remote.name
    part = folder / f"{remote.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if not target.is_file():
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _transfer(url, part, remote)
                break
            except _Stopped as stop:
                have = part.stat().st_size if part.is_file() else 0
                if attempt == ATTEMPTS:
                    raise UserError(
                        f"{url} was interrupted {ATTEMPTS} times, last after {have:,} bytes "
                        f"({stop}); run the same command again to resume"
                    ) from None
            time.sleep(PAUSE)
        move_synced(part, target)
    _verify(target, remote, url)
    return target


def refuse(path: Path, reason: str) -> NoReturn:
    """Delete an unusable download, so that the next run fetches it again, and raise UserError."""
    path.unlink(missing_ok=True)
    raise UserError(f"{reason}; it was deleted, nothing was unpacked")


def check_room(folder: Path, size: int, what: str) -> None:
    """Raise UserError unless the disk of `folder` has `size` bytes free."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{folder} has {free / 1e6:,.0f} MB of disk free, {what} needs {size / 1e6:,.0f} MB more"
        )


def _transfer(url: str, part: Path, remote: Remote) -> None:
    """Append the missing bytes to `part`. Raises _Stopped for an interrupted transfer."""
    have = part.stat().st_size if part.is_file() else 0
    if have and have == remote.size:
        return
    headers = {**HEADERS, "Range": f"bytes={have}-"} if have else HEADERS
    response = _open(urllib.request.Request(url, headers=headers), part, have)
    if response is None:
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            raise UserError(
                f"{url} returned a web page instead of a file; a login or a proxy may intercept it, or the "
                "file has moved (give another source with --mirror)"
            )
        have, total = _resume_at(response, part, have)
        if total and remote.size and total != remote.size:
            part.unlink(missing_ok=True)
            raise UserError(
                f"{url} has {total:,} bytes, not the {remote.size:,} of the published file; the owner has "
                "changed it, or the mirror holds another one"
            )
        check_room(part.parent, (total or 0) - have, remote.name)
        _append(response, part, have, total)


def _open(request: urllib.request.Request, part: Path, have: int) -> HTTPResponse | None:
    """Response to a request; None if the part is already complete."""
    url = request.full_url
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                # The part is complete, or belongs to another file.
                size = CONTENT_RANGE.match(error.headers.get("Content-Range", ""))
                if size and size[2] == str(have):
                    return None
                part.unlink(missing_ok=True)
                raise _Stopped("the partial file on disk did not match") from None
            status = f"{error.code} {_one_line(error.reason)}"
            if error.code >= 500 or error.code == 429:
                raise _Stopped(f"status {status}") from None
            raise Unavailable(
                f"{url} returned {status}; the file may have moved (give another source with --mirror)"
            ) from None
    except urllib.error.URLError as error:
        raise Unavailable(
            f"{url} cannot be reached ({error.reason}); check the network, or set a proxy in https_proxy"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Stopped(_describe(error)) from None
    except ValueError as error:  # a redirect to an invalid URL
        raise Unavailable(
            f"{url} redirects to an invalid URL ({_describe(error)}); give another source with --mirror"
        ) from None


def _resume_at(response: HTTPResponse, part: Path, have: int) -> tuple[int, int | None]:
    """(bytes of the part to keep, total size or None); a server that cannot resume sends the whole file."""
    header = response.headers.get("Content-Length") or ""
    length = int(header) if header.isdecimal() else None
    if response.status != 206:
        return 0, length
    content_range = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if not content_range or content_range[1] != str(have):
        part.unlink(missing_ok=True)
        raise _Stopped("the server resumed at the wrong offset")
    if content_range[2] != "*":
        return have, int(content_range[2])
    return have, None if length is None else have + length


def _append(response: HTTPResponse, part: Path, have: int, total: int | None) -> None:
    # disable=None: tqdm is silent where the output is not a terminal.
    bar = tqdm(
        total=total, initial=have, desc=part.stem, unit="B", unit_scale=True, disable=None, leave=False
    )
    with open(part, "r+b" if part.is_file() else "wb") as file, bar:
        file.truncate(have)
        file.seek(have)
        # Stop at the last byte: read1 of older Pythons waits for more while the connection stays open.
        while block := _read(response, BLOCK if total is None else min(BLOCK, total - have)):
            file.write(block)
            bar.update(len(block))
            have += len(block)
    if total is not None and have < total:
        raise _Stopped(f"{total:,} expected")


def _read(response: HTTPResponse, size: int) -> bytes:
    try:
        # Data received so far: read would wait for all of it, and lose it if the connection breaks.
        return response.read1(size) if size > 0 else b""
    except (OSError, http.client.HTTPException) as error:
        raise _Stopped(_describe(error)) from None


def _describe(error: Exception) -> str:
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _verify(path: Path, remote: Remote, url: str) -> None:
    size = path.stat().st_size
    if remote.size and size != remote.size:
        refuse(path, f"{url} sent {size:,} bytes, not the {remote.size:,} of the published file")
    found = sha256(path)
    if not remote.sha256:
        print(f"{remote.name}: SHA-256 {found} (no published value to compare with)")
    elif found != remote.sha256:
        refuse(
            path,
            f"{url} has the SHA-256 {found}, not the published {remote.sha256}: it was damaged in "
            "transit, or is another file",
        )
