"""One file over HTTP: resumable, size and SHA-256 checked; a sentence for each thing that can fail."""

import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request

from tqdm import tqdm

from ...errors import UserError
from ...files import sha256

ATTEMPTS, PAUSE = 4, 2.0  # tries of one file, and seconds before each further one
TIMEOUT = 60.0  # seconds without a byte
BLOCK = 1 << 18
HEADERS = {"User-Agent": "bert-compression-download"}  # some hosts refuse Python's own name
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class Unavailable(UserError):
    """The file cannot be had from there at all: no network, no such host, no such file."""


class _Stopped(Exception):
    """The transfer broke off; what came so far is on the disk."""


def address(remote, mirror=""):
    """Where to fetch a Remote from. Raises UserError for a mirror that is no address over http(s)."""
    if not mirror:
        return remote.url
    if not _is_address(mirror):
        raise UserError(
            f"--mirror {mirror} is not an address like https://HOST/FOLDER (blanks and letters "
            "beyond ASCII are written as %XX there)"
        )
    return f"{mirror.rstrip('/')}/{remote.name}"


def _is_address(text):
    try:
        parts = urllib.parse.urlsplit(text)
        (parts.hostname or "").encode("idna")  # refuses what no host is called
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(known) and text.isascii() and text.isprintable() and " " not in text


def fetch(remote, folder, mirror=""):
    """Bring a Remote into `folder` and return its path.

    What an interrupted call left (NAME.part) is gone on with, what is whole is only checked. A file that is
    not the expected one is deleted. Raises Unavailable or UserError.
    """
    url, whole = address(remote, mirror), folder / remote.name
    part = folder / f"{remote.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if not whole.is_file():
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _transfer(url, part, remote)
                break
            except _Stopped as stop:
                have = part.stat().st_size if part.is_file() else 0
                if attempt == ATTEMPTS:
                    raise UserError(
                        f"{url} broke off {ATTEMPTS} times, at last after {have:,} bytes "
                        f"({stop}); the same command goes on from there"
                    ) from None
            time.sleep(PAUSE)
        os.replace(part, whole)
    _check(whole, remote, url)
    return whole


def refuse(path, why):
    """Delete a fetched file that is of no use, so that the next run fetches it anew, and raise UserError."""
    path.unlink(missing_ok=True)
    raise UserError(f"{why}; it was deleted, nothing was unpacked")


def check_room(folder, size, what):
    """Raise UserError unless `size` more bytes fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{folder} has {free / 1e6:,.0f} MB of disk free, {what} needs {size / 1e6:,.0f} MB more"
        )


def _transfer(url, part, remote):
    """Append to `part` what is missing of the file. Raises _Stopped where it broke off."""
    have = part.stat().st_size if part.is_file() else 0
    if have and have == remote.size:
        return
    headers = {**HEADERS, "Range": f"bytes={have}-"} if have else HEADERS
    answer = _open(urllib.request.Request(url, headers=headers), part, have)
    if answer is None:
        return
    with answer:
        if answer.headers.get_content_type() == "text/html":
            raise UserError(
                f"{url} answers with a web page where a file should be; a login or a proxy may "
                "stand between, or the file has moved (--mirror names another place)"
            )
        have, total = _place(answer, part, have)
        if total and remote.size and total != remote.size:
            part.unlink(missing_ok=True)
            raise UserError(
                f"{url} has {total:,} bytes, not the {remote.size:,} of the published file; it "
                "has changed at its owner's, or the mirror holds another one"
            )
        check_room(part.parent, (total or 0) - have, remote.name)
        _append(answer, part, have, total)


def _open(request, part, have):
    """The answer to a request; None where the server says that nothing is missing."""
    url = request.full_url
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                # The part is whole, or belongs to another file.
                size = CONTENT_RANGE.match(error.headers.get("Content-Range", ""))
                if size and size[2] == str(have):
                    return None
                part.unlink(missing_ok=True)
                raise _Stopped("the part on the disk did not fit") from None
            said = f"{error.code} {_one_line(error.reason)}"
            if error.code >= 500 or error.code == 429:
                raise _Stopped(f"answer {said}") from None
            raise Unavailable(
                f"{url} answers {said}; the file may have moved (--mirror names another place)"
            ) from None
    except urllib.error.URLError as error:
        raise Unavailable(
            f"{url} cannot be reached ({error.reason}); is there a network, or a proxy to set in https_proxy?"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Stopped(_named(error)) from None
    except ValueError as error:  # a redirection to what is no address
        raise Unavailable(
            f"{url} leads to a place that is no address ({_named(error)}); --mirror names another one"
        ) from None


def _place(answer, part, have):
    """(bytes to keep, bytes of the whole file or None); a server that does not resume sends it all again."""
    length = answer.headers.get("Content-Length") or ""
    length = int(length) if length.isdecimal() else None
    if answer.status != 206:
        return 0, length
    given = CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
    if not given or given[1] != str(have):
        part.unlink(missing_ok=True)
        raise _Stopped("the server resumed at another place")
    if given[2] != "*":
        return have, int(given[2])
    return have, None if length is None else have + length


def _append(answer, part, have, total):
    # disable=None: tqdm is silent where the output is not a terminal.
    bar = tqdm(
        total=total, initial=have, desc=part.stem, unit="B", unit_scale=True, disable=None, leave=False
    )
    with open(part, "r+b" if part.is_file() else "wb") as file, bar:
        file.truncate(have)
        file.seek(have)
        # To the last byte: read1 of older Pythons would wait for more where the server keeps the line open.
        while block := _read(answer, BLOCK if total is None else min(BLOCK, total - have)):
            file.write(block)
            bar.update(len(block))
            have += len(block)
    if total is not None and have < total:
        raise _Stopped(f"{total:,} were announced")


def _read(answer, size):
    try:
        # What has come: read would wait for all of it, and lose it where the rest does not follow.
        return answer.read1(size) if size > 0 else b""
    except (OSError, http.client.HTTPException) as error:
        raise _Stopped(_named(error)) from None


def _named(error):
    return _one_line(str(error)) or type(error).__name__


def _one_line(text):
    return " ".join(str(text).split())


def _check(path, remote, url):
    size = path.stat().st_size
    if remote.size and size != remote.size:
        refuse(path, f"{url} gave {size:,} bytes, not the {remote.size:,} of the published file")
    found = sha256(path)
    if not remote.sha256:
        print(f"{remote.name}: SHA-256 {found} (no published one is known to compare with)")
    elif found != remote.sha256:
        refuse(
            path,
            f"{url} has the SHA-256 {found}, not the published {remote.sha256}: it was damaged on "
            "the way, or is another file",
        )
