"""A folder of files, served on this machine only, as a host of static pages would do it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Host(SimpleHTTPRequestHandler):
    """Serves a folder under a path, and its 404 page, if it has one, for what is not there."""

    def __init__(self, *args: object, path: str, **kwargs: object) -> None:
        self.under = path
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        is_inside = path.startswith(self.under)
        return super().translate_path(path.removeprefix(self.under) if is_inside else "/nowhere")

    def send_error(self, code: int, *args: object, **kwargs: object) -> None:
        page = Path(self.directory, "404.html")
        if code != HTTPStatus.NOT_FOUND or not page.exists():
            return super().send_error(code, *args, **kwargs)
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        return self.wfile.write(page.read_bytes())

    def log_message(self, *_: object) -> None:
        """Requests are no news."""


class Server(ThreadingHTTPServer):
    """A browser that leaves in the middle of an answer is no news either."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(folder: Path, path: str = "") -> Iterator[str]:
    """The address at which the folder is served meanwhile, without a slash at its end.

    Args:
        folder: What is served.
        path: Where it lies on its host, such as "/some/where".
    """
    handler = partial(Host, directory=str(folder), path=path)
    server = Server(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
