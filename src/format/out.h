/*
 * out - what the writers of format_out.h share: bytes to the sink, counted, and
 * the opcodes of a pickle (Python's Lib/pickletools.py).
 */
#ifndef REKINDLE_FORMAT_OUT_PRIVATE_H
#define REKINDLE_FORMAT_OUT_PRIVATE_H

#include "rekindle/format_out.h"

#define OUT_CHUNK ((size_t)1 << 20)

struct out_file {
	const struct format_sink *to;
	uint64_t at;                    /* bytes put */
	void *chunk;                    /* OUT_CHUNK bytes; NULL: only
					   counting */
	struct out_behind *behind;      /* of tensors of several chunks; NULL:
					   none yet */
	struct rk_why *why;
	uint32_t crc;                   /* of what out_tensor() put last */
};

/* Names and types are checked before a byte is put.  `what` is the format in
 * refusals; code() gives NULL for a type that it does not have. */
enum rk_err out_check(const struct format_out_tensor *v, size_t n,
    const char *what, const char *(*code)(enum dtype t), bool names,
    struct rk_why *why) RK_MUSTCHECK;

enum rk_err out_begin(struct out_file *f, const struct format_sink *to,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err out_put(struct out_file *f, const void *p, size_t n) RK_MUSTCHECK;
enum rk_err out_zeros(struct out_file *f, size_t n) RK_MUSTCHECK;
/* The text in b, which is then empty. */
enum rk_err out_flush(struct out_file *f, struct strbuf *b) RK_MUSTCHECK;
enum rk_err out_tensor(struct out_file *f, const struct format_out_tensor *t)
    RK_MUSTCHECK;
/* Frees what it has; *size unless it is NULL. */
void out_end(struct out_file *f, uint64_t *size);

uint64_t out_bytes(const struct format_out_tensor *t);

/*
 * out_behind.c: a thread that puts chunks of OUT_CHUNK bytes while the caller
 * fills the next.  NULL: there is no thread to be had.  chunk() waits for an
 * empty one, put() hands over the first n bytes of it and has the error of one
 * before; drain() waits until all is put, and has their CRC-32 since the last
 * drain.
 */
struct out_behind *out_behind_new(const struct format_sink *to);
void *out_behind_chunk(struct out_behind *b);
enum rk_err out_behind_put(struct out_behind *b, size_t n) RK_MUSTCHECK;
enum rk_err out_behind_drain(struct out_behind *b, uint32_t *crc,
    struct rk_why *why) RK_MUSTCHECK;
void out_behind_free(struct out_behind *b);     /* NULL is fine */

/* Little-endian numbers. */
void out_le16(struct strbuf *b, unsigned v);
void out_le32(struct strbuf *b, uint32_t v);
void out_le64(struct strbuf *b, uint64_t v);

/* --- a pickle --------------------------------------------------------------- */

/* "module\nname\n", pushed; the second time out of the memo at `slot`, 0 to
 * 255, of which *seen is a bit set (32 bits are enough for ours). */
void pickle_put_global(struct strbuf *b, const char *global, unsigned slot,
    uint32_t *seen);
void pickle_put_text(struct strbuf *b, const char *s);
void pickle_put_int(struct strbuf *b, int64_t v);
void pickle_put_float(struct strbuf *b, double v);
void pickle_put_bool(struct strbuf *b, bool v);
/* A tuple of whole numbers. */
void pickle_put_sizes(struct strbuf *b, int n, const int64_t *v);

#define PICKLE_MARK       '('
#define PICKLE_STOP       '.'
#define PICKLE_NONE       'N'
#define PICKLE_REDUCE     'R'
#define PICKLE_BUILD      'b'
#define PICKLE_TUPLE      't'
#define PICKLE_EMPTY_DICT '}'
#define PICKLE_EMPTY_LIST ']'
#define PICKLE_APPENDS    'e'
#define PICKLE_SETITEM    's'
#define PICKLE_SETITEMS   'u'
#define PICKLE_BINPERSID  'Q'
#define PICKLE_EMPTY_TUPLE ')'
#define PICKLE_BINBYTES   'B'
#define PICKLE_BINBYTES8  '\x8e'

#endif
