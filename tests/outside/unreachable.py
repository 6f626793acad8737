#!/usr/bin/env python3
"""Who only asks about a job or a file is told soon that nobody answers at its address; a job waits on."""
import http.server
import socket
import subprocess
import threading

from t import BUILD, case, eq, has, run, safetensors, tiny, wait_for


def closed():
    """A port of loopback where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def warm(d, url):
    job = tiny(d, "warm")
    job["model"] = {"arch": "mlp", "sizes": [4, 16, 3], "checkpoint": url}
    return job


for what, url in (("refuses connections", "http://127.0.0.1:{}/m.safetensors"), ("is not known", "http://nowhere.invalid/m.safetensors")):
    @case(f"a host that {what} is no reason to wait for who asks")
    def _(d, url=url):
        url = url.format(closed())
        for path, body in (("/v1/jobs?dry_run=1", warm(d, url)), ("/v1/warm-starts/plan", warm(d, url))):
            r = d.post(path, body, want=504, timeout=200)
            has(r.json["detail"], f"cannot reach {url}")
        p = subprocess.run([f"{BUILD}/rekindle", "--server", d.url, "weights", "show", url], capture_output=True, text=True)
        assert p.returncode != 0, p.stdout
        has(p.stderr, f"cannot reach {url}")
        # A job that is submitted waits for it.
        i = d.submit(warm(d, url))
        wait_for(60, "it says what it waits for", lambda: f"waits for {url}" in d.job(i)["message"])
        eq(d.job(i)["state"], "queued")


@case("who asks after a job has waited for long asks anew, and finds the host that is there now")
def _(d):
    port = closed()
    url = f"http://127.0.0.1:{port}/m.safetensors"
    i = d.submit(warm(d, url))
    wait_for(60, "it waits", lambda: f"waits for {url}" in d.job(i)["message"])
    size = {"fc1.weight": (16, 4), "fc1.bias": (16,), "fc2.weight": (3, 16), "fc2.bias": (3,)}
    path = safetensors(f"{d.root}/m.st", {n: ("F32", s, b"\0" * 4 * s[0] * (s[1] if len(s) > 1 else 1)) for n, s in size.items()})
    with open(path, "rb") as f:
        bytes_ = f.read()

    class Page(http.server.BaseHTTPRequestHandler):
        def log_message(self, *a):
            pass

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(bytes_)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(bytes_)
        do_HEAD = do_GET
    http.server.ThreadingHTTPServer.allow_reuse_address = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    r = d.post("/v1/jobs?dry_run=1", warm(d, url), want=200, timeout=200)
    eq(r.json["accepted"], True)
    # It has what the other fetched.
    d.wait_state(i, "succeeded")
    server.shutdown()


run()
