"""An object store in memory that believes nothing: every signature is computed
again with Python's hmac.  It speaks the dialect that a request is signed in:
S3 (AWS4-HMAC-SHA256), OSS V4 (OSS4-HMAC-SHA256), OSS V1 (OSS).  Not a test.

    st = Store(region="cn-hangzhou")    # tls: (certificate, key) files
    st.url st.port st.id st.secret
    st.vhost                    # "http://oss.localhost:PORT": buckets before it
    st.buckets["b"]["key"]      # Object: body etag meta crc; "b" exists
    st.uploads                  # id -> Upload: bucket key parts{n: Part}
    st.seen                     # Seen: method key query status code dialect
                                # headers length; st.count("PUT", "partNumber")
    st.store("oss://", ...)     # an entry of `stores` in the configuration
    st.stop()
Settings, to be changed at any time:
    st.clock = 1200             # seconds by which its clock is ahead of ours
    u = st.session(3.0)         # id, secret, token that expire in 3 s;
    st.expire(u)                # now
    st.conditional = 501        # S3: True, False (ignored), 501, 409 with a code of its own, "keeps" (200, and what
                                # was there stays)
    st.versioned = True         # OSS: forbid-overwrite has no effect
    st.public_forbidden = True  # OSS: as for new users on a public endpoint
    st.slow_every = 5           # every 5th request gets 503 SlowDown
    st.complete_error = 2       # so many Completes answer 200 with an <Error>
    st.min_part = 5 << 20       # smaller parts (but the last): EntityTooSmall
    st.page = 1000              # entries in an answer to a list, at most
    st.lie_crc = True           # OSS: a CRC64 that is another object's
    st.before = fn              # fn(seen) for each request that was let in
    st.late = fn                # fn(bucket, key): lists leave it out yet
"""
import base64
import calendar
import email.utils
import hashlib
import hmac
import http.server
import lzma
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
import urllib.parse
import uuid
import xml.sax.saxutils


def crc64(data):
    """CRC-64/XZ, by the library that xz is made of: the check of a stream."""
    if not data:
        return 0
    z = lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC64,
                      filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 4096, "mf": lzma.MF_HC3,
                                "nice_len": 3, "depth": 1, "mode": lzma.MODE_FAST}])
    index = (struct.unpack("<I", z[-8:-4])[0] + 1) * 4
    return struct.unpack("<Q", z[-12 - index - 8:-12 - index])[0]


def enc(s, safe=""):
    return urllib.parse.quote(s, safe=safe + "-_.~")


