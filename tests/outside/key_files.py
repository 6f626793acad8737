#!/usr/bin/env python3
"""Files of keys as people and `aws configure` write them: our requests are signed with what Python's configparser, by
which awscli reads, has of a file."""
import configparser
import random
import shlex

from drive import Drive
from s3 import Store
from t import case, eq, has, run

ID, SECRET = "AKRIGHT", "rightSecret/+=0123456789"
KEYS = f"aws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n"
WRONG = "aws_access_key_id = AKWRONG\naws_secret_access_key = wrong\n"


class Scene:
    def __init__(self, d):
        self.d, self.st, self.n = d, Store(), 0
        self.st.add(ID, SECRET)
        self.st.add("AKTOKEN", SECRET, "token/+=")
        self.st.buckets["b"]["k"] = None

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.st.stop()

    def write(self, text):
        self.n += 1
        path = f"{self.d.root}/file-{self.n}"
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def ask(self, credentials="", config="", profile=None, **entry):
        """What a request ends with, and the id of the key that signed it."""
        env = {"AWS_SHARED_CREDENTIALS_FILE": self.write(credentials), "AWS_CONFIG_FILE": self.write(config)}
        if profile:
            env["AWS_PROFILE"] = profile
        entry = dict({"match": "s3://", "endpoint": self.st.url, "credentials": "profile"}, **entry)
        seen = len(self.st.seen)
        with Drive(self.d.root, entry, env=env) as dr:
            r = dr.put("s3://b/x", b"bytes", tries=1)
        last = self.st.seen[-1].headers.get("authorization", "") if len(self.st.seen) > seen else ""
        return r, last.partition("Credential=")[2].partition("/")[0]

    def right(self, what, **files):
        r, id = self.ask(**files)
        eq((r["end"], id), ("ok", ID), f"{what}: {files} ({r['error']})")


def scene(sentence):
    def add(fn):
        def one(d):
            with Scene(d) as s:
                fn(s)
        case(sentence, "stopped")(one)
        return fn
    return add


@scene("keys are found however they are indented, spaced, cased, commented and ended")
def _(s):
    texts = {
        "indented": "[default]\n  aws_access_key_id = {0}\n  aws_secret_access_key = {1}\n",
        "with tabs": "[default]\n\taws_access_key_id\t=\t{0}\n\taws_secret_access_key={1}\t\n",
        "section, too": "  [default]\n  aws_access_key_id = {0}\n  aws_secret_access_key = {1}\n  [x]\n  region = y\n",
        "less and less": "[default]\n    aws_access_key_id = {0}\n  aws_secret_access_key = {1}\n",
        "colons": "[default]\naws_access_key_id: {0}\naws_secret_access_key :{1}\n",
        "cases": "[default]\nAWS_ACCESS_KEY_ID={0}\nAws_Secret_Access_Key={1}\n",
        "CRLF": "[default]\r\naws_access_key_id = {0}\r\n\r\naws_secret_access_key = {1}\r\n",
        "CR": "[default]\raws_access_key_id = {0}\raws_secret_access_key = {1}\r",
        "no end": "[default]\naws_access_key_id={0}\naws_secret_access_key={1}",
        "a mark of Windows": "\ufeff[default]\naws_access_key_id={0}\naws_secret_access_key={1}\n",
        "comments": "# a\n; b\n[default] # mine\n  # c\naws_access_key_id={0}\n;aws_secret_access_key=x\n  ; d\n"
                    "aws_secret_access_key={1}\n#[other]\n",
        "blank lines": "\n\n[default]\n\n\naws_access_key_id={0}\n   \naws_secret_access_key={1}\n\n",
        "nested before": "[default]\ns3 =\n  max_concurrent_requests = 20\n\n  aws_access_key_id = WRONG\n"
                         "aws_access_key_id={0}\naws_secret_access_key={1}\n",
        "nested behind": "[default]\naws_access_key_id={0}\naws_secret_access_key={1}\nregion = us-east-1\ns3 =\n"
                         "    addressing_style = path\n    aws_secret_access_key = WRONG\n",
        "nested, indented": "[default]\n  s3 =\n    aws_access_key_id = WRONG\n  aws_access_key_id = {0}\n"
                            "  aws_secret_access_key = {1}\n",
        "others": "[old]\naws_access_key_id=X\naws_secret_access_key=Y\n[default]\naws_access_key_id={0}\n"
                  "aws_secret_access_key={1}\n[new]\naws_access_key_id=X\naws_secret_access_key=Y\n",
        "defaults": "[DEFAULT]\naws_access_key_id={0}\n[default]\naws_secret_access_key={1}\n",
        "lines of no use": "stray = 1\n[default]\nnonsense\naws_access_key_id={0}\n= 3\naws_secret_access_key={1}\n[\n",
    }
    for what, text in texts.items():
        s.right(what, credentials=text.format(ID, SECRET))


