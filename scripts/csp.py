"""Puts a content security policy into a built page: scripts and workers are the page's own, nothing
inline but what the build put there, and no plug-ins, frames or forms. What would make a script of a text
needs the page's Trusted Types policy, which index.html defines.

    csp.py DIR

It is a meta tag, since a plain host sets no headers. Workers have a policy of their own, which only a
header can give: serve.py sends it."""

import base64
import hashlib
import re
import sys
from pathlib import Path

# Models and data sets come from wherever the visitor says, so any address over TLS may be asked, and
# this machine; an address of another kind could not be read from a page over TLS anyway.
CONNECT = "'self' blob: data: https: http://localhost:* http://127.0.0.1:*"

# Of the page alone: a worker's programs have no such policy, and make nothing of texts.
TRUSTED_TYPES = "require-trusted-types-for 'script'; trusted-types default"


def policy(hashes: list[str]) -> str:
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self' 'wasm-unsafe-eval' {' '.join(hashes)}".rstrip(),
            "style-src-elem 'self'",
            # Widths of bars and the like.
            "style-src-attr 'unsafe-inline'",
            "img-src 'self' blob: data:",
            "media-src 'self' blob:",
            f"connect-src {CONNECT}",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "frame-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def main() -> None:
    page = Path(sys.argv[1]) / "index.html"
    text = page.read_text(encoding="utf-8")
    scripts = re.findall(r"<script(?:\s[^>]*)?>(.+?)</script>", text, flags=re.S)
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    ]
    content = f"{policy(hashes)}; {TRUSTED_TYPES}"
    meta = f'<meta http-equiv="Content-Security-Policy" content="{content}" />'
    head = re.search(r'<meta charset="utf-8"\s*/?>', text)
    if not head or "Content-Security-Policy" in text:
        sys.exit(f"error: {page} has no <meta charset> to put the policy after, or has one already")
    page.write_text(text[: head.end()] + "\n    " + meta + text[head.end() :], encoding="utf-8")


if __name__ == "__main__":
    main()
