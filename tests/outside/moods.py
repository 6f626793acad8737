"""A store with moods, whose bucket tells of each change.  Not a test itself.

    st = Moody(rules, rng)              # stub.py's, in S3's dialect
    st.door("m1.1")                     # keys for a process: an entry of `stores`; its requests are told by them
    st.mood(Mood("slow", 0.05), "m1.1") # of one process, or of all; None: well
    st.lag = 0.5                        # a listing of claims and bases shows a change by up to so many seconds later
    rules.asked(who, at, method, key)   # a request that was let in, before it has an effect
    rules.listing(who, at, prefix, keys)    # what such a list is about to say
    rules.changed(who, at, key, old, new)   # an object was put, or deleted (new: None); under the store's lock
    st.wrong                            # what a rule said (AssertionError) of changes, in their order

Moods:
    refuse      connections are closed without an answer
    hang        no answer until the mood is over, then the connection is closed
    busy        503 SlowDown, with Retry-After
    blind       the same for HEAD alone, so that much is sent and little looked at again
    slow        each request waits up to `value` seconds before it has its effect
    lost        a change of `value` (a share of 1) has its effect, and the answer never comes
"""
import re
import sys
import threading
import time
import urllib.parse
from collections import namedtuple

from stub import No, Store

Mood = namedtuple("Mood", "kind value", defaults=(0,))

NAME = "b"
LAGGING = re.compile(r"/(epochs|base)/")


class Gone(ConnectionError):
    """The connection is closed without an answer."""


class Bucket(dict):
    """A bucket that tells of changes, and whose listings lag."""

    def __init__(self, st):
        super().__init__()
        self.st, self.past = st, {}     # past: {key: [(when it shows, object or None), ...]}

    def __setitem__(self, key, new):
        old = self.get(key)
        super().__setitem__(key, new)
        self.change(key, old, new)

    def pop(self, key, default=None):
        old = super().pop(key, default)
        if old is not None:
            self.change(key, old, None)
        return old

    def change(self, key, old, new):
        if LAGGING.search(key):
            lag = self.st.rng.uniform(0, self.st.lag) if self.st.lag else 0
            self.past.setdefault(key, [(0, None)]).append((time.monotonic() + lag, new))
        self.st.change(key, old, new)

    def shown(self):
        """The keys that a listing has, late ones left out and deleted ones still in it."""
        now, keys = time.monotonic(), set(self.keys())
        for key, past in self.past.items():
            keys.discard(key)
            if [o for at, o in past if at <= now][-1] is not None:
                keys.add(key)
        # PROTOCOL demands that of the newest three of these one is shown.
        for where in {key[:LAGGING.search(key).end()] for key in self.past}:
            newest = sorted(k for k in self.keys() if k.startswith(where))[-3:]
            if newest and not keys & set(newest):
                keys.add(newest[0])
        return keys

    def __iter__(self):
        return iter(self.shown() if self.past and getattr(self.st.here, "listing", None) else list(self.keys()))

    def __getitem__(self, key):
        """For listings: of a key that has gone the last object that was there."""
        return self.get(key) or [o for _, o in self.past[key] if o is not None][-1]


class Moody(Store):
    def __init__(self, rules, rng):
        super().__init__(buckets=())
        self.rules, self.rng, self.lag, self.wrong = rules, rng, 0, []
        self.here, self.moods, self.doors = threading.local(), {}, {}
        self.buckets[NAME] = Bucket(self)
        self.before, self.server.handle_error = self.let_in, self.handler_failed

    def handler_failed(self, request, client):
        e = sys.exc_info()[1]
        if not isinstance(e, OSError):  # else the client was killed, or the connection closed by a mood
            self.wrong.append(f"the store itself: {type(e).__name__}: {e}")

    def door(self, who):
        key = self.add("AK" + str(len(self.doors)).zfill(14), "secret" + str(len(self.doors)))
        self.doors[key.id] = who
        return self.store("s3://", key=key)

    def mood(self, mood, who=None):
        """who: None: everybody, those without a mood of their own."""
        self.moods[who] = mood

    def well(self):
        return not self.lag and not any(self.moods.values())

    def heal(self):
        self.lag, self.moods = 0, {}

    def objects(self):
        with self.lock:
            return dict(self.buckets[NAME].items())

    # -- requests, each in a thread of its own

    def mood_of(self, who):
        return self.moods.get(who) or self.moods.get(None)

    def let_in(self, seen):
        here = self.here
        here.who = who = self.doors[re.search(r"Credential=([^/]+)/", seen.headers["authorization"]).group(1)]
        here.at, here.lose, here.listing = time.monotonic(), False, None
        self.be(self.mood_of(who), who, seen.method)
        path, _, query = seen.target.partition("?")
        key = urllib.parse.unquote(path)[len(NAME) + 2:]
        with self.lock:
            if not key and "list-type=" in query:
                here.listing = urllib.parse.parse_qs(query).get("prefix", [""])[0]
                if LAGGING.search(here.listing):
                    self.tell(self.rules.listing, who, here.at, here.listing,
                              [k for k in self.buckets[NAME].shown() if k.startswith(here.listing)])
            elif key:
                self.tell(self.rules.asked, who, here.at, seen.method, key)

    def be(self, mood, who, method):
        if mood is None:
            return
        if mood.kind == "refuse":
            raise Gone
        if mood.kind == "hang":
            while self.mood_of(who) is mood:
                time.sleep(0.02)
            raise Gone
        busy = mood.kind == "busy" or mood.kind == "blind" and method == "HEAD"
        if busy and self.rng.random() < mood.value:
            raise No(503, "SlowDown", "Please reduce your request rate.", headers={"Retry-After": "1"})
        if mood.kind == "slow":
            time.sleep(self.rng.uniform(0, mood.value))
        self.here.lose = mood.kind == "lost" and self.rng.random() < mood.value

    def change(self, key, old, new):
        here = self.here
        who = getattr(here, "who", None)
        if who is None:
            return                      # of the test's own
        self.tell(self.rules.changed, who, here.at, key, old, new)
        if here.lose:
            raise Gone

    def tell(self, rule, *a):
        try:
            rule(*a)
        except AssertionError as e:
            self.wrong.append(f"{a[0]}: {e}")
        except Exception as e:          # noqa: BLE001: the test's own fault, and it is to be seen
            self.wrong.append(f"{a[0]}: {rule.__name__}{a[1:4]}: {type(e).__name__}: {e}")
