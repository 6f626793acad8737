/*
 * weights_make - what the readers of weights make a `struct weights` with.
 *
 * A reader is a row in the table of weights.c: `looks` tells its format by the
 * bytes, `read` adds what the file has with the functions here, and weights.c
 * checks that names occur once, makes the index, and frees all if `read`
 * refuses.  All that is added lives in the arena of the weights; what points
 * into the file stays there.
 *
 *	store   a run of bytes: where they are and how they are packed
 *	laid    elements in a store: type, shape, where they begin, their
 *		strides
 *	entry   a tensor with its path, as found in the object of a pickle
 */
#ifndef REKINDLE_FORMAT_WEIGHTS_MAKE_H
#define REKINDLE_FORMAT_WEIGHTS_MAKE_H

#include "arena.h"
#include "impl.h"
#include "pickle.h"
#include "rekindle/format_weights.h"

/* --- the file ------------------------------------------------------------- */

struct weights_inside {
	struct arena arena;
	size_t left;                    /* of WEIGHTS_MEMORY */
	const uint8_t *p;               /* the file: unpacked, or of the tar */
	size_t n;
	const uint8_t *archive;         /* the tar that it is in; or NULL */
	size_t archive_n;
	const char *path;               /* its name, NULL: memory */
	const struct weights_how *how;  /* while it is opened */
	struct weights_map *maps;       /* what is unmapped at the end */
	uint32_t *index;                /* into v, by role and name */
	uint64_t values_left_out;
	/* The store that is read from front to back, and how far. */
	struct weights_stream *stream;
	const struct weights_teller *teller;    /* of told ones; else NULL */
	void *teller_ctx;
};
/* Of nothing yet; and its end: names occur once, and are in the index. */
struct weights *weights_new(const char *path, const struct weights_how *how);
enum rk_err weights_make_index(struct weights *w, struct rk_why *why)
    RK_MUSTCHECK;

struct weights_reader {
	enum weights_format format;
	bool (*looks)(const uint8_t *p, size_t n);
	enum rk_err (*read)(struct weights *w, struct rk_why *why);
};
bool weights_looks_torch_zip(const uint8_t *p, size_t n);
bool weights_looks_torch_legacy(const uint8_t *p, size_t n);
bool weights_looks_npz(const uint8_t *p, size_t n);
bool weights_looks_index(const uint8_t *p, size_t n);
bool weights_looks_paddle(const uint8_t *p, size_t n);
bool weights_looks_static(const uint8_t *p, size_t n);
enum rk_err weights_read_safetensors(struct weights *w, struct rk_why *why);
enum rk_err weights_read_npz(struct weights *w, struct rk_why *why);
enum rk_err weights_read_torch_zip(struct weights *w, struct rk_why *why);
enum rk_err weights_read_torch_legacy(struct weights *w, struct rk_why *why);
enum rk_err weights_read_index(struct weights *w, struct rk_why *why);
enum rk_err weights_read_paddle(struct weights *w, struct rk_why *why);
enum rk_err weights_read_static(struct weights *w, struct rk_why *why);

/* Map a file beside this one (name is a plain file name) until weights_free(),
 * in the tar where this one is in a tar; RK_ENOENT: there is none; RK_EINVAL
 * where the weights are of memory. */
enum rk_err weights_map_beside(struct weights *w, const char *name,
    const uint8_t **p, size_t *n, struct rk_why *why) RK_MUSTCHECK;

/* --- stores --------------------------------------------------------------- */

enum store_kind {
	STORE_BYTES,                    /* as they are */
	STORE_LATIN,                    /* as the UTF-8 of a text, a byte a
	                                   character below U+0100 */
	STORE_DEFLATED,                 /* bare deflate (RFC 1951) */
	STORE_PIECES,                   /* other stores, one behind the other */
	STORE_TOLD                      /* another process has them */
};
struct weights_store {
	enum store_kind kind;
	const uint8_t *p;               /* mapped, until weights_free() */
	uint64_t packed;                /* bytes at p; of told ones the tensor's
	                                   number */
	uint64_t size;                  /* bytes that come out */
	uint32_t crc;                   /* of deflated ones */
	const struct weights_store *const *pieces;      /* none of pieces */
	size_t npieces;
};
/* The bytes of a value (pickle_is_bytes) as a store; NULL: no room. */
struct weights_store *weights_store_of(struct weights *w,
    const struct pickle_value *bytes);

