"""The vocabulary of the tests that need an object store.  Not a test itself.

    import s3
    g = s3.rgw()                        # a real Ceph RADOS Gateway, started at
                                        # the first call, shared by the file's
                                        # cases, stopped at exit; raises Skip
                                        # where radosgw is not installed
    g = s3.Rgw(tls=True, sts=True, max_concurrent=2)    # one of your own
    g.url g.port g.ca g.id g.secret g.region            # "http://127.0.0.1:P"
    b = g.bucket()                      # a new one, its name
    r = g.request("PUT", f"/{b}/key", body=b"..", headers={}, query={})
    r.status r.headers r.body r.text r.code             # code: of <Error>
    g.put(b, key, bytes)  g.get(b, key)  g.keys_of(b, prefix)  g.uploads(b)
    g.store()                           # an entry of `stores` in the
                                        # configuration; g.store(url=p.url)
    g.env()                             # environment for awscli, curl
    g.kill_gateway() g.start_gateway()  # -9 and back in 0.3 s, data kept
    g.stop_osd() g.cont_osd()           # hangs: SIGSTOP, SIGCONT
    g.quota(bytes) g.quota(None)        # of the user `uid`
    u = g.user("ro")                    # another user: u.id, u.secret
    u = g.session()                     # STS credentials: u.token, too; for
                                        # doors with sts=True
    w = g.gateway(max_concurrent=2, tls=True)   # a second door to the same
                                        # data: w.url, w.kill(), w.start()
    s3.Proxy, s3.Store, s3.send         # see proxy.py, stub.py, signed.py

By hand: `python3 tests/outside/s3.py` starts one, prints what to put into the
environment, and ends it with its standard input (^D).

Everything lies in a directory of its own below /tmp and listens on loopback
only; a reaper takes it all away if the test is killed.
"""
import atexit
import base64
import fcntl
import http.client
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid
import xml.sax.saxutils

from proxy import Proxy     # noqa: F401
from signed import send, sign   # noqa: F401
from stub import Store      # noqa: F401
from t import Skip, limit, wait_for


# --- Ceph RADOS Gateway -------------------------------------------------------------------

