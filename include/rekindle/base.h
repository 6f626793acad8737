/*
 * base - what every module stands on: errors, log, strings, time, threads,
 * files that stay, digests, names and random numbers.
 *
 * Nothing here keeps state but the log's level and the newest id.  Everything
 * may be called from any thread.  Times are milliseconds: `now_ms` since the
 * epoch (wall clock, for people and records), `mono_ms` since boot (for
 * deadlines).
 */
#ifndef REKINDLE_BASE_H
#define REKINDLE_BASE_H

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define REKINDLE_VERSION "0.1.0"

#define RK_MUSTCHECK   __attribute__((warn_unused_result))
#define RK_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define RK_NORETURN    __attribute__((noreturn))
#define RK_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define RK_MIN(a, b) ((a) < (b) ? (a) : (b))
#define RK_MAX(a, b) ((a) > (b) ? (a) : (b))
#define RK_ROUND_UP(n, to) (((n) + (to) - 1) / (to) * (to))     /* n >= 0 */

/* Whether this build checks each access (SAN=1). */
#if defined(__SANITIZE_ADDRESS__)               /* of gcc */
#define RK_SANITIZED 1
#elif defined(__has_feature)                    /* of clang */
#if __has_feature(address_sanitizer)
#define RK_SANITIZED 1
#endif
#endif
#ifndef RK_SANITIZED
#define RK_SANITIZED 0
#endif

/* --- errors ----------------------------------------------------------- */

/*
 * Three kinds of wrong.  Our bug: must() aborts, and the process is restarted
 * from disk.  The world: an rk_err, and the caller decides.  A person's input:
 * RK_EINVAL and a sentence in a `struct rk_why`.
 */
enum rk_err {
	RK_OK = 0,
	RK_EINVAL,              /* input refused; the why has the sentences */
	RK_EIO,                 /* the disk or the kernel said no */
	RK_ENOSPC,              /* no room on the disk, or over the quota */
	RK_EROFS,               /* read-only file system, or no permission */
	RK_ENOMEM,
	RK_ENOENT,              /* what was asked for is not there */
	RK_EEXIST,
	RK_EBUSY,               /* another process has it */
	RK_ECONFLICT,           /* not in this state */
	RK_ECORRUPT,            /* bytes do not agree with their digest or
				   form */
	RK_ETIMEDOUT,
	RK_ELIMIT,              /* over a limit that we set */
	RK_EGONE,               /* the file that we have open is no more at
				   its path: removed, or replaced */
};

/* The error's name for logs and people: "no space left", "corrupt", ... */
const char *rk_strerror(enum rk_err e);

/* The rk_err that an errno stands for; RK_EIO where nothing fits better. */
enum rk_err rk_from_errno(int e);

#define must(cond) \
	((cond) ? (void)0 : rk_must_failed(#cond, __FILE__, __LINE__))
void rk_must_failed(const char *cond, const char *file, int line) RK_NORETURN;

/* Objects that come back through a void * begin with `unsigned tag`. */
#define must_be(p, t) must((p) != NULL && (p)->tag == (t))

/*
 * What was wrong with an input: a list of faults, each a path
 * ("training.batch_size"; "" when the whole input is meant) and a message
 * ("is 0, want 1 to 1048576").  Starts as {0}; rk_why_fini() frees it.  It
 * keeps at most RK_WHY_MAX faults and counts the rest in `more`.
 */
#define RK_WHY_MAX 64
struct rk_fault {
	char *path;
	char *message;
};
struct rk_why {
	struct rk_fault *v;
	size_t n, more;
};

/* Add a fault; always returns RK_EINVAL.  why may be NULL: nothing is kept. */
enum rk_err rk_refuse(struct rk_why *why, const char *fmt, ...) RK_PRINTF(2, 3);
enum rk_err rk_refuse_at(struct rk_why *why, const char *path,
    const char *fmt, ...) RK_PRINTF(3, 4);
void rk_why_fini(struct rk_why *why);

/* The first fault as one line "path: message" (static text if there is none);
 * valid until the why changes.  rk_why_text: all of them, "; " between, in a
 * string that the caller frees. */
const char *rk_why_first(const struct rk_why *why);
char *rk_why_text(const struct rk_why *why);
/* Free `own`; where it has faults, the first becomes one of why, and it is
 * RK_EINVAL: a reader that gives its caller one sentence. */
enum rk_err rk_why_end(struct rk_why *own, struct rk_why *why);

/* --- memory: these abort when there is none ---------------------------- */

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);           /* overflow-checked, zeroed */
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) RK_PRINTF(1, 2);