/* Bytes from `from` on to dst; they must be the store's. */
enum rk_err weights_store_read(struct weights_inside *in,
    const struct weights_store *s, uint64_t from, size_t n, void *dst,
    struct rk_why *why) RK_MUSTCHECK;
void weights_stream_free(struct weights_inside *in);

/* --- tensors -------------------------------------------------------------- */

struct weights_view {
	struct weights_inside *in;
	const struct weights_store *store;
	uint64_t offset;                /* of element 0, in elements */
	size_t size;                    /* of an element, in bytes */
	bool big;
	int64_t *stride;                /* in elements; NULL: C order */
};

struct weights_laid {
	enum dtype dtype;
	int ndim;
	int64_t d[TENSOR_MAX_DIMS];
	const struct weights_store *store;
	uint64_t offset;                /* of element 0, in elements */
	bool big;                       /* most significant byte first */
	bool strided;                   /* stride counts; else C order */
	int64_t stride[TENSOR_MAX_DIMS];        /* in elements, >= 0 */
	const char *alias;              /* or NULL */
};

/*
 * Add a tensor: checks its name, type and shape, that no number overflows and
 * that each element lies in the store; a view whose strides are those of C
 * order becomes one without.  path: NULL if it is the name.  What comes back
 * may be changed until `read` returns (role, alias, of, slot), as long as names
 * stay.  A refusal is at the path.
 */
enum rk_err weights_add(struct weights *w, enum weights_role role,
    const char *name, const char *path, const struct weights_laid *laid,
    struct weights_tensor **out, struct rk_why *why) RK_MUSTCHECK;
/* value->path and text are copied and cleaned.  Over WEIGHTS_VALUES: counted,
 * and a note says how many are left out. */
enum rk_err weights_add_value(struct weights *w,
    const struct weights_value *value, struct rk_why *why) RK_MUSTCHECK;
void weights_note(struct weights *w, const char *fmt, ...) RK_PRINTF(2, 3);
/* A copy in the arena; NULL: no room. */
char *weights_text(struct weights *w, const void *p, size_t n);

/* All that was added is the model: its part, as the whole file. */
enum rk_err weights_one_part(struct weights *w, struct rk_why *why)
    RK_MUSTCHECK;
/* The tensors and metadata of a safetensors file in memory, which stays. */
enum rk_err weights_add_safetensors(struct weights *w, const uint8_t *p,
    size_t n, struct rk_why *why) RK_MUSTCHECK;

/* --- out of a pickle ------------------------------------------------------ */

/*
 * What a value is: a tensor (laid is set), a number or a text for the list of
 * values (value is set, but for its path), or nothing of interest; a tuple that
 * is nothing is walked.  IS_BAD: refused, with a sentence, which gets the path
 * in front.
 */
enum weights_is { IS_TENSOR, IS_VALUE, IS_NOTHING, IS_BAD };

struct weights_gather {
	struct weights *w;
	/* Of a value that is no number, text, list, set or dict. */
	enum weights_is (*is)(struct weights_gather *g,
	    const struct pickle_value *v, struct weights_laid *laid,
	    struct weights_value *value, struct rk_why *why);
	void *ctx;
	bool optimizer;                 /* all of it is an optimiser's state */
	uint64_t strange;               /* set: keys that were passed over */
};

/*
 * Walk what a pickle has and add its tensors and values: parts, roles, names
 * and notes by the rule of format_weights.h.  Refused: a key twice in a dict,
 * what holds itself, more than a million of anything.  Keys that are neither
 * text nor whole numbers are passed over with what they have, and a note says
 * so.
 */
enum rk_err weights_gather(struct weights_gather *g,
    const struct pickle_value *root, struct rk_why *why) RK_MUSTCHECK;

/*
 * numpy's: an array (_reconstruct with its state, _frombuffer; C or Fortran
 * order, either byte order) or a scalar, which is a value.  IS_NOTHING: it is
 * none of numbers; IS_BAD: lengths or forms that numpy does not write, and of
 * Paddle also objects, texts, dates and records.  Paddle saves bfloat16 as u2.
 */
enum weights_is weights_numpy(struct weights *w, const struct pickle_value *v,
    bool paddle, struct weights_laid *laid, struct weights_value *value,
    struct rk_why *why);

/* weights_near.c: which files there are, the nearest to `want` first ("": the
 * shortest). */
void weights_list_members(const struct format_tar *t, const char *want,
    struct strbuf *b);

#endif
