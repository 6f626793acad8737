#!/usr/bin/env python3
"""Our three signatures against another implementation: 3,000 random requests
each, with every nasty byte, are signed by both, and must be the same.  What is
written here follows the providers' documents and nothing of our own code."""
import base64
import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
N = int(os.environ.get("N", "3000"))
SEED = int(os.environ.get("SEED", "20261123"))

PLAIN = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
# Every byte that can be in a key but NUL, as valid UTF-8, and some that matter.
NASTY = [chr(c) for c in range(1, 256)] + ["/", "//", "./", "../", "%20", "%", "+", " ", "  ", "日本", "\U0001f600", "&",
                                           "=", "?", "#"]


def enc(s, keep=""):
    return "".join(chr(b) if b in PLAIN or chr(b) in keep else "%%%02X" % b for b in s.encode())


def sha(s):
    return hashlib.sha256(s.encode()).hexdigest()


def mac(key, s):
    return hmac.new(key, s.encode(), hashlib.sha256).digest()


def blanks(s):
    """Spaces and tabs around a value do not count."""
    return s.strip(" \t")


def v4_key(begin, q, date, end):
    key = mac((begin + q["secret"]).encode(), date)
    for part in (q["region"], q["product"], end):
        key = mac(key, part)
    return key


def s3(q):
    """AWS Signature Version 4."""
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(q["at_ms"] // 1000))
    head = {"host": q["host"], "x-amz-date": at, "x-amz-content-sha256": q["payload"]}
    if q["token"]:
        head["x-amz-security-token"] = q["token"]
    for name, value in q["headers"]:
        low = name.lower()
        if low.startswith("x-amz-") or low in ("content-type", "content-md5", "range", "if-match", "if-none-match"):
            head[low] = value
    # Runs of blanks inside count as one.
    for name, value in head.items():
        head[name] = " ".join(w for w in value.replace("\t", " ").split(" ") if w)
    names = ";".join(sorted(head))
    query = "&".join(sorted_pairs(q, True))
    request = "\n".join([q["method"], f"/{enc(q['bucket'])}/{enc(q['key'], '/')}", query] +
                        [f"{n}:{head[n]}" for n in sorted(head)] + ["", names, q["payload"]])
    scope = f"{at[:8]}/{q['region']}/{q['product']}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{sha(request)}"
    sig = mac(v4_key("AWS4", q, at[:8], "aws4_request"), text).hex()
    out = {"x-amz-date": at, "x-amz-content-sha256": q["payload"],
           "Authorization": f"AWS4-HMAC-SHA256 Credential={q['id']}/{scope},SignedHeaders={names},Signature={sig}"}
    if q["token"]:
        out["x-amz-security-token"] = q["token"]
    return out, query


def sorted_pairs(q, always):
    pairs = sorted((enc(n).encode(), enc(v).encode()) for n, v in q["query"])
    return [n.decode() + ("=" + v.decode() if v or always else "") for n, v in pairs]


def oss4(q):
    """OSS V4; no additional headers."""
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(q["at_ms"] // 1000))
    head = {"x-oss-date": at, "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
    if q["token"]:
        head["x-oss-security-token"] = q["token"]
    for name, value in q["headers"]:
        if name.lower().startswith("x-oss-") or name.lower() in ("content-type", "content-md5"):
            head[name.lower()] = blanks(value)
    query = "&".join(sorted_pairs(q, False))
    request = (f"{q['method']}\n/{enc(q['bucket'])}/{enc(q['key'], '/')}\n{query}\n" +
               "".join(f"{n}:{head[n]}\n" for n in sorted(head)) + "\n\nUNSIGNED-PAYLOAD")
    scope = f"{at[:8]}/{q['region']}/{q['product']}/aliyun_v4_request"
    text = f"OSS4-HMAC-SHA256\n{at}\n{scope}\n{sha(request)}"
    sig = mac(v4_key("aliyun_v4", q, at[:8], "aliyun_v4_request"), text).hex()
    out = {"x-oss-date": at, "x-oss-content-sha256": "UNSIGNED-PAYLOAD", "Date": rfc1123(q),
           "Authorization": f"OSS4-HMAC-SHA256 Credential={q['id']}/{scope},Signature={sig}"}
    if q["token"]:
        out["x-oss-security-token"] = q["token"]
    return out, query


def rfc1123(q):
    t = time.gmtime(q["at_ms"] // 1000)
    return (f"{'Mon Tue Wed Thu Fri Sat Sun'.split()[t.tm_wday]}, {t.tm_mday:02} "
            f"{'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split()[t.tm_mon - 1]} {t.tm_year} "
            f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT")


SUB = """acl bucketInfo location stat delete append tagging objectMeta uploads uploadId partNumber security-token position
response-content-type response-content-language response-expires response-cache-control response-content-disposition
response-content-encoding restore callback callback-var versions versioning versionId sequential continuation-token
regionList cloudboxes symlink""".split()


def oss1(q):
    """OSS V1."""
    date = rfc1123(q)
    head = {"x-oss-date": date}
    if q["token"]:
        head["x-oss-security-token"] = q["token"]
    said = {n.lower(): blanks(v) for n, v in q["headers"]}
    head.update({n: v for n, v in said.items() if n.startswith("x-oss-")})
    sub = sorted((n, v) for n, v in q["query"] if n in SUB or n.startswith("x-oss-"))
    text = "\n".join([q["method"], said.get("content-md5", ""), said.get("content-type", ""), date] +
                     [f"{n}:{head[n]}" for n in sorted(head)] + [f"/{q['bucket']}/{q['key']}"])
    if sub:
        text += "?" + "&".join(f"{n}={v}" if v else n for n, v in sub)
    sig = base64.b64encode(hmac.new(q["secret"].encode(), text.encode(), hashlib.sha1).digest()).decode()
    out = {"Date": date, "x-oss-date": date, "Authorization": f"OSS {q['id']}:{sig}"}
    if q["token"]:
        out["x-oss-security-token"] = q["token"]
    return out, "&".join(sorted_pairs(q, False))


# --- random requests ------------------------------------------------------------------------

def word(r, most, odd=0.3):
    return "".join(r.choice(NASTY if r.random() < odd else "abcXYZ019-_.~") for _ in range(r.randint(0, most)))


def value(r):
    """Of a header: printable, with runs of blanks inside and around."""
    return "".join(r.choice(["a", "Z", "9", "=", ",", ";", " ", "  ", "   ", "\t", "/", "+", "\"", "é"])
                   for _ in range(r.randint(0, 12)))


def request(r, how):
    oss = how != "s3"
    names = ["uploads", "uploadId", "partNumber", "list-type", "prefix", "continuation-token", "acl", "x-oss-process"]
    heads = ["Content-Type", "content-md5", "Range", "If-None-Match", "If-Match", "User-Agent", "Accept",
             "x-oss-meta-a", "X-Oss-Meta-B", "x-oss-forbid-overwrite", "x-amz-meta-test", "x-amz-meta-test-two",
             "X-Amz-Meta-A"]
    query = {n: word(r, 8) for n in r.sample(names, r.randint(0, 4))}
    query.update({word(r, 6) + str(i): word(r, 8) for i in range(r.randint(0, 3))})
    query = [[n, "" if r.random() < 0.3 else v] for n, v in query.items()]
    r.shuffle(query)
    return {
        "how": how, "method": r.choice(["GET", "PUT", "POST", "HEAD", "DELETE"]),
        "host": r.choice(["127.0.0.1:9000", "bucket.s3.example", "b.oss-cn-hangzhou.aliyuncs.com"]),
        "bucket": r.choice(["models", "a.b-c", "x1"]), "key": word(r, 40),
        "region": r.choice(["us-east-1", "cn-hangzhou", "eu-central-2"]), "product": "oss" if oss else "s3",
        "query": query, "headers": [[n, value(r)] for n in r.sample(heads, r.randint(0, 8))],
        "payload": "UNSIGNED-PAYLOAD" if oss or r.random() < 0.5 else sha(str(r.random())),
        "at_ms": r.randrange(0, 4102444800000), "id": "AK" + str(r.randrange(10 ** 9)),
        "secret": "".join(r.choice("abc+/=XYZ089") for _ in range(r.choice([1, 30, 40, 63, 64, 65, 200]))),
        "token": "" if r.random() < 0.6 else "".join(r.choice("abc+/=019") for _ in range(r.randint(1, 900))),
    }


def different(q, ours, theirs, query):
    got = dict(h.split(": ", 1) for h in ours["headers"])
    path = f"/{enc(q['bucket'])}/{enc(q['key'], '/')}"
    for what, a, b in (("headers", got, theirs), ("path", ours["path"], path), ("query", ours["query"], query)):
        if a != b:
            return f"{what}: ours {a}, theirs {b}, of {json.dumps(q)}"
    return None


def main():
    bad = 0
    for how, fn in (("s3", s3), ("oss4", oss4), ("oss1", oss1)):
        r = random.Random(f"{SEED} {how}")
        requests = [request(r, how) for _ in range(N)]
        p = subprocess.run([f"{BUILD}/unit/remote_sign", "--serve"], text=True, capture_output=True,
                           input="".join(json.dumps(q) + "\n" for q in requests), timeout=600)
        lines = p.stdout.splitlines()
        wrong = [f"{len(lines)} answers, exit status {p.returncode}: {p.stderr}"] if len(lines) != N else []
        for q, line in zip(requests, lines):
            d = different(q, json.loads(line), *fn(q))
            if d:
                wrong.append(d)
        name = f"{N}_random_requests_are_signed_by_{how}_as_another_implementation_does"
        print(f"{'FAILED' if wrong else 'ok'} {name}", flush=True)
        for w in wrong[:3]:
            print(f"    {w}")
        bad += bool(wrong)
    sys.exit(bad > 0)


main()
