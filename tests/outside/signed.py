"""A request signed by the standard library alone (AWS Signature Version 4), for
tests that look at a store by themselves.  Not a test itself.

    r = send("http://127.0.0.1:7480", "PUT", "/bucket/a key", query={}, headers={},
             body=b"", id=.., secret=.., token=.., service="s3", at=seconds)
    r.status r.headers r.body r.text r.code     # code: of <Error>
"""
import datetime
import hashlib
import hmac
import http.client
import re
import ssl
import time
import urllib.parse

from t import limit


def quote(s, safe=""):
    return urllib.parse.quote(s, safe=safe + "-_.~")


def hmac256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def v4(method, path, query, headers, signed, payload, when, secret, scope):
    """The signature of a request; path and query as they are on the wire."""
    low = {k.lower(): " ".join(str(v).split()) for k, v in headers.items()}
    pairs = sorted((p + "=").split("=")[:2] for p in query.split("&") if p)
    canonical = "\n".join([
        method, path, "&".join("=".join(p) for p in pairs),
        "".join(f"{h}:{low[h]}\n" for h in signed), ";".join(signed), payload])
    day, region, service, end = scope.split("/")
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, end):
        key = hmac256(key, part)
    return hmac256(key, text).hex()


def sign(method, host, path, query="", headers=None, body=b"", id="", secret="", token="", region="us-east-1",
         service="s3", at=None, payload=None):
    """The headers of a request, all of them signed."""
    when = datetime.datetime.fromtimestamp(at if at is not None else time.time(), datetime.timezone.utc)
    when = when.strftime("%Y%m%dT%H%M%SZ")
    payload = payload or hashlib.sha256(body or b"").hexdigest()
    h = dict(headers or {}, Host=host)
    h.update({"x-amz-date": when, "x-amz-content-sha256": payload})
    if token:
        h["x-amz-security-token"] = token
    scope = f"{when[:8]}/{region}/{service}/aws4_request"
    signed = sorted(k.lower() for k in h)
    h["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={';'.join(signed)}, Signature=" +
                          v4(method, path, query, h, signed, payload, when, secret, scope))
    return h


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    @property
    def code(self):
        m = re.search("<Code>([^<]*)", self.body.decode("utf-8", "replace"))
        return m.group(1) if m else ""


def send(url, method, path, query=None, headers=None, body=b"", ca=None, timeout=30, **keys):
    """path: not encoded.  keys: id, secret and so on, for sign(); none: anonymous."""
    u = urllib.parse.urlsplit(url)
    wire = quote(path, "/")
    q = "&".join(f"{quote(k)}={quote(str(v))}" for k, v in sorted((query or {}).items()))
    h = dict(headers or {})
    if keys.get("id"):
        h = sign(method, u.netloc, wire, q, h, body, **keys)
    if u.scheme == "https":
        c = http.client.HTTPSConnection(u.hostname, u.port, timeout=limit(timeout),
                                        context=ssl.create_default_context(cafile=ca))
    else:
        c = http.client.HTTPConnection(u.hostname, u.port, timeout=limit(timeout))
    try:
        c.putrequest(method, wire + ("?" + q if q else ""), skip_host="Host" in h, skip_accept_encoding=True)
        if "Content-Length" not in h and (body or method in ("PUT", "POST")):
            c.putheader("Content-Length", str(len(body)))
        for k, v in h.items():
            c.putheader(k, v)
        c.endheaders(body or None)
        r = c.getresponse()
        return Answer(r.status, r.headers, r.read())
    finally:
        c.close()