/* a*b and a+b into *out; false if it does not fit. */
bool rk_mul(size_t a, size_t b, size_t *out);
bool rk_add(size_t a, size_t b, size_t *out);

/* --- log ---------------------------------------------------------------- */

/*
 * One line a call on stderr: "2026-11-23T12:00:00.000Z info ckpt: saved ...".
 * Under systemd (JOURNAL_STREAM is set) the time is left out and "<6>" leads.
 * log_errno appends ": " and strerror(errno); errno is kept by all of them.
 */
enum log_level { LOG_L_DEBUG, LOG_L_INFO, LOG_L_WARN, LOG_L_ERROR };
void log_set_level(enum log_level lv);
bool log_level_from_name(const char *name, enum log_level *out);
void log_debug(const char *fmt, ...) RK_PRINTF(1, 2);
void log_info(const char *fmt, ...) RK_PRINTF(1, 2);
void log_warn(const char *fmt, ...) RK_PRINTF(1, 2);
void log_error(const char *fmt, ...) RK_PRINTF(1, 2);
void log_errno(const char *fmt, ...) RK_PRINTF(1, 2);

/* --- strbuf: a growing string, always NUL-terminated -------------------- */

struct strbuf {
	char *s;                /* NULL in {0}, never after the first sb_
				   call */
	size_t len, cap;
};
void sb_init(struct strbuf *b);                 /* same as = {0} */
void sb_fini(struct strbuf *b);
void sb_reset(struct strbuf *b);                /* length 0, memory kept */
void sb_add(struct strbuf *b, const void *p, size_t n);
void sb_adds(struct strbuf *b, const char *s);
void sb_addc(struct strbuf *b, char c);
void sb_addf(struct strbuf *b, const char *fmt, ...) RK_PRINTF(2, 3);
void sb_vaddf(struct strbuf *b, const char *fmt, va_list ap);
void sb_cut(struct strbuf *b, size_t n);        /* drop the first n bytes */
const char *sb_str(const struct strbuf *b);     /* "" for an empty one */
char *sb_detach(struct strbuf *b);              /* caller frees; b is {0}
						   again */

/* Bytes of the UTF-8 character at s, of which n > 0 are there; 0: there is none
 * (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF). */
size_t rk_utf8_len(const void *s, size_t n);
/* How many of n bytes, from the first, are UTF-8: n where all are. */
size_t rk_utf8_good(const void *s, size_t n);
/* Control characters, marks of direction and bytes that are not UTF-8 become a
 * '?' for each byte (newline and tab a space), in place; returns s.  What is
 * left is one line, and fit for JSON.  rk_refuse() does this to its faults, the
 * log to its lines. */
char *rk_text_clean(char *s);
/* The bytes of the mark of direction that p begins with, or 0.  They have no
 * width and turn what stands behind them round: a name with one can look like
 * another, or like our own words. */
size_t rk_mark_len(const void *p, size_t n);
/* The same as JSON may write it, "\\u202e": the text stays what it is. */
const char *rk_mark_json(char out[8], const void *mark);
/* Only these become '?': for what has lines of its own. */
char *rk_marks_clean(char *s);
/* The most bytes of s, up to max, that do not cut a UTF-8 character. */
size_t rk_text_fit(const char *s, size_t max);

/* "200,960" and "1.5 GiB" for people; out holds at least RK_HUMAN bytes. */
#define RK_HUMAN 32
char *rk_group_digits(char *out, int64_t n);
char *rk_human_bytes(char *out, uint64_t n);
/* "big.yaml is longer than 1 MiB (1,048,576 bytes), the most that is taken":
 * the one sentence for a job, by whatever way it comes.  The caller's. */
char *rk_too_long(const char *what, uint64_t max);
#define RK_JOB_MAX (1u << 20)           /* bytes of a job as a person has it */
/* "" of 1, else "s": "%d file%s", n, rk_s(n). */
const char *rk_s(int64_t n);
/* So many a second: "12,345"; below 10 two digits that count, "0.35". */
char *rk_human_rate(char *out, double rate);

/* --- time ---------------------------------------------------------------- */

int64_t now_ms(void);
int64_t mono_ms(void);
int64_t mono_ns(void);

/* "2026-11-23T12:00:00.123Z"; out holds at least RK_TIME bytes. */
#define RK_TIME 32
char *rk_time_text(char *out, int64_t ms);

/* --- threads and signals --------------------------------------------------- */

