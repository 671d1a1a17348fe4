"""Downloads from a server of this test's own: archives that are whole, cut, damaged or hostile."""

import dataclasses
import hashlib
import io
import re
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from src.data.download import fetch as download_fetch
from src.data.download.catalog import DATA_SETS, Remote
from src.data.text.examples import read_examples
from src.errors import UserError, run_main
from src.files import folder_lock
from src.output_dir import MARKER
from src.tasks import TASKS
from src.tools.download import main

TSV = {
    f"{name}.tsv": f"sentence\tlabel\n{name} one\t1\n{name} two\t0\n" * 40
    for name in ("train", "dev", "test")
}


def archive(files, folder="SST-2/"):
    """The bytes of a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            file.writestr(folder + name, text)
    return buffer.getvalue()


class Site:
    """What the server offers: files {name: bytes}, and how it behaves."""

    def __init__(self):
        self.files, self.requests = {}, []
        self.stop_after = self.status = None  # bytes after which it hangs up; another status than 200
        self.ranges, self.kind = True, "application/zip"
        self.headers, self.hang = {}, 0.0  # headers that it sends instead; seconds for which it says nothing


@pytest.fixture(name="site")
def served(monkeypatch, tmp_path):
    """A server of made files; `site.url` is the mirror to give, `site.offer` puts a file there."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            answer(site, self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/files"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setattr(download_fetch, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    yield site
    server.shutdown()
    server.server_close()


def answer(site, request):
    name, given = request.path.rpartition("/")[2], request.headers.get("Range")
    site.requests.append((name, given))
    content = site.files.get(name)
    if content is None or site.status:
        request.send_error(site.status or 404)
        return
    if site.headers:
        request.send_response(site.headers["status"])
        for key, value in site.headers.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(content)
        return
    start = int(re.fullmatch(r"bytes=(\d+)-", given)[1]) if given and site.ranges else 0
    if start >= len(content):
        request.send_response(416)
        request.send_header("Content-Range", f"bytes */{len(content)}")
        request.end_headers()
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    request.send_header("Content-Length", str(len(content) - start))
    request.send_header("Content-Type", site.kind)
    request.end_headers()
    request.wfile.write(content[start:][: site.stop_after])
    time.sleep(site.hang)


@pytest.fixture
def sst2(site, monkeypatch):
    """A function that offers bytes as SST-2.zip, and enters them in the table (changed, if so asked)."""

    def offer(content, **changes):
        site.files["SST-2.zip"] = content
        known = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **changes}
        row = DATA_SETS["SST-2"]
        remote = dataclasses.replace(row.remotes[0], **known)
        monkeypatch.setitem(DATA_SETS, "SST-2", dataclasses.replace(row, remotes=(remote,)))
        return content

    return offer


def fetch(site, tasks="SST-2", *flags):
    main(["--tasks", tasks, "--data_dir", "data", "--mirror", site.url, *flags])


def refused(site, capsys, tasks="SST-2", *flags):
    """The one sentence of a failing run."""
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: fetch(site, tasks, *flags))
    errors = capsys.readouterr().err
    assert stop.value.code == 2 and errors.startswith("error: ") and errors.count("\n") == 1
    return errors


def below(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MARKER
    )


def test_an_archive_is_unpacked_into_the_task_folder(site, sst2, tmp_path, capsys):
    sst2(archive({**TSV, "original/train.tsv": "not this one"}))
    fetch(site, "sst2")
    assert below(tmp_path) == [f"data/SST-2/{name}.tsv" for name in ("dev", "test", "train")]
    assert all((tmp_path / "data" / "SST-2" / name).read_text() == text for name, text in TSV.items())
    assert len(read_examples(tmp_path / "data" / "SST-2" / "dev.tsv", TASKS["SST-2"], "skip").examples) == 80
    assert "SST-2: train.tsv, dev.tsv, test.tsv in data/SST-2" in capsys.readouterr().out


