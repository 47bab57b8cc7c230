"""A stand-in for the Hugging Face hub, good or bad on request, for tests on this machine.

    server.py [--port N] --models DIR

Prints its base address and serves until killed. DIR/ORG/NAME/FILE are the files of the
repository ORG/NAME; DIR/ORG/NAME@refs-pr-1, where it exists, is its revision refs/pr/1, and
DIR/ORG/NAME.discussions.json the list of its discussions and pull requests.

    GET|HEAD [/BEHAVIOUR]/ORG/NAME/resolve/REVISION/FILE
    GET|HEAD [/BEHAVIOUR]/datasets/ORG/NAME/resolve/REVISION/FILE
    GET|HEAD [/BEHAVIOUR]/api/models/ORG/NAME[/revision/REVISION]
    GET|HEAD [/BEHAVIOUR]/api/models/ORG/NAME/discussions
    GET      /log      every request so far: method, path, range, status, sent (bytes of body)
    POST     /reset    forgets the log, and what has already been cut, changed or refused

As on the hub, large files (.safetensors) are a redirect to another origin, here a second
port, whose answers know ranges, validators and CORS, but do not allow If-Range across
origins. Unlike there, nothing may be cached: the log tells what the client asked for.
The hub's address for a client is this one's, followed by how it shall behave:

    /slow-N                  at most N bytes a second
    /break-N                 each answer with a large file is cut after N bytes of body
    /break-once-N            only the first such answer for each file is cut
    /no-range-break-once-N   the same, and ranges are ignored: always the whole file
    /changed-N               the same, with ranges, but then the file's last byte is another
    /truncated-N             large files have only their first N bytes, and nothing says so
    /lying-length            large files are announced with 1000 bytes more than they have
    /html                    everything is a page of a captive portal
    /error-500  /error-429  /error-503-once   the last for the first request for each file
    /offline                 the connection is closed without an answer
    /no-etag  /no-cors       headers are missing
    /gated                   files are for those who have accepted some terms

An answer that has no more than N bytes to send is not cut, and does not count as the first.
A changed file is changed in every revision and at its old addresses too."""

from __future__ import annotations

import argparse
import email.utils
import functools
import hashlib
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import NamedTuple

LARGE = ".safetensors"
CHUNK = 1 << 16
BEHAVIOUR = re.compile(
    r"(?P<counted>slow|break|break-once|no-range-break-once|changed|truncated)-(?P<number>\d+)"
    r"|lying-length|html|error-500|error-429|error-503-once|offline|no-etag|no-cors|gated"
)
CUT_ONCE = ("break-once", "no-range-break-once", "changed")
PORTAL = "<!doctype html><title>Welcome</title><p>Please log in to use this network.\n"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Accept-Ranges, Content-Range, Content-Length, "
    "X-Repo-Commit, X-Linked-Size, X-Linked-ETag, X-Error-Code, X-Error-Message",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Accept-Language, Authorization, Content-Type, Range",
}

lock = threading.Lock()
log: list[dict] = []
done: set[tuple[str, str]] = set()  # (behaviour, file) that had its one bad answer


