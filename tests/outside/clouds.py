"""Stand-ins for the metadata services of six clouds, with their oddities.

    from clouds import Cloud
    c = Cloud("aws")            # serves on a free port of loopback: c.url
    c.notice(seconds=30)        # from now on there is a notice
    c.withdraw()                # not any more
    c.asked("/latest/api/token")        # how often
    c.config(margin=0)          # a `preempt` section for the daemon
    c.close()
    saved(d)                    # wait until a daemon is, and may go

Knobs: c.clock (seconds that its clock is ahead of ours), c.hang (seconds before
each answer), c.slow_first, c.tokens (False: a service that knows none; a number:
the status of who asks for one), c.token_hang (seconds), c.status (an answer for
everything), c.body (bytes in place of a notice), c.event (of Azure: what is other
than usual of it), c.acks (what was POSTed).  Not a test itself.
"""
import datetime
import http.server
import json
import threading
import time

from t import wait_for


def utc(t, form="%Y-%m-%dT%H:%M:%SZ"):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime(form)


def saved(d, seconds=20):
    """The daemon has saved what there is, and waits for the machine's end."""
    wait_for(seconds, "everything is saved", lambda: d.get("/v1/status").json["preemption"]["saved"])


class Cloud:
    def __init__(self, kind, name="vm-7"):
        self.kind, self.name = kind, name
        self.at = None                  # the notice's time, seconds since the epoch
        self.extra = {}                 # path part: body, in place of "no notice"
        self.clock = self.hang = self.slow_first = 0
        self.tokens, self.status, self.body, self.event = True, None, None, {}
        self.token_hang = 0
        self.acks, self.log, self.issued = [], [], set()
        self.change = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def date_time_string(self, timestamp=None):
                return utc(time.time() + outer.clock, "%a, %d %b %Y %H:%M:%S GMT")

            def go(self):
                n = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(n) if n else b""
                outer.log.append((self.command, self.path))
                if outer.slow_first:
                    s, outer.slow_first = outer.slow_first, 0
                    time.sleep(s)
                if outer.hang:
                    time.sleep(outer.hang)
                status, text, headers = outer.answer(self.command, self.path, self.headers, body)
                data = text if isinstance(text, bytes) else text.encode()
                try:
                    self.send_response(status)
                    for k, v in headers.items():
                        self.send_header(k, v)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass
            do_GET = do_PUT = do_POST = go

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *a):
                pass
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def notice(self, seconds=120):
        with self.change:
            self.at = time.time() + self.clock + seconds
            self.change.notify_all()

    def withdraw(self):
        with self.change:
            self.at = None
            self.change.notify_all()

    def asked(self, part):
        return sum(part in p for _, p in self.log)

    def config(self, **more):
        return {"preempt": {"cloud": self.kind, "url": {self.kind: self.url}, "poll": 0.1, "margin": 0, **more}}

    # --- answers

    def answer(self, method, path, headers, body):
        if self.status:
            return self.status, "no", {}
        if path == "/latest/api/token" and method == "PUT":
            ttl = {"aws": "X-aws-ec2-metadata-token-ttl-seconds",
                   "alibaba": "X-aliyun-ecs-metadata-token-ttl-seconds"}.get(self.kind)
            time.sleep(self.token_hang)
            if self.tokens is not True or ttl is None:
                return self.tokens or 404, "", {}
            if not headers.get(ttl, "").isdigit():
                return 400, "", {}
            t = f"token-{len(self.issued)}"
            self.issued.add(t)
            return 200, t, {}
        want = {"aws": "X-aws-ec2-metadata-token", "alibaba": "X-aliyun-ecs-metadata-token"}.get(self.kind)
        if want and self.tokens is True and not self.token_hang and headers.get(want) not in self.issued:
            return 401, "", {}
        for part, text in self.extra.items():
            if part in path:
                return 200, text, {}
        return getattr(self, self.kind)(method, path, headers, body)

    def told(self, text):
        return 200, self.body if self.body is not None else text, {}

    def aws(self, method, path, headers, body):
        if path.endswith("/spot/instance-action") and self.at:
            return self.told(json.dumps({"action": "terminate", "time": utc(self.at)}))
        if path.endswith("/maintenance/scheduled"):
            return 200, "[]", {}
        return 404, "<html>Not Found</html>", {}

    def alibaba(self, method, path, headers, body):
        if path.endswith("/spot/termination-time") and self.at:
            return self.told(utc(self.at))
        return 404, "", {}

    def tencent(self, method, path, headers, body):
        if path.endswith("/spot/termination-time") and self.at:
            return self.told(utc(self.at + 8 * 3600, "%Y-%m-%d %H:%M:%S"))
        return 404, "", {}

    def volcengine(self, method, path, headers, body):
        if self.at:
            return self.told(utc(self.at))
        return 200, "", {}

    def gcp(self, method, path, headers, body):
        if headers.get("Metadata-Flavor") != "Google":
            return 403, "", {}
        if "maintenance-event" in path:
            value = "NONE"
            if "wait_for_change" in path:
                time.sleep(5)
        else:
            seen = "last_etag=" in path and path.split("last_etag=")[1].split("&")[0]
            end = time.time() + 60
            with self.change:
                while seen == ("1f" if self.at else "0a") and time.time() < end:
                    self.change.wait(0.5)
            value = "TRUE" if self.at else "FALSE"
        return 200, value, {"ETag": "1f" if value == "TRUE" else "0a", "Metadata-Flavor": "Google"}

    def azure(self, method, path, headers, body):
        if headers.get("Metadata") != "true":
            return 400, "", {}
        if "/compute/name" in path:
            return 200, self.name, {}
        if method == "POST":
            self.acks.append(json.loads(body))
            return 200, "", {}
        events = [{"EventId": "E-other", "EventType": "Preempt", "Resources": ["vm-8"], "EventStatus": "Scheduled",
                   "NotBefore": utc(time.time() + self.clock + 20, "%a, %d %b %Y %H:%M:%S GMT")}]
        if self.at:
            events.append({"EventId": "E-mine", "EventType": "Preempt", "ResourceType": "VirtualMachine",
                           "Resources": [self.name], "EventStatus": "Scheduled",
                           "NotBefore": utc(self.at, "%a, %d %b %Y %H:%M:%S GMT"), **self.event})
        return self.told(json.dumps({"DocumentIncarnation": 1, "Events": events}))
