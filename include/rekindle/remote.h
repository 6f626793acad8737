/*
 * remote - object stores: s3://, oss://, https:// (read) and file://.
 *
 * Requests are signed here (AWS Signature V4, OSS V4, OSS V1 on demand),
 * retried by class, and counted; large objects move in parts, in parallel,
 * straight between file and socket.  Everything runs on the loop's thread but
 * hashing (loop_work) and bytes (http).  Every operation answers once through
 * its callback, never from within the call that began it.
 *
 * Addresses: s3://BUCKET/KEY, oss://BUCKET/KEY, https://HOST/PATH,
 * file:///PATH.  A key is bytes as they are, not percent-encoded.  Which
 * endpoint, region and credentials belong to an address is said by `stores` in
 * the configuration: the entry with the longest matching prefix.
 *
 * Secrets stay in this module: they are never logged, never in an error, never
 * on disk, never in what a child inherits.
 *
 * Sources: facts of signing in src/remote/sign_*.c; AWS S3 API Reference; OSS
 * API reference.
 */
#ifndef REKINDLE_REMOTE_H
#define REKINDLE_REMOTE_H

#include "rekindle/http.h"
#include "rekindle/json.h"

struct remote;
struct remote_op;

/*
 * stores: the configuration's list (NULL: none), read as
 *	match            "s3://" or "oss://", with a bucket, with a prefix;
 *	                 "https://HOST" for a ca_file
 *	endpoint         https://s3.REGION.amazonaws.com,
 *	                 https://oss-REGION.aliyuncs.com; http:// is allowed
 *	region           us-east-1; oss: cn-hangzhou, from the endpoint if it
 *	                 says so
 *	addressing       auto | path | virtual | cname (auto: path for IP
 *	                 addresses and endpoints that are not the cloud's own;
 *	                 cname: the endpoint is the bucket's own domain)
 *	ca_file          PEM, instead of the system's
 *	signature        v4 | v1 (oss only)
 *	access_key_id, secret_access_key, session_token
 *	credentials      auto | environment | profile | web_identity |
 *	                 container | instance | anonymous (auto: the chain)
 *	profile          name in the credentials file
 *	checksum         none | crc32c | sha256: sent as x-amz-checksum-*; none
 *	verify_etag      auto | true | false
 *	encryption       AES256 | aws:kms | aws:kms:dsse; oss: AES256 | KMS |
 *	                 SM4: what objects are made with; none said: the
 *	                 bucket's
 *	kms_key_id       of encryption aws:kms (KMS), which it implies
 *	storage_class    STANDARD_IA and so on, but none that is not read at
 *	                 once; the bucket's own names, too
 *	acl              bucket-owner-full-control and so on
 *	expected_owner   s3 only: the account that has the bucket, 12 digits
 * Faults are at "stores[0].endpoint" and the like.  What no entry says comes
 * from the environment: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION.
 * metadata_url: in place of the cloud's link-local addresses, for tests.
 */
struct remote_config {
	const json_t *stores;
	const char *aws_metadata_url, *alibaba_metadata_url;    /* or NULL */
	int parts;              /* in flight for an object; 0: 4 */
	uint64_t part_size;     /* 0: 16 MiB; grows with the object */
	int64_t stall_ms;       /* silence that ends a try; 0: 30 s */
};
enum rk_err remote_open(struct remote **rp, struct loop *l, struct http *h,
    const struct remote_config *c, struct rk_why *why) RK_MUSTCHECK;
void remote_close(struct remote **rp);  /* operations end without an answer */

/*
 * Is this an address that we could use?  RK_EINVAL, with why at "".  An address
 * may end in "#sha256=HEX": what remote_download() gets must have it.  Of one
 * that ends in "#member=..." (struct rk_part) the archive is meant.
 */
enum rk_err remote_check(struct remote *r, const char *uri,
    struct rk_why *why) RK_MUSTCHECK;
/*
 * Does the configuration name the store of this address: has `stores` an entry
 * that counts for it, or does it lie in `bucket` ("s3://b/"; NULL: none)?  Not
 * where a part of its path is . or .., which a server may take for another key.
 * What http:// an address has is said by the entry of https://.
 */
