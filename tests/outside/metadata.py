"""A stand-in for the services that hand out credentials: EC2's and Alibaba
ECS's metadata (with session tokens, 401 without one), the container services of
ECS and EKS, the token exchange of AWS STS and of Alibaba STS, and a plain
credentials URI.  Not a test itself.

    m = Metadata(id="AKID", secret="HUSH", token="TOKEN")
    m.url                       # http://127.0.0.1:PORT
    m.set(lifetime=60, fail=2)  # see KNOBS
    m.count("GET /ecs")         # how often
    m.close()

Paths: /latest/... as the clouds have it; /ecs for containers; POST / for both
STS; /uri.  What it hands out are the keys it was given; with rotate=1 the id
and the token end in a number that grows.  On its own it prints its URL and
serves until its standard input ends; POST /_ctl?lifetime=60&fail=2 sets knobs,
GET /_ctl answers {"knobs": ..., "counts": ..., "served": ...}.
"""
import collections
import datetime
import http.server
import json
import secrets
import sys
import threading
import time
import urllib.parse

KNOBS = {
    "lifetime": 3600.0,     # seconds from now to the Expiration; below 0: it is past
    "fail": 0,              # so many of the next requests get `status`
    "status": 503,
    "delay": 0.0,           # seconds before each answer
    "rotate": 0,
    "v1": 0,                # metadata without a session token is allowed
    "token_status": 200,    # of PUT /latest/api/token
    "token_delay": 0.0,
    "role": "test-role",    # "": the machine has none
    "code": "Success",      # of metadata answers
    "raw": "",              # a body in place of keys
    "want": "",             # the Authorization, or identity token, that is right
}