def hm(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def chain(first, parts):
    key = first.encode()
    for p in parts:
        key = hm(key, p)
    return key


# --- the three signatures; headers: lower-case names, query: decoded pairs ---------------------

def s3_v4(method, uri, query, headers, signed, payload, secret, scope):
    canonical = "\n".join(
        [method, enc(uri, "/"), "&".join(f"{k}={v}" for k, v in sorted((enc(k), enc(v)) for k, v in query))] +
        [f"{h}:{' '.join(headers.get(h, '').split())}" for h in signed] + ["", ";".join(signed), payload])
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hm(chain("AWS4" + secret, scope.split("/")), text).hex()


def oss_v4(method, uri, query, headers, additional, secret, scope):
    always = [h for h in headers if h in ("content-type", "content-md5") or h.startswith("x-oss-")]
    lines = sorted(set(always) | {a for a in additional if a in headers})
    pairs = sorted((enc(k), enc(v)) for k, v in query)
    canonical = "\n".join([
        method, enc(uri, "/"), "&".join(f"{k}={v}" if v else k for k, v in pairs),
        "".join(f"{h}:{headers[h].strip()}\n" for h in lines),
        ";".join(sorted(a for a in additional if a not in always and a in headers)),
        headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD")])
    text = f"OSS4-HMAC-SHA256\n{headers['x-oss-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hm(chain("aliyun_v4" + secret, scope.split("/")), text).hex()


SUB = set("""acl bucketInfo location stat delete append tagging objectMeta uploads uploadId partNumber security-token
position response-content-type response-content-language response-expires response-cache-control
response-content-disposition response-content-encoding restore callback callback-var versions versioning versionId
sequential continuation-token regionList cloudboxes symlink resourceGroup""".split())


def oss_v1(method, uri, query, headers, secret):
    sub = sorted((k, v) for k, v in query if k in SUB or k.startswith("x-oss-"))
    resource = uri + ("?" + "&".join(f"{k}={v}" if v else k for k, v in sub) if sub else "")
    text = "\n".join([method, headers.get("content-md5", ""), headers.get("content-type", ""),
                      headers.get("date", "")]) + "\n"
    text += "".join(f"{h}:{headers[h].strip()}\n" for h in sorted(headers) if h.startswith("x-oss-")) + resource
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


# --- what is kept ------------------------------------------------------------------------------

class Object:
    def __init__(self, body, etag, crc, meta):
        self.body, self.etag, self.crc, self.meta, self.at = body, etag, crc, meta, time.time()


class Part:
    def __init__(self, body, etag, crc):
        self.body, self.etag, self.crc, self.at = body, etag, crc, time.time()


class Upload:
    def __init__(self, bucket, key, meta):
        self.bucket, self.key, self.meta = bucket, key, meta
        self.parts, self.at, self.object = {}, time.time(), None    # object: completed


class Key:
    def __init__(self, id, secret, token="", expires=None):
        self.id, self.secret, self.token, self.expires = id, secret, token, expires


class Seen:
    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        self.status, self.code, self.dialect, self.length = 0, "", "", 0

    def __repr__(self):
        return f"{self.dialect} {self.method} {self.target} -> {self.status} {self.code}".strip()


class No(Exception):
    """An answer of no: status, code, sentence, EC, further elements."""

    def __init__(self, status, code, message="", ec="0000-00000000", more="", headers=None):
        super().__init__(code)
        self.status, self.code, self.message, self.ec = status, code, message or code, ec
        self.more, self.headers = more, headers or {}


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass                            # clients that were killed


class Store:
    def __init__(self, region="us-east-1", tls=None, buckets=("b",)):
        self.region, self.tls = region, bool(tls)
        self.buckets = {b: {} for b in buckets}
        self.uploads, self.seen, self.lock = {}, [], threading.RLock()
        self.keys, self.clock, self.conditional, self.versioned = {}, 0, True, False
        self.public_forbidden, self.slow_every, self.complete_error = False, 0, 0
        self.min_part, self.page, self.lie_crc, self.before = 1, 1000, False, None
        self.late = None
        self.key = self.add("AKstub0000000000", "stubSecret+/=" + uuid.uuid4().hex)
        self.id, self.secret = self.key.id, self.key.secret
        store = self

        class Handler(Request):
            st = store
        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            c.load_cert_chain(*tls)
            self.server.socket = c.wrap_socket(self.server.socket, server_side=True,
                                               do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        scheme = "https" if tls else "http"
        self.url, self.vhost = f"{scheme}://127.0.0.1:{self.port}", f"{scheme}://oss.localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, id, secret, token="", expires=None):
        self.keys[id] = Key(id, secret, token, expires)
        return self.keys[id]

    def session(self, seconds):
        return self.add("STS." + uuid.uuid4().hex[:16], uuid.uuid4().hex, "token+/=" + uuid.uuid4().hex,
                        time.time() + seconds)

    def expire(self, key):
        key.expires = time.time() - 1

    def now(self):
        return time.time() + self.clock

    def count(self, method=None, match="", status=None):
        with self.lock:
            return sum(1 for s in self.seen if (not method or s.method == method) and re.search(match, s.target) and
                       (status is None or s.status == status))

    def store(self, match="oss://", key=None, url=None, **more):
        k = key or self.key
        s = {"match": match, "endpoint": url or self.url, "region": self.region, "addressing": "path",
             "access_key_id": k.id, "secret_access_key": k.secret}
        if k.token:
            s["session_token"] = k.token
        return dict(s, **more)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


# --- a request ---------------------------------------------------------------------------------

class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    st = None
    timeout = 120

    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def log_message(self, *a):
        pass

    def handle_expect_100(self):
        self.expects = True             # answered when the head was believed
        return True

    def parse_request(self):
        self.expects = False
        return super().parse_request()

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(timestamp or self.st.now(), usegmt=True)

    def handle_any(self):
        st = self.st
        target = self.requestline.split()[1]            # .path has lost slashes
        path, _, q = target.partition("?")
        self.query = [(k, v) for k, v in urllib.parse.parse_qsl(q.replace("+", "%2B"), True)]
        self.q = dict(self.query)
        self.h = {k.lower(): v for k, v in self.headers.items()}
        self.had = False
        self.seen = Seen(self.command, target, self.h)
        with st.lock:
            st.seen.append(self.seen)
            n = len(st.seen)
        auth = self.h.get("authorization", "")
        self.oss = auth.startswith("OSS") or "OSS" in auth[:3]
        self.seen.dialect = {"A": "s3", "O": "oss1"}.get(auth[:1], "none")
        if auth.startswith("OSS4"):
            self.seen.dialect = "oss4"
        try:
            self.place(urllib.parse.unquote(path, errors="surrogateescape"))
            if st.slow_every and n % st.slow_every == 0:
                raise No(503, "SlowDown", "Please reduce your request rate.", headers={"Retry-After": "0"})
            if st.public_forbidden and self.oss:
                raise No(400, "PublicEndpointForbidden", "The bucket cannot be reached by this public endpoint.",
                         "0048-00000401")
            self.believe(auth)
            self.body = self.read_body()
            self.agree()
            if st.before:
                st.before(self.seen)
            with st.lock:
                self.act()
        except No as no:
            self.refuse(no)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def place(self, path):
        host = self.h.get("host", "").split(":")[0]
        labels = host.split(".")
        if host.endswith(".localhost") and len(labels) > 2:
            self.bucket, self.name, self.virtual = ".".join(labels[:-2]), path[1:], True
        else:
            self.bucket, _, self.name = path[1:].partition("/")
            self.virtual = False
            if self.oss and not re.fullmatch(r"[0-9.]+", host):
                raise No(403, "SecondLevelDomainForbidden", "Please use virtual hosted style to access.")
        self.wire = path

    def read_body(self):
        n = int(self.h.get("content-length", 0))
        if self.expects and n:
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(n)
        self.had = True
        self.seen.length = len(body)
        if len(body) < n:
            self.close_connection = True
            raise No(400, "IncompleteBody")
        return body

    # -- signatures

    def fresh(self, seconds):
        if abs(self.st.now() - seconds) > 900:
            raise No(403, "RequestTimeTooSkewed",
                     "The difference between the request time and the current time is too large.", "0002-00000504")

    def who(self, id, token):
        k = self.st.keys.get(id)
        if k is None or k.token and not token:
            raise No(403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records.",
                     "0002-00000902")
        if k.token != token:
            raise No(403 if self.oss else 400, "InvalidSecurityToken" if self.oss else "InvalidToken")
        if k.expires is not None and time.time() > k.expires:
            if self.oss:
                raise No(403, "SecurityTokenExpired", "The security token you provided has expired.", "0002-00000069")
            raise No(400, "ExpiredToken", "The provided token has expired.")
        return k

    def believe(self, auth):
        if auth.startswith("AWS4-HMAC-SHA256 "):
            want, got = self.believe_s3(auth[17:])
        elif auth.startswith("OSS4-HMAC-SHA256 "):
            want, got = self.believe_oss4(auth[17:])
        elif auth.startswith("OSS "):
            want, got = self.believe_oss1(auth[4:])
        else:
            raise No(403, "AccessDenied", "Anonymous access is forbidden for this operation.")
        if not hmac.compare_digest(want, got):
            raise No(403, "SignatureDoesNotMatch",
                     "The request signature we calculated does not match the signature you provided.", "0002-00000040")

    def scope(self, credential, date, middle, end):
        """(id, scope) of a credential that fits the date and this store."""
        id, _, scope = credential.partition("/")
        day, region, service, last = (scope.split("/") + [""] * 4)[:4]
        if day != date[:8] or service != middle or last != end:
            raise No(400, "AuthorizationHeaderMalformed", f"the scope {scope} is not as it must be")
        if region != self.st.region:
            if self.oss:
                raise No(400, "InvalidArgument", "Invalid signing region in Authorization header.", "0002-00000236")
            raise No(400, "AuthorizationHeaderMalformed",
                     f"the region '{region}' is wrong; expecting '{self.st.region}'",
                     more=f"<Region>{self.st.region}</Region>",
                     headers={"x-amz-bucket-region": self.st.region})
        return id, scope

    def date(self, text):
        try:
            return calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ"))
        except ValueError:
            raise No(403, "AccessDenied", "a date is required")

    def believe_s3(self, text):
        f = dict(x.strip().split("=", 1) for x in text.split(","))
        date, payload = self.h.get("x-amz-date", ""), self.h.get("x-amz-content-sha256", "")
        signed = f["SignedHeaders"].split(";")
        must = ["host"] + [h for h in self.h if h.startswith("x-amz-") or h in ("content-md5",)]
        if signed != sorted(signed) or not set(must) <= set(signed):
            raise No(403, "AccessDenied", "There were headers present in the request which were not signed")
        if not payload:
            raise No(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        self.fresh(self.date(date))
        id, scope = self.scope(f["Credential"], date, "s3", "aws4_request")
        k = self.who(id, self.h.get("x-amz-security-token", ""))
        return s3_v4(self.command, self.wire, self.query, self.h, signed, payload, k.secret, scope), f["Signature"]

    def uri(self):
        """OSS signs the bucket, whatever the style."""
        return f"/{self.bucket}/{self.name}" if self.bucket else "/"

    def believe_oss4(self, text):
        f = dict(x.split("=", 1) for x in text.split(","))
        date = self.h.get("x-oss-date", "")
        self.fresh(self.date(date))
        if f.get("AdditionalHeaders") == "" or " " in text:
            raise No(400, "InvalidArgument", "Invalid Authorization header.", "0002-00000233")
        if self.h.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
            raise No(400, "InvalidArgument", "x-oss-content-sha256 must be UNSIGNED-PAYLOAD", "0002-00000223")
        id, scope = self.scope(f["Credential"], date, "oss", "aliyun_v4_request")
        k = self.who(id, self.h.get("x-oss-security-token", ""))
        additional = f["AdditionalHeaders"].split(";") if "AdditionalHeaders" in f else []
        return oss_v4(self.command, self.uri(), self.query, self.h, additional, k.secret, scope), f["Signature"]

    def believe_oss1(self, text):
        id, _, sig = text.partition(":")
        t = email.utils.parsedate(self.h.get("x-oss-date") or self.h.get("date", ""))
        if not t:
            raise No(403, "AccessDenied", "OSS authentication requires a valid Date.", "0002-00000101")
        self.fresh(calendar.timegm(t))
        k = self.who(id, self.h.get("x-oss-security-token", ""))
        return oss_v1(self.command, self.uri(), self.query, self.h, k.secret), sig

    def agree(self):
        """Do the bytes agree with what the head said of them?"""
        said = self.h.get("x-amz-content-sha256", "")
        if said.startswith("STREAMING-"):
            raise No(501, "NotImplemented", "aws-chunked is not supported")
        if re.fullmatch("[0-9a-f]{64}", said) and hashlib.sha256(self.body).hexdigest() != said:
            raise No(400, "XAmzContentSHA256Mismatch")
        md5 = self.h.get("content-md5")
        if md5 and base64.b64encode(hashlib.md5(self.body).digest()).decode() != md5:
            raise No(400, "BadDigest" if not self.oss else "InvalidDigest", "The Content-MD5 did not match.")

    # -- answers

    def refuse(self, no):
        self.seen.status, self.seen.code = no.status, no.code
        if not self.had and int(self.h.get("content-length", 0)):
            self.close_connection = True
        request = uuid.uuid4().hex[:24].upper()
        ec = f"<EC>{no.ec}</EC>" if self.oss else ""
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{no.code}</Code><Message>{no.message}</Message>'
                f"<RequestId>{request}</RequestId><HostId>stub</HostId>{no.more}{ec}</Error>").encode()
        h = dict(no.headers)
        if self.oss:
            h.update({"x-oss-ec": no.ec, "x-oss-request-id": request})
            if self.command == "HEAD":
                h["x-oss-err"] = base64.b64encode(text).decode()
        self.reply(no.status, b"" if self.command == "HEAD" else text, h)
        if self.close_connection and not self.had:
            self.wfile.flush()          # the body that comes is not read: say
            self.request.shutdown(socket.SHUT_WR)       # all before the reset
            self.request.settimeout(0.5)
            try:
                while self.request.recv(1 << 18):
                    pass
            except OSError:
                pass

    def reply(self, status, body=b"", headers=None, length=None):
        self.seen.status = status
        self.send_response_only(status)
        h = {"Date": self.date_time_string(), "Server": "stub", **(headers or {})}
        if body and "Content-Type" not in h:
            h["Content-Type"] = "application/xml"
        if self.oss:
            h.setdefault("x-oss-request-id", uuid.uuid4().hex[:24].upper())
        else:
            h.setdefault("x-amz-request-id", uuid.uuid4().hex[:16].upper())
        for k, v in h.items():
            self.send_header(k, v)
        if status != 204:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def xml(self, name, inner, headers=None):
        self.reply(200, f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}>{inner}</{name}>'.encode(), headers)

    def iso(self, t):
        return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(t))

    # -- operations

    def act(self):
        b, q = self.st.buckets.get(self.bucket), self.q
        if not self.bucket:
            return self.xml("ListAllMyBucketsResult", "")
        if self.command == "PUT" and not self.name:
            self.st.buckets.setdefault(self.bucket, {})
            return self.reply(200)
        if b is None:
            raise No(404, "NoSuchBucket", "The specified bucket does not exist.", "0015-00000101")
        if not self.name:
            return self.list_uploads() if "uploads" in q else self.list(b)
        if "uploads" in q and self.command == "POST":
            return self.create(b)
        if "uploadId" in q:
            return self.multipart(b, q["uploadId"])
        return {"PUT": self.put, "GET": self.get, "HEAD": self.get, "DELETE": self.delete}[self.command](b)

    def meta(self):
        return {k: v for k, v in self.h.items() if k.startswith(("x-amz-meta-", "x-oss-meta-"))}

    def absent(self, b):
        """The condition that nothing is there, in either dialect."""
        if self.oss:
            if "if-none-match" in self.h:
                raise No(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
            if self.h.get("x-oss-forbid-overwrite") == "true" and self.name in b and not self.st.versioned:
                raise No(409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.",
                         "0026-00000101")
        elif "if-none-match" in self.h and self.st.conditional:
            if self.st.conditional == 501:
                raise No(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
            if self.name in b and self.st.conditional == 409:
                raise No(409, "Conflict", "The resource is there")
            if self.name in b and self.st.conditional != "keeps":
                raise No(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")

    def sum(self, body):
        return crc64(b"another" if self.st.lie_crc else body) if self.oss else 0

    def etag(self, body):
        e = hashlib.md5(body).hexdigest()
        return e.upper() if self.oss else e

    def says(self, o, **more):
        h = {"ETag": f'"{o.etag}"', **more}
        if self.oss:
            h["x-oss-hash-crc64ecma"] = str(o.crc)
        return h

    def put(self, b):
        self.absent(b)
        if self.st.conditional == "keeps" and "if-none-match" in self.h and self.name in b:
            return self.reply(200, headers=self.says(b[self.name]))
        b[self.name] = Object(self.body, self.etag(self.body), self.sum(self.body), self.meta())
        self.reply(200, headers=self.says(b[self.name]))

    def delete(self, b):
        b.pop(self.name, None)
        self.reply(204)

    def get(self, b):
        o = b.get(self.name)
        if o is None:
            raise No(404, "NoSuchKey", "The specified key does not exist.", "0026-00000001")
        if self.h.get("if-match", o.etag).strip('"').lower() != o.etag.lower():
            raise No(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        h = self.says(o, **{"Last-Modified": email.utils.formatdate(o.at, usegmt=True), "Accept-Ranges": "bytes",
                            "Content-Type": "application/octet-stream"}, **o.meta)
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", self.h.get("range", ""))
        size = len(o.body)
        if m:
            lo, hi = int(m.group(1)), min(int(m.group(2) or size - 1), size - 1)
            if lo >= size or hi < lo:
                if self.oss and self.h.get("x-oss-range-behavior") != "standard":
                    return self.reply(200, o.body, h)
                raise No(416, "InvalidRange", "The requested range is not satisfiable")
            h["Content-Range"] = f"bytes {lo}-{hi}/{size}"
            return self.reply(206, o.body[lo:hi + 1], h, hi + 1 - lo)
        self.reply(200, o.body, h, size)

    def text(self, s):
        if self.q.get("encoding-type") == "url":
            return urllib.parse.quote(s, safe="/-_.~*", errors="surrogateescape")
        return xml.sax.saxutils.escape(s)

    def encoding(self):
        return "<EncodingType>url</EncodingType>" if self.q.get("encoding-type") == "url" else ""

    def list(self, b):
        q = self.q
        prefix, delimiter = q.get("prefix", ""), q.get("delimiter", "")
        most, after = min(int(q.get("max-keys", 1000)), self.st.page), q.get("start-after", "")
        if q.get("continuation-token"):
            try:
                after = base64.b64decode(q["continuation-token"], validate=True)[3:].decode(errors="surrogateescape")
            except ValueError:
                raise No(400, "InvalidArgument", "The continuation token provided is incorrect")
        entries, last, more = [], "", False
        for k in sorted(b, key=lambda s: s.encode(errors="surrogateescape")):
            if not k.startswith(prefix) or self.st.late and self.st.late(self.bucket, k):
                continue
            cut = k.find(delimiter, len(prefix)) if delimiter else -1
            entry = (k[:cut + len(delimiter)], None) if cut >= 0 else (k, b[k])
            if entry[0].encode(errors="surrogateescape") <= after.encode(errors="surrogateescape") or \
                    entries and entries[-1][0] == entry[0]:
                continue
            if len(entries) == most:
                more = True
                break
            entries.append(entry)
            last = entry[0]
        out = (f"<Name>{self.bucket}</Name><Prefix>{self.text(prefix)}</Prefix><KeyCount>{len(entries)}</KeyCount>"
               f"<IsTruncated>{str(more).lower()}</IsTruncated>{self.encoding()}")
        if more:                        # with + / = in it
            token = base64.b64encode(b"\xfb\xef\xff" + last.encode(errors="surrogateescape")).decode()
            out += f"<NextContinuationToken>{token}</NextContinuationToken>"
        for k, o in entries:
            out += (f"<Contents><Key>{self.text(k)}</Key><LastModified>{self.iso(o.at)}</LastModified>"
                    f"<ETag>&quot;{o.etag}&quot;</ETag><Size>{len(o.body)}</Size></Contents>") if o else \
                f"<CommonPrefixes><Prefix>{self.text(k)}</Prefix></CommonPrefixes>"
        self.xml("ListBucketResult", out)

    def list_uploads(self):
        out = f"<IsTruncated>false</IsTruncated>{self.encoding()}"
        for id, u in sorted(self.st.uploads.items(), key=lambda x: x[1].key):
            if u.bucket == self.bucket and u.key.startswith(self.q.get("prefix", "")) and not u.object:
                out += (f"<Upload><Key>{self.text(u.key)}</Key><UploadId>{id}</UploadId>"
                        f"<Initiated>{self.iso(u.at)}</Initiated></Upload>")
        self.xml("ListMultipartUploadsResult", out)

    def create(self, b):
        self.absent(b)
        id = uuid.uuid4().hex.upper()
        self.st.uploads[id] = Upload(self.bucket, self.name, self.meta())
        self.xml("InitiateMultipartUploadResult",
                 f"<Bucket>{self.bucket}</Bucket><Key>{self.text(self.name)}</Key><UploadId>{id}</UploadId>")

    def multipart(self, b, id):
        u = self.st.uploads.get(id)
        if u is None or u.key != self.name or u.object and self.command != "POST":
            raise No(404, "NoSuchUpload", "The specified upload does not exist.", "0042-00000002")
        if self.command == "PUT":
            p = u.parts[int(self.q["partNumber"])] = Part(self.body, self.etag(self.body), self.sum(self.body))
            return self.reply(200, headers=self.says(p))
        if self.command == "DELETE":
            del self.st.uploads[id]
            return self.reply(204)
        if self.command == "GET":
            return self.list_parts(u)
        return self.complete(b, u)

    def list_parts(self, u):
        after = int(self.q.get("part-number-marker", 0))
        most = min(int(self.q.get("max-parts", 1000)), self.st.page)
        left = [n for n in sorted(u.parts) if n > after]
        out = f"<IsTruncated>{str(len(left) > most).lower()}</IsTruncated>"
        if left[:most]:
            out += f"<NextPartNumberMarker>{left[:most][-1]}</NextPartNumberMarker>"
        for n in left[:most]:
            p = u.parts[n]
            out += (f"<Part><PartNumber>{n}</PartNumber><LastModified>{self.iso(p.at)}</LastModified>"
                    f"<ETag>&quot;{p.etag}&quot;</ETag><Size>{len(p.body)}</Size>" +
                    (f"<HashCrc64ecma>{p.crc}</HashCrc64ecma>" if self.oss else "") + "</Part>")
        self.xml("ListPartsResult", out)

    def complete(self, b, u):
        if "form-urlencoded" in self.h.get("content-type", ""):
            raise No(400, "InvalidRequest", "the content type of a form")
        if u.object and not self.oss:
            return self.completed(u.object)
        if u.object:
            raise No(404, "NoSuchUpload", "The specified upload does not exist.", "0042-00000002")
        if self.st.complete_error > 0:
            self.st.complete_error -= 1
            self.seen.code = "InternalError"
            return self.reply(200, b'\n\n<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code>'
                              b"<Message>We encountered an internal error.</Message></Error>")
        self.absent(b)
        asked = [(int(n), e.lower()) for n, e in re.findall(
            r"<PartNumber>(\d+)</PartNumber>\s*<ETag>(?:\"|&quot;)?([0-9A-Fa-f]+)", self.body.decode())]
        if [n for n, _ in asked] != sorted({n for n, _ in asked}) or not asked:
            raise No(400, "InvalidPartOrder" if asked else "MalformedXML")
        for n, e in asked:
            if n not in u.parts or u.parts[n].etag.lower() != e:
                raise No(400, "InvalidPart", "One or more of the specified parts could not be found.")
            if len(u.parts[n].body) < self.st.min_part and n != asked[-1][0]:
                raise No(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        parts = [u.parts[n] for n, _ in asked]
        body = b"".join(p.body for p in parts)
        etag = hashlib.md5(b"".join(bytes.fromhex(p.etag) for p in parts)).hexdigest() + f"-{len(parts)}"
        if self.oss:                    # by no formula that a client could know
            etag = uuid.uuid4().hex.upper() + f"-{len(parts)}"
        u.object = b[self.name] = Object(body, etag, self.sum(body), u.meta)
        u.parts = {}
        self.completed(u.object)

    def completed(self, o):
        self.xml("CompleteMultipartUploadResult",
                 f"<Bucket>{self.bucket}</Bucket><Key>{self.text(self.name)}</Key><ETag>&quot;{o.etag}&quot;</ETag>",
                 {"x-oss-hash-crc64ecma": str(o.crc)} if self.oss else {})