bool remote_named(struct remote *r, const char *uri, const char *bucket);
/* Has `stores` an entry at all? */
bool remote_has_stores(const struct remote *r);
/* "s3://b/p" and "x/y" to "s3://b/p/x/y"; the caller frees. */
char *remote_join(const char *uri, const char *key);

/*
 * Before anything else, and before there are threads: nobody but root may look
 * into this process (it is not dumpable: no core file, no debugger, no
 * /proc/<pid>/environ), and secrets for stores are taken out of its
 * environment, so that what it starts does not inherit them either: a
 * credential_process gets its keys from elsewhere.  remote goes on knowing
 * them.
 */
void remote_hide_secrets(void);

/* --- how an operation ended ----------------------------------------------- */

enum remote_end {
	REMOTE_OK,
	REMOTE_MISSING,         /* no such object, bucket, or upload */
	REMOTE_EXISTS,          /* put if absent: it is there */
	REMOTE_CHANGED,         /* If-Match: it is another one by now */
	REMOTE_DENIED,          /* credentials, permission, signature, quota;
	                           or we do not trust the store (TLS) */
	REMOTE_REFUSED,         /* any other permanent no */
	REMOTE_UNAVAILABLE,     /* tries or time used up; may work later */
	REMOTE_DAMAGED,         /* bytes do not agree with their digest */
	REMOTE_LOCAL,           /* our disk: err */
	REMOTE_CANCELLED,
};
extern const char *const remote_end_words[];

struct remote_result {
	enum remote_end end;
	enum rk_err err;        /* of REMOTE_LOCAL */
	bool too_large;         /* of REMOTE_REFUSED: get was answered, with
	                           more than `max` bytes */
	bool hidden;            /* of REMOTE_DENIED, head and get: it may just
	                           not be there, which S3 does not tell who
	                           may not list the bucket */
	bool by_head;           /* of put if absent: the store has no condition,
	                           and was asked with HEAD first */
	const char *error;      /* a sentence: host, status, code, message,
	                           request id; "" on RK_OK */
	const char *code;       /* of the store, "SlowDown", or "" */
	int status;
	int tries;              /* requests made */
	/* head, get, put, upload, download: */
	const char *etag;       /* without quotes, or "" */
	uint64_t size;
	int64_t modified_ms;    /* 0: not said */
	const char *sha256;     /* the object's metadata, or "" */
	const char *body;       /* get */
	size_t len;
};
typedef void remote_done_fn(void *ctx, const struct remote_result *r);

/* How long to try: until deadline_ms on mono_ms()'s clock (0: 10 min without
 * progress), and longer by the time in which our own process or machine stood
 * still; at most `tries` (0: 10) requests for each part. */
struct remote_patience {
	int64_t deadline_ms;
	int tries;
};

/* --- small objects -------------------------------------------------------- */

#define REMOTE_SMALL (64u << 20)        /* the most that is kept in memory */

struct remote_op *remote_head(struct remote *r, const char *uri,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx);
/* At most max bytes, else REMOTE_REFUSED, too_large. */
struct remote_op *remote_get(struct remote *r, const char *uri, size_t max,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx);
/*
 * Bytes are copied.  if_absent: REMOTE_EXISTS if it is there already - unless
 * what is there is these bytes and an earlier try of this operation may have
 * put them, which is REMOTE_OK.  A store that does not know how (501, or 400
 * NotImplemented) is asked first with HEAD, and a warning is logged once.
 */
struct remote_op *remote_put(struct remote *r, const char *uri, const void *p,
    size_t n, bool if_absent, const struct remote_patience *pt,
    remote_done_fn *fn, void *ctx);
/* Absent is REMOTE_OK. */
struct remote_op *remote_delete(struct remote *r, const char *uri,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx);

/*
 * Everything below a prefix ("s3://b/p/" lists keys that begin with "p/"), in
 * the order of keys; with `folders` only to the next '/', folders being entries
 * whose key ends in '/'.  each gets a page's entries; keys are relative to the
 * prefix.  false from it ends the listing as REMOTE_CANCELLED.
 */
