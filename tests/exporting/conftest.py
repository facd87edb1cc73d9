"""A stand-in of the Hugging Face Hub, on this machine."""

import base64
import hashlib
import http.server
import json
import threading
from urllib.parse import urlsplit

import pytest


class StandIn:
    """Repositories of models, as the Hub's own client fetches and uploads them.

    Attributes:
        repositories: Commits of each repository, oldest first, as pairs of the commit and its
            files, bytes by path.
        private: Names of those that were made for their owners alone.
        token: What an upload must show.
        asked: Paths that were asked for.
    """

    def __init__(self):
        self.repositories, self.private = {}, set()
        self.token, self.asked = "hf_token", []

    def find(self, repository, revision):
        """Return the commit and the files of a revision, or `None`."""
        commits = self.repositories.get(repository) or ()
        if revision == "main":
            return commits[-1] if commits else None
        return next((each for each in commits if each[0] == revision), None)

    def commit(self, repository, files, deleted=()):
        """Add a commit with more files, and without some, and return it."""
        commits = self.repositories.setdefault(repository, [])
        files = {**(commits[-1][1] if commits else {}), **files}
        files = {name: data for name, data in files.items() if name not in deleted}
        content = b"".join(name.encode() + files[name] for name in sorted(files))
        commits.append((hashlib.sha1(content).hexdigest(), files))
        return commits[-1][0]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, data, code=200, **headers):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        self.send_response(code)
        for name, value in {"Content-Length": len(data), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, code, kind):
        self.answer({"error": kind}, code, X_Error_Code=kind)

    def do_GET(self):
        hub, path = self.server.hub, urlsplit(self.path).path
        hub.asked.append(path)
        match path.strip("/").split("/"):
            case ["api", "models", owner, name, *rest]:
                repository, revision = f"{owner}/{name}", rest[1] if len(rest) > 1 else "main"
            case [owner, name, "resolve", revision, *rest]:
                repository = f"{owner}/{name}"
            case _:
                return self.refuse(404, "EntryNotFound")
        if repository not in hub.repositories:
            return self.refuse(404, "RepoNotFound")
        is_new = path.startswith("/api/") and not hub.repositories[repository]
        empty = (None, {}) if is_new else None
        if not (found := hub.find(repository, revision) or empty):
            return self.refuse(404, "RevisionNotFound")
        sha, files = found
        if path.startswith("/api/"):
            listed = [
                {"type": "file", "path": path, "size": len(data), "oid": digest(data)}
                for path, data in files.items()
            ]
            about = {"id": repository, "sha": sha, "siblings": [], "tags": []}
            about["private"] = repository in hub.private
            return self.answer(listed if rest[:1] == ["tree"] else about)
        if (place := "/".join(rest)) not in files:
            return self.refuse(404, "EntryNotFound")
        data = files[place]
        self.answer(data, ETag=f'"{digest(data)}"', X_Repo_Commit=sha)

    do_HEAD = do_GET

    def do_POST(self):
        hub, body = self.server.hub, self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {hub.token}":
            return self.refuse(401, "Unauthorized")
        match self.path.partition("?")[0].strip("/").split("/"):
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                repository = f"{asked['organization']}/{asked['name']}"
                is_new = repository not in hub.repositories
                hub.repositories.setdefault(repository, [])
                if is_new and asked.get("visibility") == "private":
                    hub.private.add(repository)
                url = {"url": f"http://{self.headers['Host']}/{repository}"}
                self.answer(url, 200 if is_new else 409)
            case ["api", "validate-yaml"]:
                self.answer({"errors": [], "warnings": []})
            case ["api", "models", owner, name, "preupload", "main"]:
                how = {"uploadMode": "regular", "shouldIgnore": False}
                paths = [each["path"] for each in json.loads(body)["files"]]
                self.answer({"files": [{"path": path, **how} for path in paths]})
            case ["api", "models", owner, name, "commit", "main"]:
                lines = [json.loads(line) for line in body.splitlines()]
                files = {
                    each["value"]["path"]: base64.b64decode(each["value"]["content"])
                    for each in lines
                    if each["key"] == "file"
                }
                deleted = [each["value"]["path"] for each in lines if each["key"] == "deletedFile"]
                sha = hub.commit(f"{owner}/{name}", files, deleted)
                address = f"http://{self.headers['Host']}/{owner}/{name}/commit/{sha}"
                self.answer({"commitUrl": address, "commitOid": sha})
            case _:
                self.refuse(404, "EntryNotFound")


def digest(data):
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A `StandIn` that the Hub's client asks in this process and, by HF_ENDPOINT, in others."""
    pytest.importorskip("huggingface_hub", reason="pip install 'cnn-cifar10[hub]'")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = StandIn()
    server.hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.hub.address)
    files = f"{server.hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setenv("HF_ENDPOINT", server.hub.address)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server.hub
    server.shutdown()
    thread.join()
    server.server_close()
