"""A stand-in for the Hugging Face hub on the loopback interface, for pushes and pulls."""

import base64
import hashlib
import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_of_this_test"


class Hub:
    """Repositories with all their revisions; large files go through LFS, as on the hub.

    Attributes:
        url: Its address, for ``HF_ENDPOINT``.
        revisions: Of each repository, the files of each commit, by its hash.
        requests: Method and path of each request.
    """

    def __init__(self):
        self.revisions = defaultdict(dict)
        self.objects, self.requests = {}, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                hub.requests.append((self.command, path))
                status, headers, content = hub.answer(self.command, path, body, self.headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = _answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def latest(self, repository):
        """Return hash and files of a repository's last commit."""
        return list(self.revisions[repository].items())[-1]

    def answer(self, method, path, body, headers):
        """Return status, headers and content of an answer."""
        is_allowed = headers.get("Authorization") == f"Bearer {TOKEN}"
        if method in ("POST", "PUT") and not path.startswith("/lfs/") and not is_allowed:
            return 401, {}, b'{"error": "Invalid credentials"}'
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            self.revisions[name].setdefault(hashlib.sha1(b"").hexdigest(), {})
            return self._json({"url": f"{self.url}/{name}", "name": name})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if found := re.fullmatch(r"/lfs/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == found[1]
            self.objects[found[1]] = body
            return 200, {}, b""
        if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.url}/lfs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        found = re.fullmatch(r"/(?:api/models/)?([^/]+/[^/]+?)(?:/(\w+)/([^/]+)(?:/(.*))?)?", path)
        if found is None or found[1] not in self.revisions:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        return self._of_repository(*found.groups(), body)

    def _of_repository(self, name, what, revision, file, body):
        if what == "preupload":
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(".h5") else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            return self._json({"files": modes})
        if what == "commit":
            return self._commit(name, body)
        commit, files = self.latest(name)
        if revision not in (None, "main"):
            commit, files = revision, self.revisions[name].get(revision)
        if files is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        if what == "resolve":
            if file not in files:
                return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b"{}"
            digest = hashlib.sha256(files[file]).hexdigest()
            return 200, {"ETag": f'"{digest}"', "X-Repo-Commit": commit}, files[file]
        if what == "tree":
            listed = [
                {"type": "file", "path": path, "size": len(content), "oid": "0"}
                for path, content in files.items()
            ]
            return self._json(listed)
        siblings = [{"rfilename": path} for path in files]
        return self._json({"id": name, "sha": commit, "siblings": siblings, "private": False})

    def _commit(self, name, body):
        _, files = self.latest(name)
        files = dict(files)
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
        commit = hashlib.sha1(body).hexdigest()
        self.revisions[name][commit] = files
        url = f"{self.url}/{name}/commit/{commit}"
        return self._json({"success": True, "commitUrl": url, "commitOid": commit})

    @staticmethod
    def _json(content):
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