def test_existing_files_are_kept_and_only_downloads_replaced(site, sst2, tmp_path, capsys):
    sst2(archive(TSV))
    folder = tmp_path / "data" / "SST-2"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text("mine")
    fetch(site)
    assert (folder / "dev.tsv").read_text() == "mine"
    assert (folder / "train.tsv").read_text() == TSV["train.tsv"]
    fetch(site)
    assert "kept" in capsys.readouterr().out and len(site.requests) == 1
    assert "dev.tsv was not written by a download" in refused(site, capsys, "SST-2", "--overwrite")
    assert (folder / "dev.tsv").read_text() == "mine" and len(site.requests) == 1
    (folder / "dev.tsv").unlink()
    (folder / "train.tsv").write_text("torn")
    fetch(site, "SST-2", "--overwrite")
    assert {name: (folder / name).read_text() for name in TSV} == TSV and len(site.requests) == 2


def test_an_interrupted_transfer_is_resumed(site, sst2, tmp_path):
    content = sst2(archive({name: text + name * 5000 for name, text in TSV.items()}))
    site.stop_after = len(content) // 3
    fetch(site)
    assert [given for _, given in site.requests] == [None] + [
        f"bytes={site.stop_after * n}-" for n in range(1, len(site.requests))
    ]
    assert len(below(tmp_path)) == 3 and len(site.requests) > 2


def test_an_interrupted_run_is_resumed(site, sst2, tmp_path, capsys):
    content = sst2(archive(TSV))
    site.stop_after = 40
    complaint = refused(site, capsys)
    assert "SST-2.zip was interrupted 4 times, last after 160 bytes" in complaint
    assert "run the same command again to resume" in complaint
    part = tmp_path / "data" / ".download" / "SST-2.zip.part"
    assert part.read_bytes() == content[:160] and below(tmp_path) == ["data/.download/SST-2.zip.part"]
    site.stop_after = None
    fetch(site)
    assert site.requests[-1] == ("SST-2.zip", "bytes=160-") and len(below(tmp_path)) == 3


def test_two_downloads_do_not_write_the_same_file(site, sst2, tmp_path, capsys):
    sst2(archive(TSV))
    (tmp_path / "data").mkdir()
    with folder_lock(tmp_path / "data"):
        assert "another process is writing to data; wait for it" in refused(site, capsys)
    assert not site.requests and not below(tmp_path / "data")
    fetch(site)


def test_a_server_without_range_support_sends_the_whole_file(site, sst2, tmp_path, capsys):
    sst2(archive(TSV))
    site.stop_after = 40
    refused(site, capsys)
    site.stop_after, site.ranges = None, False
    fetch(site)
    assert len(below(tmp_path)) == 3


def test_a_stalled_server_loses_no_data(site, sst2, tmp_path, monkeypatch):
    content = sst2(archive(TSV))
    monkeypatch.setattr(download_fetch, "TIMEOUT", 0.5)
    site.stop_after, site.hang = len(content) // 2 + 1, 1.0
    fetch(site)
    assert [given for _, given in site.requests] == [None, f"bytes={site.stop_after}-"]
    assert len(below(tmp_path)) == 3


def test_reading_stops_at_the_last_byte(site, sst2, monkeypatch):
    sst2(archive(TSV), size=None)
    monkeypatch.setattr(download_fetch, "TIMEOUT", 0.5)
    site.hang = 1.0  # the server keeps the connection open
    fetch(site)
    assert len(site.requests) == 1


ODD = {
    "length": ({"status": 200, "Content-Length": "many"}, None),
    "part": ({"status": 206}, r"was interrupted 4 times, .* \(the server resumed at the wrong offset\)"),
    "loop": ({"status": 302, "Location": "/files/SST-2.zip"}, "returned 302 .* infinite loop"),
    "nowhere": ({"status": 302, "Location": "http://a..b/x"}, "redirects to an invalid URL"),
}