/*
 * No program of ours has a signal handler, and every thread but the one that a
 * program waits for signals with has the signals blocked that can be.  A
 * handler would run on the stack of whatever thread was interrupted, and that
 * stack may be foreign code's (kernel.h).  rekindled reads its signals from a
 * descriptor (loop_signal), rekindle-train from a thread of its own
 * (src/train/signals.c); rekindle leaves them as they are.
 *
 * `that_wait`: all signals but those by which a thread is told of its own
 * fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS): blocking them would
 * only keep a debugger's or a sanitizer's handler from them.
 */
void rk_signals_that_wait(sigset_t *set);
/* Block them in the calling thread, and in those that it starts; *old is the
 * mask before (NULL: not wanted). */
void rk_signals_block(sigset_t *old);
/* pthread_create() of a thread that has them blocked; an errno, 0 for none.
 * All our threads are started by this call. */
int rk_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg)
    RK_MUSTCHECK;

/* --- files ---------------------------------------------------------------- */

/*
 * Read a whole file.  *out (caller frees) has len bytes and a NUL behind them.
 * RK_ELIMIT if it is longer than max, RK_ENOENT if it is not there, RK_EINVAL
 * if it is not a regular file.  dirfd as in openat(2).  Nothing is logged.
 */
enum rk_err rk_read_file(int dirfd, const char *path, size_t max, char **out,
    size_t *len) RK_MUSTCHECK;

/*
 * Replace dirfd/name by these bytes so that after a power cut it is the old
 * file or the new one, whole: written to a temporary name in the same
 * directory, fsynced, renamed, directory fsynced.  name has no slash.  A
 * failure is logged here and leaves no temporary file; a power cut may leave
 * one, which begins with RK_TMP_PREFIX and may be removed at the next start.
 */
#define RK_TMP_PREFIX ".rk-tmp-"
enum rk_err rk_replace_file(int dirfd, const char *name, const void *p,
    size_t n) RK_MUSTCHECK;

/* The same at a path that a person gave, whose folder is there.  A failure is
 * also a sentence in `why`, with the path; RK_EINVAL: the path is a folder, a
 * device, a pipe or a socket, which no file takes the place of. */
enum rk_err rk_replace_path(const char *path, const void *p, size_t n,
    struct rk_why *why) RK_MUSTCHECK;

/* And of bytes that come in pieces: begin makes fd, which the caller writes to;
 * end with `keep` puts the file in its place as above, without it nothing is
 * left.  After a begin that failed there is nothing to end.
 *
 * RK_KEEP_OLD: a file that is there already stays, and begin, or end where it
 * came meanwhile, is RK_EEXIST. */
enum rk_old { RK_REPLACE_OLD, RK_KEEP_OLD };
struct rk_replacing {
	int fd, dirfd;
	enum rk_old old;
	const char *path;               /* the caller's, until the end */
	char tmp[32];
};
enum rk_err rk_replacing_begin(struct rk_replacing *r, const char *path,
    enum rk_old old, struct rk_why *why) RK_MUSTCHECK;
enum rk_err rk_replacing_end(struct rk_replacing *r, bool keep,
    struct rk_why *why) RK_MUSTCHECK;

/* Write all n bytes; 0, or -1 and errno. Goes on after EINTR, short writes. */
int rk_write_all(int fd, const void *p, size_t n);
/* All that comes from in, into out; 0, or -1 and errno. */
int rk_copy_fd(int in, int out);
int rk_fsync_dir(int dirfd);                    /* 0, or -1 and errno */

/* mkdir -p, each new directory's parent fsynced.  Logs a failure. */
enum rk_err rk_mkdirs(const char *path, unsigned mode) RK_MUSTCHECK;

/* Remove a file or a tree; fine if absent; never follows a symlink.  Logs a
 * failure. */
enum rk_err rk_remove_tree(int dirfd, const char *name) RK_MUSTCHECK;

/* Bytes free to us on the file system of fd; RK_EIO if it cannot be told. */
enum rk_err rk_disk_free(int fd, uint64_t *bytes) RK_MUSTCHECK;

/*
 * For the person who gave a path: the reason of an errno that a call with it
 * gave.  Names the first folder that our user may not enter, and what a service
 * does not see as its users do: a /tmp of its own, places that its unit does
 * not let it write to.  From any thread; the caller frees.
 */
char *rk_why_unreadable(const char *path, int err);     /* of a file */
char *rk_why_unwritable(const char *path, int err);     /* of a folder */
/* Why nothing could be written below the folder `path`, which is made where it
 * is not there: as above, or NULL where no reason is seen. */
char *rk_folder_fault(const char *path);

/*
 * Does a path, once every symlink of it is followed, lie in one of the folders,
 * or is it one of these?  What is not there yet lies where it would be made.  No:
 * a path that is relative, has a "..", or cannot be followed to its end; and a
 * file whose own folder is in none of them, for what lies beside a file is read
 * with it.
 */