class Contents(NamedTuple):
    """What a file has at the moment, which need not be what is on the disk."""

    path: Path
    size: int
    modified: int  # in nanoseconds, as it is on the disk
    changed: bool

    def large(self) -> bool:
        return self.path.suffix == LARGE

    def original(self) -> Contents:
        return self._replace(changed=False)

    def read(self, start: int, count: int) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(start)
            data = bytearray(file.read(min(count, self.size - start)))
        if self.changed and data and start + len(data) == self.size:
            data[-1] ^= 1
        return bytes(data)

    @functools.lru_cache(maxsize=None)
    def digest(self) -> str:
        """SHA-256 of a large file; of a small one git's name for it, as on the hub."""
        hasher = hashlib.sha256() if self.large() else hashlib.sha1(b"blob %d\0" % self.size)
        for start in range(0, self.size, 1 << 20):
            hasher.update(self.read(start, 1 << 20))
        return hasher.hexdigest()


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str, **headers: str):
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self.headers.update({name.replace("_", "-"): value for name, value in headers.items()})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are written separately; without this each answer waits for an acknowledgement.
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        behaviour = BEHAVIOUR.fullmatch(parts[0])
        self.behaviour = parts.pop(0) if behaviour else ""
        self.kind = behaviour["counted"] or self.behaviour if behaviour else ""
        self.number = int(behaviour["number"] or 0) if behaviour else 0
        wanted = self.headers.get("Range")
        self.entry = {"method": self.command, "path": self.path, "range": wanted, "status": None, "sent": 0}
        with lock:
            if parts == ["reset"] and self.command == "POST":
                log.clear()
                done.clear()
            elif parts != ["log"]:
                log.append(self.entry)
        try:
            if parts == ["log"]:
                self.send_text(200, json.dumps(list(log)), "application/json")
            elif parts == ["reset"] and self.command == "POST":
                self.start(204, {})
            elif self.kind == "offline":
                self.close_connection = True
            elif self.command == "OPTIONS":
                self.start(204, {} if self.kind == "no-cors" else PREFLIGHT)
            elif self.command == "POST":
                raise Refused(405, "", "Method not allowed", Allow="GET, HEAD, OPTIONS")
            elif self.kind == "error-500":
                raise Refused(500, "InternalError", "Internal error")
            elif self.kind == "error-429":
                raise Refused(429, "", "Too many requests", Retry_After="1")
            elif self.kind == "html":
                self.send_text(200, PORTAL, "text/html; charset=utf-8")
            elif self.server.cdn:
                self.hub(parts)
            else:
                self.cdn(parts, urllib.parse.parse_qs(query))
        except Refused as refused:
            if parts[:1] == ["api"]:
                self.send_text(refused.status, json.dumps({"error": str(refused)}), "application/json", refused.headers)
            else:
                self.send_text(refused.status, f"{refused}\n", headers=refused.headers)

    do_HEAD = do_POST = do_OPTIONS = do_GET

    def hub(self, parts: list[str]):
        """Answers for ORG/NAME/resolve/REVISION/FILE and api/models/ORG/NAME[/revision/REVISION]."""
        if parts[:1] == ["datasets"]:
            parts = parts[1:]  # they lie beside the models
        api = parts[:2] == ["api", "models"]
        if api and len(parts) == 5 and parts[4] == "discussions":
            self.folder("/".join(parts[2:4]), "main")
            known = self.server.models / parts[2] / f"{parts[3]}.discussions.json"
            discussions = json.loads(known.read_text()) if known.exists() else []
            answer = {"discussions": discussions, "count": len(discussions), "start": 0}
            self.send_text(200, json.dumps(answer), "application/json")
            return
        if api and (len(parts) == 4 or len(parts) == 6 and parts[4] == "revision"):
            repository, revision, name = "/".join(parts[2:4]), parts[5] if len(parts) == 6 else "main", ""
        elif len(parts) >= 5 and parts[2] == "resolve":
            repository, revision, name = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        else:
            raise Refused(404, "", "This hub has no such address, nor such a behaviour")
        if self.kind == "error-503-once" and self.first(f"{repository}/{name}"):
            raise Refused(503, "", "Service unavailable")
        if self.kind == "gated" and not api:
            raise Refused(403, "GatedRepo", "Access to this model is restricted")
        folder = self.folder(repository, revision)
        commit = self.commit(folder)
        if api:
            siblings = [{"rfilename": name} for name, _ in self.files(folder)]
            text = json.dumps({"id": repository, "sha": commit, "siblings": siblings})
            self.send_text(200, text, "application/json")
            return
        contents = dict(self.files(folder)).get(name)
        if contents is None:
            raise Refused(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit)
        if not contents.large():
            self.send_file(contents, {"X-Repo-Commit": commit})
            return
        address = "/".join([self.server.cdn.url] + [self.behaviour] * bool(self.behaviour) + ["cdn", contents.digest()])
        file = urllib.parse.quote(contents.path.relative_to(self.server.models).as_posix(), safe="")
        address += f"?file={file}&Signature=valid"
        headers = {"Location": address, "X-Repo-Commit": commit, "X-Linked-Size": str(contents.size)}
        if self.kind != "no-etag":
            headers["X-Linked-ETag"] = f'"{contents.digest()}"'
        headers["Accept-Ranges"] = self.ranges()
        self.send_text(302, f"Found. Redirecting to {address}", headers=headers)

    def cdn(self, parts: list[str], query: dict[str, list[str]]):
        """Answers for cdn/SHA256?file=…&Signature=valid, as the hub has redirected to."""
        file = query.get("file", [""])[0]
        path = self.server.models / file
        inside = self.server.models in path.parents and ".." not in path.parts and path.is_file()
        if parts[:1] == ["cdn"] and query.get("Signature") == ["valid"] and inside:
            contents = self.contents(path)
            if parts[1:] in ([contents.digest()], [contents.original().digest()]):
                self.send_file(contents, {})
                return
        raise Refused(403, "", "AccessDenied")

    # ------------------------------------------------------------ repositories

    def folder(self, repository: str, revision: str) -> Path:
        base = self.server.models / repository
        if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository) or not base.is_dir():
            raise Refused(401, "RepoNotFound", "Invalid username or password.")
        if revision == "main":
            return base
        for folder in [base, *sorted(base.parent.glob(f"{base.name}@*"))]:
            named = folder.name == f"{base.name}@{revision.replace('/', '-')}"
            if named or revision in (self.commit(folder), self.commit(folder, original=True)):
                return folder
        raise Refused(404, "RevisionNotFound", "Revision not found")

    def files(self, folder: Path) -> list[tuple[str, Contents]]:
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return [(path.relative_to(folder).as_posix(), self.contents(path)) for path in paths]

    def contents(self, path: Path) -> Contents:
        stat = path.stat()
        contents = Contents(path, stat.st_size, stat.st_mtime_ns, changed=False)
        if contents.large() and self.kind == "truncated":
            return contents._replace(size=min(contents.size, self.number))
        with lock:
            return contents._replace(changed=self.kind == "changed" and (self.behaviour, str(path)) in done)

    def commit(self, folder: Path, original: bool = False) -> str:
        hasher = hashlib.sha1()
        for name, contents in self.files(folder):
            contents = contents.original() if original else contents
            hasher.update(f"{contents.digest()} {name}\n".encode())
        return hasher.hexdigest()

    def first(self, file: str) -> bool:
        """Whether this behaviour has not yet had its one bad answer for the file; now it has."""
        with lock:
            known = (self.behaviour, file) in done
            done.add((self.behaviour, file))
        return not known

    # ------------------------------------------------------------ answers

    def ranges(self) -> str:
        return "none" if self.kind == "no-range-break-once" else "bytes"

    def send_file(self, contents: Contents, headers: dict[str, str]):
        tag = f'"{contents.digest()}"' if self.kind != "no-etag" else None
        modified = email.utils.formatdate(contents.modified // 10**9 + contents.changed, usegmt=True)
        headers = {**headers, "Accept-Ranges": self.ranges(), "Last-Modified": modified}
        if tag:
            headers["ETag"] = tag
            known = [t.strip() for t in self.headers.get("If-None-Match", "").split(",")]
            if "*" in known or tag in [t[2:] if t.startswith("W/") else t for t in known]:
                self.start(304, headers)
                return
        status, start, end = 200, 0, contents.size
        if self.command == "GET" and self.ranges() == "bytes" and self.headers.get("If-Range") in (None, tag, modified):
            wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
            if wanted and wanted[1] and int(wanted[2] or wanted[1]) >= int(wanted[1]):
                status, start, end = 206, int(wanted[1]), min(end, int(wanted[2] or end) + 1)
            elif wanted and wanted[2] and not wanted[1]:
                status, start = 206, max(0, end - int(wanted[2]))
        if status == 206 and start >= end:
            headers["Content-Range"] = f"bytes */{contents.size}"
            self.send_text(416, "Range not satisfiable\n", headers=headers)
            return
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{contents.size}"
        headers["Content-Type"] = "application/json" if contents.path.suffix == ".json" else "application/octet-stream"
        count = announced = end - start
        if contents.large() and self.kind == "lying-length":
            announced += 1000
        if contents.large() and self.command == "GET" and count > self.number:
            if self.kind == "break" or self.kind in CUT_ONCE and self.first(str(contents.path)):
                count = self.number
        self.start(status, {**headers, "Content-Length": str(announced)})
        self.close_connection |= self.command == "GET" and count < announced
        self.send_body(contents, start, count if self.command == "GET" else 0)

    def send_body(self, contents: Contents, start: int, count: int):
        rate = max(1, self.number) if self.kind == "slow" else 0
        step = min(CHUNK, rate // 20 + 1) if rate else CHUNK
        began = time.monotonic()
        for at in range(0, count, step):
            data = contents.read(start + at, min(step, count - at))
            if rate:
                time.sleep(max(0.0, began + (at + len(data)) / rate - time.monotonic()))
            self.write(data)

    def send_text(self, status: int, text: str, kind="text/plain; charset=utf-8", headers: dict[str, str] = {}):
        content = text.encode()
        self.start(status, {"Content-Type": kind, "Content-Length": str(len(content)), **headers})
        if self.command != "HEAD":
            self.write(content)

    def start(self, status: int, headers: dict[str, str]):
        self.entry["status"] = status
        self.send_response(status)
        common = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "no-store"}
        for name, value in {**common, **({} if self.kind == "no-cors" else CORS), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def write(self, data: bytes):
        # Counted first: a client that has the last byte may ask for the log at once.
        self.entry["sent"] += len(data)
        try:
            self.wfile.write(data)
        except OSError:
            self.entry["sent"] -= len(data)
            raise

    def version_string(self):
        return "hub"

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, models: Path, cdn: Server | None = None):
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.models, self.cdn = models, cdn

    def handle_error(self, request, client_address):
        # A client that leaves in the middle of an answer is no error.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="A stand-in for the Hugging Face hub, for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--models", type=Path, required=True)
    arguments = parser.parse_args()
    if not arguments.models.is_dir():
        sys.exit(f"error: {arguments.models} is not a folder")
    models = arguments.models.absolute()
    cdn = Server(0, models)
    hub = Server(arguments.port, models, cdn)
    threading.Thread(target=cdn.serve_forever, daemon=True).start()
    print(hub.url, flush=True)
    try:
        hub.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