@pytest.mark.parametrize("headers, complaint", ODD.values(), ids=ODD)
def test_unusual_responses(site, sst2, tmp_path, capsys, headers, complaint):
    content, site.headers = sst2(archive(TSV)), headers
    parts = tmp_path / "data" / ".download"
    parts.mkdir(parents=True)
    (parts / "SST-2.zip.part").write_bytes(content[:50])
    if complaint:
        assert re.search(complaint, refused(site, capsys))
    else:
        fetch(site)
        assert len(below(tmp_path)) == 3


@pytest.mark.parametrize("size", ["known", None])
def test_a_complete_or_oversized_part(site, sst2, tmp_path, size):
    content = sst2(archive(TSV), **({} if size else {"size": None}))
    parts = tmp_path / "data" / ".download"
    for left in (content, content + b"more"):
        parts.mkdir(parents=True)
        (parts / "SST-2.zip.part").write_bytes(left)
        fetch(site, "SST-2", "--overwrite")
        assert not parts.exists() and len(below(tmp_path)) == 3


def test_a_hash_mismatch(site, sst2, tmp_path, capsys):
    found = hashlib.sha256(sst2(archive(TSV), sha256="0" * 64)).hexdigest()
    complaint = refused(site, capsys)
    assert f"has the SHA-256 {found}, not the published {'0' * 64}" in complaint and not below(tmp_path)


def test_an_unpublished_hash_is_printed(site, sst2, capsys):
    found = hashlib.sha256(sst2(archive(TSV), size=None, sha256=None)).hexdigest()
    fetch(site)
    assert f"SST-2.zip: SHA-256 {found} (no published value" in capsys.readouterr().out


def test_a_size_mismatch_is_rejected_before_the_transfer(site, sst2, tmp_path, capsys):
    content = sst2(archive(TSV), size=7)
    assert f"has {len(content):,} bytes, not the 7 of the published file" in refused(site, capsys)
    assert not below(tmp_path)


HOSTILE = {
    "parent": ("../../evil.tsv", 'holds "SST-2/../../evil.tsv", a path outside'),
    "backslash": ("..\\evil.tsv", "a path outside"),
}


@pytest.mark.parametrize("name, complaint", HOSTILE.values(), ids=HOSTILE)
def test_member_paths_outside_of_the_folder(site, sst2, tmp_path, capsys, name, complaint):
    sst2(archive({**TSV, name: "evil"}))
    assert complaint in refused(site, capsys) and not below(tmp_path)


@pytest.mark.parametrize("name", ["/evil.tsv", "C:/evil.tsv"])
def test_absolute_names(site, sst2, tmp_path, capsys, name):
    sst2(archive({**{f"SST-2/{each}": text for each, text in TSV.items()}, name: "evil"}, ""))
    assert "a path outside of its folder" in refused(site, capsys) and not below(tmp_path)


def test_links(site, sst2, tmp_path, capsys):
    buffer = io.BytesIO(archive(TSV))
    with zipfile.ZipFile(buffer, "a") as file:
        link = zipfile.ZipInfo("SST-2/passwords")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    sst2(buffer.getvalue())
    assert 'holds "SST-2/passwords", a link' in refused(site, capsys) and not below(tmp_path)


