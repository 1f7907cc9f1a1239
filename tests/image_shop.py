"""A shop's picture server for tests, with pictures that are sound, damaged, moved, busy or missing."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, ClassVar


def picture(kind: str, size: tuple[int, int] = (8, 6)) -> bytes:
    from PIL import Image

    out = BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind)
    return out.getvalue()


PNG, JPEG = picture("PNG"), picture("JPEG")


class Shop(BaseHTTPRequestHandler):
    """A picture for /ok..., and what goes wrong for every other path."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []
    at_once: ClassVar[list[int]] = [0, 0]
    lock = threading.Lock()

    def log_message(self, *ignored: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        with self.lock:
            self.seen.append(self.path)
            first = self.seen.count(self.path) == 1
            self.at_once[0] += 1
            self.at_once[1] = max(self.at_once)
        try:
            self.answer(self.path, first)
        except OSError:
            self.close_connection = True
        finally:
            with self.lock:
                self.at_once[0] -= 1

    def answer(self, path: str, first: bool) -> None:
        if path.startswith("/ok"):
            time.sleep(0.005)
            self.reply(200, JPEG if "jpeg" in path else PNG, "image/jpeg" if "jpeg" in path else "image/png")
        elif path.startswith("/lies"):
            self.reply(200, b"<html>", "image/png")
        elif path.startswith("/cut"):
            self.reply(200, PNG[:40], "image/png")
        elif path.startswith("/page"):
            self.reply(200, b"<html>", "text/html; charset=utf-8")
        elif path.startswith("/huge"):
            self.reply(200, b"x" * 300_000, "image/png")
        elif path.startswith("/endless"):
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x" * 10_000)
            self.close_connection = True
        elif path.startswith("/slow"):
            time.sleep(1.2)
            self.reply(200, PNG, "image/png")
        elif path.startswith("/once") and first:
            self.reply(503, b"", "text/plain")
        elif path.startswith("/busy") and first:
            self.reply(429, b"", "text/plain", {"Retry-After": "0"})
        elif path.startswith(("/once", "/busy")):
            self.reply(200, PNG, "image/png")
        elif path.startswith("/moved"):
            self.reply(302, b"", "text/plain", {"Location": "/ok-moved.png"})
        elif path.startswith("/astray"):
            self.reply(302, b"", "text/plain", {"Location": "ftp://example.org/x.png"})
        elif path.startswith("/round"):
            self.reply(302, b"", "text/plain", {"Location": "/round"})
        elif path.startswith("/down"):
            self.reply(500, b"", "text/plain")
        else:
            self.reply(404, b"", "text/plain")

    def reply(self, status: int, content: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


@contextmanager
def picture_server(handler: type[Shop] = Shop) -> Iterator[str]:
    """The address of a running server."""
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