class Metadata:
    def __init__(self, id="AKID", secret="HUSH", token="TOKEN", **knobs):
        self.keys = (id, secret, token)
        self.knobs = dict(KNOBS, **knobs)
        self.counts, self.served = collections.Counter(), 0
        self.sessions, self.lock = set(), threading.Lock()
        handler = type("Handler", (Answer,), {"outer": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def set(self, **knobs):
        for k, v in knobs.items():
            self.knobs[k] = type(KNOBS[k])(v)

    def count(self, what):
        return self.counts[what]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def fresh(self):
        """id, secret, token and the time of expiry of the next set."""
        with self.lock:
            self.served += 1
            more = str(self.served) if self.knobs["rotate"] else ""
        at = (datetime.datetime.now(datetime.timezone.utc) +
              datetime.timedelta(seconds=self.knobs["lifetime"]))
        id, secret, token = self.keys
        return id + more, secret, token + more, at.strftime("%Y-%m-%dT%H:%M:%SZ")


XML = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:a:b</SubjectFromWebIdentityToken>
    <Credentials>
      <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>
      <SessionToken>{}</SessionToken><Expiration>{}</Expiration>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
XML_ERROR = """<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code>
<Message>{}</Message></Error><RequestId>1-2</RequestId></ErrorResponse>"""


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *a):
        pass

    def send(self, status, body=""):
        data = body.encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def do_GET(self):
        m, path = self.outer, self.path
        if path == "/_ctl":
            return self.send(200, json.dumps({"knobs": m.knobs, "counts": m.counts,
                                              "served": m.served}))
        if not self.awake("GET " + path):
            return None
        raw = m.knobs["raw"]
        if path == "/ecs":
            if m.knobs["want"] and self.headers.get("Authorization") != m.knobs["want"]:
                return self.send(401, '{"code": "AccessDenied"}')
            return self.send(200, raw or self.aws())
        if path == "/uri":
            return self.send(200, raw or self.alibaba())
        if not m.knobs["v1"] and not self.has_session():
            return self.send(401)
        for kind, form in (("iam", self.aws), ("ram", self.alibaba)):
            base = f"/latest/meta-data/{kind}/security-credentials/"
            if path == base and m.knobs["role"]:
                return self.send(200, m.knobs["role"])
            if m.knobs["role"] and path == base + m.knobs["role"]:
                return self.send(200, raw or form())
        return self.send(404, "no such thing")

    def do_PUT(self):
        m = self.outer
        ttl = (self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") or
               self.headers.get("X-aliyun-ecs-metadata-token-ttl-seconds") or "")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.awake("PUT " + self.path):
            return None
        time.sleep(m.knobs["token_delay"])
        if self.path != "/latest/api/token":
            return self.send(404)
        if m.knobs["token_status"] != 200:
            return self.send(m.knobs["token_status"])
        if not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            return self.send(400)
        session = secrets.token_urlsafe(32) + "=="
        m.sessions.add(session)
        return self.send(200, session)

    def do_POST(self):
        m = self.outer
        u = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        query = dict(urllib.parse.parse_qsl(u.query, keep_blank_values=True))
        form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        if u.path == "/_ctl":
            if query.pop("forget", None):
                m.sessions.clear()
            m.set(**query)
            return self.send(200, json.dumps(m.knobs))
        if not self.awake("POST " + u.path):
            return None
        if query.get("Action") == "AssumeRoleWithOIDC":
            return self.send(*self.oidc(query, form))
        if form.get("Action") == "AssumeRoleWithWebIdentity":
            return self.send(*self.web_identity(form))
        return self.send(400, XML_ERROR.format("InvalidAction", "no such action"))

    def awake(self, what):
        """False: this request has been answered with a failure."""
        m = self.outer
        with m.lock:
            m.counts[what] += 1
            failing = m.knobs["fail"] > 0
            m.knobs["fail"] -= failing
        time.sleep(m.knobs["delay"])
        if failing:
            self.send(m.knobs["status"], "on purpose")
        return not failing

    def has_session(self):
        return any(self.headers.get(h) in self.outer.sessions for h in (
            "X-aws-ec2-metadata-token", "X-aliyun-ecs-metadata-token"))

    def aws(self):
        id, secret, token, at = self.outer.fresh()
        return json.dumps({"Code": self.outer.knobs["code"], "Type": "AWS-HMAC",
                           "LastUpdated": "2026-01-01T00:00:00Z", "AccessKeyId": id,
                           "SecretAccessKey": secret, "Token": token,
                           "Expiration": at}, indent=2)

    def alibaba(self):
        id, secret, token, at = self.outer.fresh()
        return json.dumps({"Code": self.outer.knobs["code"], "AccessKeyId": id,
                           "AccessKeySecret": secret, "SecurityToken": token,
                           "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": at})

    def web_identity(self, form):
        want = self.outer.knobs["want"]
        if not form.get("RoleArn", "").startswith("arn:") or not form.get("RoleSessionName"):
            return 400, XML_ERROR.format("ValidationError", "no role")
        if form.get("Version") != "2011-06-15":
            return 400, XML_ERROR.format("NoSuchVersion", "which version?")
        if want and form.get("WebIdentityToken") != want:
            return 400, XML_ERROR.format("InvalidIdentityToken", "No provider knows it")
        return 200, self.outer.knobs["raw"] or XML.format(*self.outer.fresh())

    def oidc(self, query, form):
        want = self.outer.knobs["want"]
        if (query.get("Version"), query.get("Format")) != ("2015-04-01", "JSON"):
            return 400, json.dumps({"Code": "InvalidVersion", "Message": "which?"})
        try:
            time.strptime(query.get("Timestamp", ""), "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            return 400, json.dumps({"Code": "InvalidTimeStamp.Format", "Message": "when?"})
        if not all(form.get(k) for k in ("RoleArn", "OIDCProviderArn", "RoleSessionName")):
            return 400, json.dumps({"Code": "MissingParameter", "Message": "more"})
        if want and form.get("OIDCToken") != want:
            return 400, json.dumps({"Code": "AuthenticationFail.OIDCToken.Invalid",
                                    "Message": "This token is not one of ours"})
        id, secret, token, at = self.outer.fresh()
        return 200, self.outer.knobs["raw"] or json.dumps({"Credentials": {
            "AccessKeyId": id, "AccessKeySecret": secret, "SecurityToken": token,
            "Expiration": at}, "RequestId": "1-2"})


if __name__ == "__main__":
    print(Metadata(*sys.argv[1:4]).url, flush=True)
    sys.stdin.read()