@scene("a value over two lines, an inline comment and quotes are no keys, and are not shown")
def _(s):
    for text in ("aws_access_key_id = AK\n  MORE\naws_secret_access_key = SECRETPART\n",
                 "aws_access_key_id = AK # mine\naws_secret_access_key = SECRETPART\n"):
        r, id = s.ask("[default]\n" + text)
        eq((r["end"], id), ("denied", ""), text)
        has(r["error"], "a key or token has a blank")
        assert "SECRETPART" not in r["error"], r["error"]
    r, id = s.ask(f'[default]\naws_access_key_id = "{ID}"\naws_secret_access_key = "{SECRET}"\n')
    eq(id, f'"{ID}"', "as awscli sends it")


@scene("profiles are found by names that have blanks and quotes, in either file")
def _(s):
    for name in ("two", "my profile", "x-1.y_2@z", "ü"):
        s.right(name, credentials=f"[default]\n{WRONG}[{name}]\n{KEYS}", profile=name)
        s.right(name, config=f"[default]\n{WRONG}[profile {shlex.quote(name)}]\n{KEYS}", profile=name)
    s.right("double quotes", config=f'[profile "my profile"]\n{KEYS}', profile="my profile")
    s.right("blanks", config=f"[profile   two]\n{KEYS}", profile="two")
    s.right("the word before default", config=f"[profile default]\n{KEYS}")
    s.right("credentials go before config", credentials=f"[two]\n{KEYS}", config=f"[profile two]\n{WRONG}",
            profile="two")
    r, id = s.ask(config=f"[two]\n{KEYS}", profile="two")
    eq((r["end"], id), ("denied", ""), "config wants the word profile")
    has(r["error"], 'there is no "two" in the files of AWS')


@scene("a session's token is taken by its old name, too")
def _(s):
    for name in ("aws_session_token", "aws_security_token"):
        r, id = s.ask(f"[default]\naws_access_key_id=AKTOKEN\naws_secret_access_key={SECRET}\n{name} = token/+=\n")
        eq((r["end"], id), ("ok", "AKTOKEN"), name)


@scene("region and endpoint come from the profile, of credentials before config, and from services")
def _(s):
    url = s.st.url
    more = {"addressing": "path", "endpoint": None}
    s.right("config", credentials=f"[default]\n{KEYS}", config=f"[default]\nendpoint_url = {url}\n", **more)
    s.right("credentials before config", credentials=f"[default]\n{KEYS}endpoint_url={url}\nregion=us-east-1\n",
            config="[default]\nendpoint_url = http://127.0.0.1:1\nregion = eu-west-9\n", **more)
    s.right("services", credentials=f"[default]\n{KEYS}", **more,
            config=f"[default]\nservices = mine\nendpoint_url = http://127.0.0.1:1\n[services mine]\n"
            f"ec2 =\n  endpoint_url = http://127.0.0.1:1\ns3 =\n  # ours\n  endpoint_url = {url}\n")


@scene("fifty files at random are read as configparser reads them")
def _(s):
    rng, ids = random.Random(13), set()
    keys = ("aws_access_key_id", "aws_secret_access_key", "s3")
    for n in range(5000):
        if len(ids) == 50:
            return
        text = ""
        for i in range(rng.randint(4, 12)):
            pad = " " * rng.choice((0, 0, 0, 1, 2, 4))
            kind = rng.random()
            if kind < 0.2 or not i:
                text += f"{pad}[{rng.choice(('default', 'default', 'two', 'DEFAULT'))}]"
            elif kind < 0.3:
                text += pad + rng.choice("#;") + " aws_access_key_id = AKCOMMENT"
            elif kind < 0.35:
                text += pad
            else:
                value = rng.choice(("", f"AK{n}x{i}", f"AK{n}y{i}", f"AK{n}z{i}"))
                text += f"{pad}{rng.choice(keys)}{rng.choice(('=', ' = ', ':', ' : '))}{value}"
            text += rng.choice(("\n", "\n", "\r\n"))
        p = configparser.RawConfigParser(default_section="DEFAULT", strict=False)
        try:
            p.read_string(text.replace("\r\n", "\n"))
        except configparser.Error:
            continue
        want = dict(p.items("default")) if p.has_section("default") else {}
        id, secret = want.get(keys[0], ""), want.get(keys[1], "")
        if not id or not secret or "\n" in id + secret:
            continue
        s.st.add(id, secret)
        r, got = s.ask(text)
        eq((r["end"], got), ("ok", id), f"{text!r} ({r['error']})")
        ids.add(id)
    raise AssertionError(f"only {len(ids)} of the files have keys")


run()