bool rk_path_within(const char *path, const char *const *folders, size_t n);

/* The program of ours with that name: beside the one that runs, in ../libexec/
 * rekindle from there, or in PATH; NULL: there is none.  The caller frees. */
char *rk_program_find(const char *name);
bool rk_program_ok(const char *path);           /* a file that we may run */

void rk_close(int *fd);                         /* closes if >= 0, sets -1 */
int rk_set_cloexec(int fd, bool on);
int rk_set_nonblock(int fd, bool on);

/* --- digest --------------------------------------------------------------- */

#define RK_SHA256_HEX 65                        /* 64 digits and a NUL */
struct rk_sha256;                               /* a running SHA-256 */
struct rk_sha256 *rk_sha256_new(void);
void rk_sha256_add(struct rk_sha256 *d, const void *p, size_t n);
void rk_sha256_end(struct rk_sha256 *d, char hex[RK_SHA256_HEX]); /* frees d */
void rk_sha256_free(struct rk_sha256 *d);       /* NULL is fine */
void rk_sha256_of(const void *p, size_t n, char hex[RK_SHA256_HEX]);
/*
 * XXH3 of 128 bits (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md; as
 * `xxhsum -H2` prints it): 10 GB/s and more, SHA-256 being 1.5.  It sees what
 * disks and memory do to bytes; who wants two files of one digest can make
 * them, so that bytes from elsewhere are known by SHA-256.
 */
#define RK_XXH128_HEX 33                        /* 32 digits and a NUL */
struct rk_xxh128;
struct rk_xxh128 *rk_xxh128_new(void);
void rk_xxh128_add(struct rk_xxh128 *d, const void *p, size_t n);
void rk_xxh128_end(struct rk_xxh128 *d, char hex[RK_XXH128_HEX]); /* frees d */
void rk_xxh128_free(struct rk_xxh128 *d);       /* NULL is fine */
/* Both digests at once of the whole file, from its first byte, reading it once;
 * the file position stays.  Either digest and size may be NULL. */
enum rk_err rk_digests_of_fd(int fd, char *sha256, char *xxh128,
    uint64_t *size) RK_MUSTCHECK;
enum rk_err rk_sha256_of_fd(int fd, char hex[RK_SHA256_HEX],
    uint64_t *size) RK_MUSTCHECK;

/* What object stores ask for.  HMAC: RFC 2104; MD5: RFC 1321, for their
 * Content-MD5 and ETags, not for trust. */
void rk_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n,
    unsigned char out[32]);
void rk_hmac_sha1(const void *key, size_t key_len, const void *p, size_t n,
    unsigned char out[20]);
struct rk_md5;
struct rk_md5 *rk_md5_new(void);
void rk_md5_add(struct rk_md5 *d, const void *p, size_t n);
void rk_md5_end(struct rk_md5 *d, unsigned char out[16]);       /* frees d */
/* CRC-64/XZ (ECMA-182 reflected), as Alibaba OSS has it; begin with crc 0.
 * combine: of a followed by b, b being b_len bytes long. */
uint64_t rk_crc64(uint64_t crc, const void *p, size_t n);
uint64_t rk_crc64_combine(uint64_t a, uint64_t b, uint64_t b_len);
/* XXH64: some GB/s, the same on every machine and for ever.  Not for where
 * somebody gains by two texts of the same hash. */
uint64_t rk_hash64(uint64_t seed, const void *p, size_t n);
void rk_hex(char *out, const void *p, size_t n);        /* 2n digits, a NUL */
char *rk_base64(const void *p, size_t n);               /* caller frees */
/* *out: caller frees, NUL behind; RK_EINVAL. */
enum rk_err rk_base64_decode(const char *s, void **out, size_t *n) RK_MUSTCHECK;
/* RFC 3339 with any fraction and Z or +hh:mm, or RFC 1123 ("Mon, 19 Sep 2016
 * 18:29:47 GMT"), to milliseconds since the epoch; false: it is neither. */
bool rk_time_parse(const char *s, int64_t *ms);
/* Overwrite, and not be optimised away: for secrets. */
void rk_wipe(void *p, size_t n);

/* --- identifiers, names, addresses ---------------------------------------- */

/*
 * A new id, unique anywhere, that sorts by the time it was made: 48 bits of
 * milliseconds and 80 random bits in Crockford's base 32, lower case (the
 * layout of a ULID, https://github.com/ulid/spec).  Ids made by one process
 * grow strictly, also within a millisecond and when the clock is set back.
 */
