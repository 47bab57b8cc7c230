"""A small web server for the built page, for this machine only.

    serve.py [--port N] [--check] [DIR]

What it does beyond `python3 -m http.server`: the headers that isolate the page
from other origins (they unlock exact timers and shared memory), files compressed
ahead of time, and validation, so that a reload fetches only what has changed.
Port 0 takes any free one. --check only says whether the port is free."""

import argparse
import email.utils
import errno
import http.server
import os
import posixpath
import sys
import urllib.parse
from pathlib import Path

import csp

# Python's own table depends on the system's, which may lack or misname these.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
ENCODINGS = [("br", ".br"), ("gzip", ".gz")]
CHUNK = 1 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root = Path()
    # Headers and body are written separately; without this each answer waits for an acknowledgement.
    disable_nagle_algorithm = True

    def version_string(self):
        return "clip"

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, body):
        path = self.find()
        if path is None:
            self.refuse(404, "not found", body)
            return
        encoding, served = self.choose(path)
        try:
            file = open(served, "rb")
        except OSError:  # a new build took its place just now
            self.refuse(404, "not found", body)
            return
        with file:
            stat = os.fstat(file.fileno())
            tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}{"-" + encoding if encoding else ""}"'
            fresh = self.is_fresh(tag, stat.st_mtime)
            self.send_response(304 if fresh else 200)
            if not fresh:
                self.send_header("Content-Type", TYPES.get(path.suffix.lower(), "application/octet-stream"))
                self.send_header("Content-Length", str(stat.st_size))
                if encoding:
                    self.send_header("Content-Encoding", encoding)
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", email.utils.formatdate(stat.st_mtime, usegmt=True))
            self.send_header("Cache-Control", "no-cache")
            self.send_header("Vary", "Accept-Encoding")
            if path.suffix in (".js", ".mjs"):
                # Of a script that runs as a worker; a page has its own in a meta tag.
                self.send_header("Content-Security-Policy", csp.policy([]))
            self.isolate()
            self.end_headers()
            if body and not fresh:
                left = stat.st_size
                while left and (chunk := file.read(min(CHUNK, left))):
                    self.wfile.write(chunk)
                    left -= len(chunk)

    def find(self):
        """The file that the address names, or None. Dot files are ours, not the page's."""
        try:
            asked = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path, errors="strict")
        except (UnicodeDecodeError, ValueError):
            return None
        parts = [part for part in posixpath.normpath(asked).split("/") if part]
        if any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            return None
        path = self.root.joinpath(*parts)
        if path.is_dir():
            path = path / "index.html"
        if not path.is_file() or not path.resolve().is_relative_to(self.root):
            return None
        return path

    def choose(self, path):
        """The smallest form of the file that the browser takes: (encoding, path)."""
        accepted = {}
        for item in self.headers.get("Accept-Encoding", "").split(","):
            name, _, quality = item.partition(";")
            accepted[name.strip().lower()] = quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        for encoding, suffix in ENCODINGS:
            packed = path.with_name(path.name + suffix)
            if accepted.get(encoding) and packed.is_file():
                return encoding, packed
        return None, path

    def is_fresh(self, tag, modified):
        known = self.headers.get("If-None-Match")
        if known is not None:
            return known.strip() == "*" or tag in [t.strip().removeprefix("W/") for t in known.split(",")]
        since = email.utils.parsedate_tz(self.headers.get("If-Modified-Since") or "")
        return since is not None and int(modified) <= email.utils.mktime_tz(since)

    def isolate(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")

    def refuse(self, status, text, body):
        content = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.isolate()
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass

    def log_error(self, form, *values):
        if not str(form).startswith("Request timed out"):
            sys.stderr.write(f"serve: {form % values}\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A browser that leaves in the middle of an answer is no error.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="Serves the built page on this machine.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("dir", nargs="?", default="dist")
    arguments = parser.parse_args()
    Handler.root = Path(arguments.dir).resolve()
    try:
        server = Server(("127.0.0.1", arguments.port), Handler)
    except OverflowError:
        sys.exit(f"error: {arguments.port} is not a port: take one from 1 to 65535")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(
                f"error: port {arguments.port} is taken, perhaps by another scripts/serve: "
                f"stop that, or try scripts/serve --port {arguments.port + 1}"
            )
        sys.exit(f"error: cannot listen on port {arguments.port}: {error.strerror}")
    with server:
        if arguments.check:
            return
        print(f"CLIP is ready: http://127.0.0.1:{server.server_port}/   (stop with Ctrl-C)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


main()