struct remote_entry {
	const char *key;
	uint64_t size;
	int64_t modified_ms;
	const char *etag;
};
typedef bool remote_entry_fn(void *ctx, const struct remote_entry *v, size_t n);
struct remote_op *remote_list(struct remote *r, const char *prefix,
    bool folders, remote_entry_fn *each, const struct remote_patience *p,
    remote_done_fn *fn, void *ctx);

/* --- large objects -------------------------------------------------------- */

/*
 * Put size bytes of a file.  Up to part_size in one request; above in parts of
 * a multipart upload, `parts` of them in flight, each part hashed, sent and
 * checked; the finished object is asked for with HEAD and compared (length;
 * ETag or CRC64 where the store's mean something).
 *
 * began(ctx, upload_id, part_size): a multipart upload was created; it must
 * make that durable before it returns true (false: give up), so that a daemon
 * that is killed finds the upload again.  upload_id, part_size in `a`: such a
 * found upload; parts that are there with the right size and digest, computed
 * anew from the file, are not sent again; if the store does not know it any
 * more, it begins anew.
 * RK_OK means: complete, and HEAD agreed.
 */
struct remote_upload {
	int fd;                         /* duplicated */
	uint64_t size;
	const char *sha256;             /* kept as metadata; NULL: none */
	const char *upload_id;          /* or NULL */
	uint64_t part_size;             /* of upload_id */
	bool (*began)(void *ctx, const char *upload_id, uint64_t part_size);
	remote_done_fn *done;
	void *ctx;
	struct remote_patience patience;
};
struct remote_op *remote_upload(struct remote *r, const char *uri,
    const struct remote_upload *a);
/* Abort a multipart upload; one that is gone is REMOTE_OK. */
struct remote_op *remote_abort(struct remote *r, const char *uri,
    const char *upload_id, const struct remote_patience *p, remote_done_fn *fn,
    void *ctx);
/* Multipart uploads under a prefix, begun and not completed; a store that has
 * no such list, or does not let us, is REMOTE_OK with none. */
typedef bool remote_pending_fn(void *ctx, const char *key,
    const char *upload_id, int64_t initiated_ms);
struct remote_op *remote_pending(struct remote *r, const char *prefix,
    remote_pending_fn *each, const struct remote_patience *p,
    remote_done_fn *fn, void *ctx);

/*
 * Get an object into a file: its length and ETag first, then ranges in parallel
 * with If-Match, each written where it belongs and gone on with where it broke.
 * sha256 (may be NULL) is what it must have; without, the object's own metadata
 * is believed, if there is any.  The result has the digest that was computed.
 *
 * `got` (may be NULL) is told of each range that is complete and fsynced, so
 * that a later call may say in `have` (a list of done ranges, etag the object
 * they are of) what need not be fetched again.
 * REMOTE_CHANGED: the object was replaced meanwhile; begin anew.
 */
struct remote_range {
	uint64_t at, n;
};
struct remote_download {
	int fd;                         /* duplicated */
	const char *sha256;
	uint64_t max;                   /* larger is REMOTE_REFUSED; 0: none */
	const char *etag;               /* of `have`, or NULL */
	const struct remote_range *have;
	size_t nhave;
	bool (*sized)(void *ctx, uint64_t size, const char *etag); /* room? */
	void (*got)(void *ctx, uint64_t at, uint64_t n);
	remote_done_fn *done;
	void *ctx;
	struct remote_patience patience;
};
struct remote_op *remote_download(struct remote *r, const char *uri,
    const struct remote_download *a);

/* --- about operations ----------------------------------------------------- */

/* Ends it without an answer; what is on the wire may still have its effect. */
void remote_cancel(struct remote_op **op);
/* Bytes done of bytes in all, for large objects. */
void remote_moved(const struct remote_op *op, uint64_t *done, uint64_t *total);
/* Parts of an operation that are not under way yet wait (true), or go on. */
void remote_hold(struct remote_op *op, bool hold);

/* Sums since the start, for /metrics; and what the line gives: bytes a second
 * over the last half minute in which something moved, 0 when not known. */
struct remote_totals {
	uint64_t sent, received, requests, retries, throttled, failures;
	double up_rate, down_rate;
};
void remote_totals(const struct remote *r, struct remote_totals *out);

#endif