#define RK_ID_LEN 26
#define RK_ID (RK_ID_LEN + 1)
void rk_id_new(char out[RK_ID]);
bool rk_id_ok(const char *s);

/* A name of ours: 1 to 64 of [A-Za-z0-9._-], not beginning with . or -  */
#define RK_NAME_MAX 64
bool rk_name_ok(const char *s);

/*
 * A URI of the kinds we know, taken apart in place:
 *   job://ID/CHECKPOINT   kind RK_URI_JOB,  host = ID, path = CHECKPOINT
 *   file:/abs, file:///abs, /abs, rel/path   RK_URI_FILE, path = the path
 *   model://NAME@ALIAS    kind RK_URI_MODEL, host = NAME, path = ALIAS
 *   model://NAME/N        the same,          host = NAME, path = N
 *   https: http: s3: oss:                    RK_URI_OTHER, scheme is set
 * ID may also be a job's name; CHECKPOINT is latest, best, step:N or a name.  N
 * is the number of a version, which no alias is: it has other than digits.
 * The path of a file: address is percent-decoded, a bare path is not.  scheme
 * is lower case and always set; RK_URI_OTHER has host and the path behind the
 * slash.  Strings are the caller's to free with rk_uri_fini(); after a refusal
 * there are none.
 */
enum rk_uri_kind { RK_URI_FILE, RK_URI_JOB, RK_URI_MODEL, RK_URI_OTHER };
struct rk_uri {
	enum rk_uri_kind kind;
	char *scheme, *host, *path;
};
enum rk_err rk_uri_parse(struct rk_uri *u, const char *s,
    struct rk_why *why) RK_MUSTCHECK;
void rk_uri_fini(struct rk_uri *u);

/*
 * What may follow the address or the path of a file, and says which bytes are
 * meant:
 *	#sha256=HEX               those of the file; they have this SHA-256
 *	#member=NAME              those of the file NAME in the archive that it
 *				  is
 *	#member=NAME&sha256=HEX   and these have this SHA-256
 * NAME is as it is in the archive, nothing in it is encoded; it may have # and
 * & in it.  HEX is of 64 digits.  Any other # belongs to the address.
 */
struct rk_part {
	char *bare;                     /* the address alone */
	char *member;                   /* or NULL */
	char sha256[RK_SHA256_HEX];     /* in lower case, or "" */
};
/* RK_EINVAL with a sentence at "": then there are no strings.  Else they are
 * the caller's, to be given back with rk_part_fini(). */
enum rk_err rk_part_parse(struct rk_part *p, const char *address,
    struct rk_why *why) RK_MUSTCHECK;
void rk_part_fini(struct rk_part *p);
/* From where in the address that is; its end where there is nothing of it. */
const char *rk_part_of(const char *address);

/* --- random numbers -------------------------------------------------------- */

/*
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC'11): four 32-bit words that are a pure function of key and counter.
 * There is no state: what is drawn at (seed, stream, index) is the same in
 * every run, thread and order.
 */
void rk_philox(const uint32_t key[2], const uint32_t ctr[4], uint32_t out[4]);

/*
 * Draw number `index` of stream (seed, a, b): callers use a for the step or
 * epoch and b for the op or tensor.  rk_draw_u32 gives one word,
 * rk_draw_unit a float in [0, 1), rk_draw_normal one of N(0, 1) (Box-Muller).
 */
uint32_t rk_draw_u32(uint64_t seed, uint32_t a, uint32_t b, uint64_t index);
float rk_draw_unit(uint64_t seed, uint32_t a, uint32_t b, uint64_t index);
float rk_draw_normal(uint64_t seed, uint32_t a, uint32_t b, uint64_t index);

/* out[i] = the draw at index first + i: as rk_draw_, at a quarter of the
 * cost. */
void rk_fill_u32(uint32_t *out, size_t n, uint64_t seed, uint32_t a, uint32_t b,
    uint64_t first);
void rk_fill_unit(float *out, size_t n, uint64_t seed, uint32_t a, uint32_t b,
    uint64_t first);

/*
 * A keyed permutation of 0..n-1: the place where index i goes, in O(1) and
 * without memory.  A Feistel network over the next even number of bits,
 * walked until it lands below n (Black and Rogaway, "Ciphers with arbitrary
 * finite domains", CT-RSA 2002).  1 <= n <= 2^62, i < n.
 */
uint64_t rk_permute(uint64_t seed, uint64_t tweak, uint64_t n, uint64_t i);

/* Random bytes from the kernel, for ids and temporary names. */
void rk_random_bytes(void *p, size_t n);

#endif