DAMAGED = {
    "truncated": lambda content: content[:-60],
    "a byte turned": lambda content: content[:90] + bytes([content[90] ^ 255]) + content[91:],
    "an offset": lambda content: content[:-6] + b"\xff\xff\0\0" + content[-2:],
    "no zip": lambda content: b"plain text",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_damaged_archives(site, sst2, tmp_path, capsys, damage):
    sst2(damage(archive(TSV)), sha256=None)
    assert "SST-2.zip is not a complete zip archive" in refused(site, capsys)
    assert not below(tmp_path) and not (tmp_path / "data" / "SST-2").exists()


def test_a_file_missing_from_the_archive(site, sst2, tmp_path, capsys):
    sst2(archive({"train.tsv": "x"}))
    assert "SST-2.zip holds no dev.tsv" in refused(site, capsys) and not below(tmp_path)
    sst2(archive({"train.tsv": "x", "dev.tsv/": "", "test.tsv": "x"}))  # a folder is no file
    assert "SST-2.zip holds no dev.tsv" in refused(site, capsys) and not below(tmp_path)


def test_a_web_page_instead_of_a_file(site, sst2, tmp_path, capsys):
    sst2(b"<html>log in</html>")
    site.kind = "text/html; charset=utf-8"
    assert "returned a web page instead of a file" in refused(site, capsys) and not below(tmp_path)


def test_error_responses(site, tmp_path, capsys):
    assert "SST-2.zip returned 404 Not Found; the file may have moved" in refused(site, capsys)
    assert not (tmp_path / "data" / ".download").exists()
    site.status = 503
    assert "was interrupted 4 times" in refused(site, capsys) and len(site.requests) == 5


def test_no_network(site, capsys):
    site.url = "http://127.0.0.1:9"  # the port that discards; nobody listens
    assert re.search(r"127.0.0.1:9/SST-2.zip cannot be reached \(.*refused\)", refused(site, capsys))


def test_no_room(site, sst2, tmp_path, capsys, monkeypatch):
    sst2(archive(TSV))
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(download_fetch.shutil, "disk_usage", lambda folder: usage)
    assert "has 0 MB of disk free, SST-2.zip needs 0 MB more" in refused(site, capsys)
    assert not below(tmp_path)


def test_wrong_flags(site, tmp_path, capsys):
    assert 'did you mean "SST-2"' in refused(site, capsys, "SST-3")
    assert "--tasks is empty" in refused(site, capsys, ",")
    for site.url in (
        "ftp://somewhere/files",
        "http://[::1/x",
        "http://here:port/x",
        "http://a..b/x",
        "http://127.0.0.1/données",
        "http://127.0.0.1/my files",
    ):
        assert f"--mirror {site.url} is not a URL like" in refused(site, capsys)
    (tmp_path / "data").write_text("")
    site.url = "http://127.0.0.1:9"
    assert "data_dir data is a file" in refused(site, capsys)


def test_unwritable_folders(site, sst2, tmp_path, capsys):
    sst2(archive(TSV))
    (tmp_path / "file").write_text("")
    assert "file/below cannot be written: not a directory" in refused(
        site, capsys, "SST-2", "--data_dir", "file/below"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "SST-2").write_text("")
    assert "data/SST-2 is a file instead of a folder" in refused(site, capsys) and not site.requests
    (tmp_path / "data" / "SST-2").unlink()
    (tmp_path / "data" / "SST-2" / "train.tsv").mkdir(parents=True)
    assert "data/SST-2/train.tsv could not be written: is a directory" in refused(site, capsys)


def test_a_failure_does_not_stop_the_other_downloads(site, sst2, monkeypatch, tmp_path, capsys):
    sst2(archive(TSV))
    site.files["AX.tsv"] = b"index\tsentence1\tsentence2\n0\ta\tb\n"
    row = DATA_SETS["diagnostic"]
    monkeypatch.setitem(
        DATA_SETS, "diagnostic", dataclasses.replace(row, remotes=(Remote(row.remotes[0].url),))
    )
    with pytest.raises(UserError, match="not fetched: RTE, SNLI; see the messages above"):
        fetch(site, "RTE,SST-2,SNLI,diagnostic")
    assert below(tmp_path) == [
        "data/MNLI/diagnostic.tsv",
        "data/SST-2/dev.tsv",
        "data/SST-2/test.tsv",
        "data/SST-2/train.tsv",
    ]
    assert "RTE: http" in capsys.readouterr().out
