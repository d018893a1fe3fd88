"""A server that speaks as much of the Hugging Face hub's protocol as downloading needs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "c0ffee" + "0" * 34


@contextmanager
def served(repositories: dict[str, Path], gated: frozenset[str] = frozenset()) -> Iterator[str]:
    """Serve folders as model repositories with one commit; yield the server's address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = self.path.partition("?")[0].strip("/").split("/")
            owner_and_name = parts[2:4] if parts[0] == "api" else parts[:2]
            name = "/".join(owner_and_name)
            if name not in repositories:
                return self._refuse(401, "RepoNotFound")
            if parts[0] == "api":
                revision = parts[5] if len(parts) > 5 else "main"
                if parts[4:5] == ["tree"]:
                    return self._tree(name)
                return self._listed(name, revision)
            if name in gated:
                return self._refuse(403, "GatedRepo")
            return self._file(repositories[name].joinpath(*parts[4:]), parts[3])

        def _listed(self, name: str, revision: str) -> None:
            if revision not in ("main", COMMIT):
                return self._refuse(404, "RevisionNotFound")
            siblings = [{"rfilename": file} for file in self._files(name)]
            content = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}
            content |= {
                "gated": name in gated,
                "private": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
            }
            return self._answer(json.dumps(content).encode(), {"Content-Type": "application/json"})

        def _tree(self, name: str) -> None:
            tree = [
                {"type": "file", "path": file, "oid": sha1(content).hexdigest(), "size": len(content)}
                for file, content in self._files(name).items()
            ]
            return self._answer(json.dumps(tree).encode(), {"Content-Type": "application/json"})

        def _files(self, name: str) -> dict[str, bytes]:
            root = repositories[name]
            files = sorted(path for path in root.rglob("*") if path.is_file())
            return {str(path.relative_to(root)): path.read_bytes() for path in files}

        def _file(self, path: Path, revision: str) -> None:
            if revision not in ("main", COMMIT):
                return self._refuse(404, "RevisionNotFound")
            if not path.is_file():
                return self._refuse(404, "EntryNotFound")
            content = path.read_bytes()
            etag = sha256(content).hexdigest()
            return self._answer(content, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'})

        def _answer(self, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for key, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