CONF = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon1}]
public_network = 127.0.0.0/8
ms_bind_ipv6 = false
ms_bind_port_min = {low}
ms_bind_port_max = {high}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = {root}/keyring
run_dir = {root}/run
crash_dir = {root}/crash
admin_socket =
pid_file =
log_file = {root}/log/$name.log
mon_cluster_log_file = {root}/log/cluster.log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 2000
mon_data_avail_warn = 2
mon_data_avail_crit = 1
mon_tick_interval = 1
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
[mon.a]
mon_data = {root}/mon
mon_initial_members = a
mon_memory_autotune = false
[osd.0]
osd_data = {root}/osd
osd_objectstore = memstore
memstore_device_bytes = {bytes}
osd_memory_target = 1073741824
osd_class_load_list = *
osd_class_default_list = *
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
[client.rgw]
rgw_data = {root}/rgw
ms_mon_client_mode = crc
rgw_dns_name = s3.localhost
rgw_enable_apis = s3, sts, iam, admin
rgw_sts_key = abcdefghijklmnop
# Else a change of a user waits 30 s for what a killed gateway would say to it.
rgw_cache_enabled = false
rgw_enable_usage_log = false
rgw_override_bucket_index_max_shards = 1
rgw_dynamic_resharding = false
rgw_thread_pool_size = 32
rgw_num_rados_handles = 1
rgw_enable_quota_threads = false
rgw_run_sync_thread = false
rgw_nfs_run_gc_threads = false
"""

# Lives as long as the test, by its standard input; then ends what is left.
REAPER = """
cat >/dev/null
for f in "$1"/*.pid; do [ -s "$f" ] && kill -KILL "$(cat "$f")" 2>/dev/null; done
rm -rf -- "$1"
"""


CLAIMED = []            # what claim() holds until this process ends


def claim(port):
    """This port for this process alone, among all that ask here: whether it got
    it.  A server binds later than its port is chosen, and a Ceph daemon takes
    any of a range, so that a port on which nobody listens may be spoken for."""
    folder = f"{tempfile.gettempdir()}/rk-ports-{os.getuid()}"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    f = open(f"{folder}/{port}", "w")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        f.close()
        return False
    CLAIMED.append(f)
    return True


def free_ports(n):
    """The first of n ports in a row that nobody listens on and nobody claims."""
    for _ in range(200):
        base = random.SystemRandom().randrange(12000, 32000 - n)
        socks, claimed = [], len(CLAIMED)
        try:
            for p in range(base, base + n):
                s = socket.socket()
                socks.append(s)
                s.bind(("127.0.0.1", p))
            if all(claim(p) for p in range(base, base + n)):
                return base
        except OSError:
            pass
        finally:
            for s in socks:
                s.close()
        for f in CLAIMED[claimed:]:
            f.close()
        del CLAIMED[claimed:]
    raise AssertionError(f"no {n} free ports in a row")


def listens(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def ceph_key():
    """A key as `ceph-authtool --gen-print-key` makes them."""
    return base64.b64encode(struct.pack("<HIIH", 1, int(time.time()), 0, 16) + os.urandom(16)).decode()


def certificate(root, name="tls"):
    """A self-signed certificate for loopback: its path; the key lies beside it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=s3.localhost",
         "-keyout", f"{root}/{name}.key", "-out", f"{root}/{name}.crt", "-addext",
         "subjectAltName=DNS:s3.localhost,DNS:*.s3.localhost,DNS:localhost,IP:127.0.0.1"],
        check=True, stderr=subprocess.DEVNULL)
    return f"{root}/{name}.crt"


class User:
    def __init__(self, name, id=None, secret=None, token=""):
        self.name = name
        self.id = id or "AK" + uuid.uuid4().hex[:18].upper()
        self.secret = secret or "with+special/=" + uuid.uuid4().hex[:26]
        self.token = token

    @property
    def keys(self):
        return {"id": self.id, "secret": self.secret, "token": self.token}


class Gateway:
    """One radosgw process in front of a cluster's data."""

    def __init__(self, cluster, n, tls=False, sts=False, max_concurrent=1024):
        self.cluster, self.n, self.tls = cluster, n, tls
        self.sts, self.max_concurrent = sts, max_concurrent
        self.port, self.proc = free_ports(1), None
        self.ca = certificate(cluster.root) if tls else None
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def start(self, max_concurrent=None):
        c = self.cluster
        # As real stores do; else each answer with a body waits 40 ms for an ACK.
        front = f"beast tcp_nodelay=1 endpoint=127.0.0.1:{self.port}"
        if self.tls:
            front = (f"beast tcp_nodelay=1 ssl_endpoint=127.0.0.1:{self.port} ssl_certificate={self.ca} "
                     f"ssl_private_key={c.root}/tls.key")
        self.proc = c.spawn(f"rgw{self.n}", "radosgw", "-f", "-n", "client.rgw", f"--rgw_frontends={front}",
                            f"--rgw_s3_auth_use_sts={str(self.sts).lower()}",
                            f"--rgw_max_concurrent_requests={max_concurrent or self.max_concurrent}",
                            f"--log_file={c.root}/log/rgw{self.n}.log")
        return self

    def ready(self):
        wait_for(60, f"the gateway answers at {self.url}", self.answers)
        return self

    def answers(self):
        if self.proc.poll() is not None:
            raise AssertionError(f"radosgw ended: {self.cluster.said()}")
        try:
            return send(self.url, "GET", "/", ca=self.ca, timeout=5).status == 200
        except OSError:
            return False
        except http.client.HTTPException as e:
            raise AssertionError(f"somebody else answers at {self.url}: {e!r}") from e

    def kill(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
            self.proc = None


class Rgw:
    """A cluster of one monitor, one object daemon with its data in memory, and
    a gateway: 3 s to start, 150 MB of memory and what is stored."""

    def __init__(self, tls=False, sts=False, max_concurrent=1024, capacity=4 << 30):
        missing = [p for p in ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")
                   if not shutil.which(p)]
        if missing:
            why = f"not installed: {' '.join(missing)} (make deps-test)"
            if os.environ.get("CI"):
                raise AssertionError(why)
            raise Skip(f"NO OBJECT STORE TO TEST WITH: {why}")
        self.region, self.capacity = "us-east-1", capacity
        self.gateways, self.nbuckets, self.owner = [], 0, User("test")
        for attempt in range(3):        # the ports may be taken meanwhile
            self.root = tempfile.mkdtemp(prefix="rk-rgw-")
            self.procs = {}
            self.reaper = subprocess.Popen(["sh", "-c", REAPER, "reaper", self.root], stdin=subprocess.PIPE,
                                           start_new_session=True)
            atexit.register(self.stop)
            try:
                self.start_cluster()
                first = Gateway(self, 0, tls, sts, max_concurrent).start()
                self.gateways = [first]
                first.ready()
                self.make_user(self.owner, "--caps=roles=*")
                self.bucket()           # the first one makes the pools
                break
            except (AssertionError, subprocess.SubprocessError):
                self.stop()
                if attempt == 2:
                    raise

    # -- processes

    def spawn(self, name, *argv):
        out = open(f"{self.root}/log/{name}.out", "ab")
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                             start_new_session=True, env=self.ceph_env(), cwd=self.root)
        out.close()
        with open(f"{self.root}/{name}.pid", "w") as f:
            f.write(str(p.pid))
        self.procs[name] = p
        return p

    def ceph_env(self):
        return dict(os.environ, CEPH_CONF=f"{self.root}/ceph.conf", CEPH_ARGS="")

    def ceph(self, *argv):
        r = subprocess.run(argv, env=self.ceph_env(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=limit(60), cwd=self.root)
        assert r.returncode == 0, f"{' '.join(argv[:3])}: {r.stderr[-500:]}"
        return r.stdout

    def admin(self, *argv):
        return self.ceph("radosgw-admin", "-n", "client.rgw", "--log_file=", *argv)

    def said(self):
        text = ""
        for name in sorted(os.listdir(f"{self.root}/log")):
            with open(f"{self.root}/log/{name}", errors="replace") as f:
                text += f"\n--- {name}\n" + f.read()[-600:]
        return text

    def start_cluster(self):
        r, fsid, base = self.root, str(uuid.uuid4()), free_ports(12)
        for sub in ("mon", "osd", "run", "log", "rgw", "crash"):
            os.mkdir(f"{r}/{sub}")
        with open(f"{r}/ceph.conf", "w") as f:
            f.write(CONF.format(root=r, fsid=fsid, mon=base, mon1=base + 1, low=base + 2, high=base + 11,
                                bytes=self.capacity))
        with open(f"{r}/keyring", "w") as f:
            f.write(f'[mon.]\n\tkey = {ceph_key()}\n\tcaps mon = "allow *"\n'
                    f'[client.admin]\n\tkey = {ceph_key()}\n\tcaps mon = "allow *"\n\tcaps osd = "allow *"\n'
                    f'[client.rgw]\n\tkey = {ceph_key()}\n\tcaps mon = "allow rwx"\n\tcaps osd = "allow rwx"\n')
        self.ceph("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{base},v1:127.0.0.1:{base + 1}]",
                  "--fsid", fsid, "--set-min-mon-release", "pacific", f"{r}/monmap")
        self.ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{r}/monmap", "--keyring", f"{r}/keyring")
        mon = self.spawn("mon", "ceph-mon", "-f", "-i", "a")
        wait_for(30, "the monitor listens", lambda: mon.poll() is not None or listens(base))
        assert mon.poll() is None, f"ceph-mon ended: {self.said()}"
        osd = str(uuid.uuid4())
        self.ceph("ceph", "--connect-timeout", "30", "osd", "new", osd)
        self.ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.spawn("osd", "ceph-osd", "-f", "-i", "0")

    def stop(self):
        atexit.unregister(self.stop)
        for p in self.procs.values():   # in memory: there is nothing to flush
            if p.poll() is None:
                p.kill()
                p.wait()
        self.procs = {}
        shutil.rmtree(self.root, ignore_errors=True)
        if self.reaper:
            self.reaper.stdin.close()
            self.reaper.wait()
            self.reaper = None

    # -- faults

    def gateway(self, **options):
        g = Gateway(self, len(self.gateways), **options).start()
        self.gateways.append(g)
        return g.ready()

    def kill_gateway(self):
        self.gateways[0].kill()

    def start_gateway(self, **options):
        if self.gateways[0].proc is None:
            self.gateways[0].start(**options).ready()

    def stop_osd(self):
        self.procs["osd"].send_signal(signal.SIGSTOP)

    def cont_osd(self):
        self.procs["osd"].send_signal(signal.SIGCONT)

    def heal(self):
        """As if nothing had happened: for the end of a case."""
        self.cont_osd()
        self.start_gateway()

    def quota(self, size, user=None):
        uid = f"--uid={(user or self.owner).name}"
        if size is None:
            self.admin("quota", "disable", "--quota-scope=user", uid)
            return
        self.admin("quota", "set", "--quota-scope=user", uid, f"--max-size={size}")
        self.admin("quota", "enable", "--quota-scope=user", uid)

    # -- users

    def make_user(self, u, *more):
        self.admin("user", "create", f"--uid={u.name}", f"--display-name={u.name}", f"--access-key={u.id}",
                   f"--secret-key={u.secret}", *more)

    def user(self, name=None):
        u = User(name or "u" + uuid.uuid4().hex[:8])
        self.make_user(u)
        return u

    def session(self, seconds=900):
        """Temporary credentials, by a gateway with sts=True; 900 is the least."""
        door = next((g for g in self.gateways if g.sts and g.proc), None) or self.gateway(sts=True)

        def post(service, **form):
            r = send(door.url, "POST", "/", body=urllib.parse.urlencode(form).encode(), service=service, ca=door.ca,
                     headers={"Content-Type": "application/x-www-form-urlencoded"}, **self.keys)
            assert r.status in (200, 201) or r.code == "EntityAlreadyExists", r.text
            return r.text
        post("iam", Action="CreateRole", Version="2010-05-08", RoleName="R", AssumeRolePolicyDocument=(
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":'
            '{"AWS":["arn:aws:iam:::user/test"]},"Action":["sts:AssumeRole"]}]}'))
        post("iam", Action="PutRolePolicy", Version="2010-05-08", RoleName="R", PolicyName="P", PolicyDocument=(
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'))
        x = post("sts", Action="AssumeRole", Version="2011-06-15", RoleArn="arn:aws:iam:::role/R",
                 RoleSessionName="session", DurationSeconds=seconds)
        part = {t: re.search(f"<{t}>([^<]*)<", x).group(1) for t in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
        return User("session", part["AccessKeyId"], part["SecretAccessKey"], part["SessionToken"])

    # -- requests

    url = property(lambda self: self.gateways[0].url)
    port = property(lambda self: self.gateways[0].port)
    ca = property(lambda self: self.gateways[0].ca)
    id = property(lambda self: self.owner.id)
    secret = property(lambda self: self.owner.secret)
    keys = property(lambda self: self.owner.keys)

    def request(self, method, path, query=None, headers=None, body=b"", user=None, **more):
        return send(self.url, method, path, query, headers, body, ca=self.ca, **(user or self.owner).keys, **more)

    def bucket(self, user=None):
        self.nbuckets += 1
        name = f"bucket-{self.nbuckets}"
        r = self.request("PUT", f"/{name}", user=user)
        assert r.status == 200, r.text
        return name

    def put(self, bucket, key, body, **headers):
        r = self.request("PUT", f"/{bucket}/{key}", body=body, headers=headers)
        assert r.status == 200, r.text

    def get(self, bucket, key):
        """The bytes, or None if there is no such object."""
        r = self.request("GET", f"/{bucket}/{key}")
        assert r.status in (200, 404), r.text
        return r.body if r.status == 200 else None

    def keys_of(self, bucket, prefix=""):
        out, token = [], None
        while True:
            q = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
            if token:
                q["continuation-token"] = token
            r = self.request("GET", f"/{bucket}", q)
            assert r.status == 200, r.text
            unescape = lambda s: xml.sax.saxutils.unescape(s, {"&quot;": '"', "&apos;": "'"})   # noqa: E731
            out += [urllib.parse.unquote(unescape(k)) for k in re.findall("<Key>([^<]*)</Key>", r.text)]
            m = re.search("<NextContinuationToken>([^<]*)<", r.text)
            if not m or "<IsTruncated>true" not in r.text:
                return out
            token = unescape(m.group(1))

    def uploads(self, bucket):
        """Multipart uploads begun and not ended: (key, id) pairs."""
        r = self.request("GET", f"/{bucket}", {"uploads": ""})
        assert r.status == 200, r.text
        return re.findall("<Upload>.*?<Key>([^<]*)</Key>.*?<UploadId>([^<]*)<", r.text, re.S)

    # -- for configurations

    def store(self, url=None, user=None, match="s3://", **more):
        u = user or self.owner
        s = {"match": match, "endpoint": url or self.url, "region": self.region, "addressing": "path",
             "access_key_id": u.id, "secret_access_key": u.secret}
        if u.token:
            s["session_token"] = u.token
        if self.ca:
            s["ca_file"] = self.ca
        return dict(s, **more)

    def env(self):
        return dict(os.environ, AWS_ACCESS_KEY_ID=self.id, AWS_SECRET_ACCESS_KEY=self.secret,
                    AWS_REGION=self.region, AWS_DEFAULT_REGION=self.region, AWS_ENDPOINT_URL=self.url,
                    AWS_REQUEST_CHECKSUM_CALCULATION="when_required",
                    AWS_RESPONSE_CHECKSUM_VALIDATION="when_required", AWS_EC2_METADATA_DISABLED="true",
                    **({"AWS_CA_BUNDLE": self.ca} if self.ca else {}))


SHARED = {}


def rgw(**options):
    """The file's own: one for each set of options."""
    key = tuple(sorted(options.items()))
    if key not in SHARED:
        SHARED[key] = Rgw(**options)
    return SHARED[key]


if __name__ == "__main__":
    G = Rgw(tls="tls" in sys.argv)
    for name, value in sorted(G.env().items()):
        if name.startswith("AWS_"):
            print(f"export {name}='{value}'")
    print(f"export S3_BUCKET={G.bucket()}", flush=True)
    sys.stdin.read()
