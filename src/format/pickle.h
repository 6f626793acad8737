/*
 * pickle - Python's pickles, read as data.
 *
 * A pickle is a program for a small stack machine
 * (https://docs.python.org/3/library/pickletools.html has its instructions).
 * Read here are the instructions that files of weights have, of protocols 2 to
 * 5; none of them does anything but make values.  GLOBAL names something of
 * Python: the names that weights need are a list (pickle_names.c), and a file
 * that asks for another is refused with that name.  REDUCE "calls" such a name:
 * what comes of it is a value by rules, never a call.
 *
 * Limits: PICKLE_DEPTH, PICKLE_MEMO, PICKLE_STEPS, and the arena's budget.
 * What is fetched from the memo is the same value, not a copy; so values may
 * share parts, and lists and dicts may hold themselves: who walks them looks
 * out.
 */
#ifndef REKINDLE_FORMAT_PICKLE_H
#define REKINDLE_FORMAT_PICKLE_H

#include "arena.h"

#define PICKLE_DEPTH  100u              /* of values in values */
#define PICKLE_MEMO   (1u << 21)        /* entries */
#define PICKLE_STEPS  (1u << 27)        /* instructions */

/* --- names ---------------------------------------------------------------- */

/* Who may ask for a name. */
#define PICKLE_TORCH  1u
#define PICKLE_PADDLE 2u

/* A name of the list.  What a call of it makes is behind it; an object where
 * nothing else is said. */
enum pickle_name {
	PN_TUPLE, PN_LIST, PN_SET, PN_DICT,     /* these */
	PN_BYTES, PN_BYTEARRAY, PN_ENCODE,      /* bytes */
	PN_COMPLEX, PN_INT, PN_FLOAT, PN_BOOL, PN_STR, PN_OBJECT, PN_SLICE,
	PN_ORDERED_DICT, PN_COUNTER, PN_DEFAULT_DICT, PN_NAMESPACE,     /* dict */
	PN_RECONSTRUCTOR,       /* an object of what its first argument names */
	PN_PATH, PN_DATETIME,
	/* numpy's */
	PN_ND_RECONSTRUCT, PN_ND_SCALAR, PN_ND_FROM_BUFFER, PN_NDARRAY,
	PN_ND_DTYPE, PN_ND_TYPE,
	/* torch's; a storage's type is what torch.h says for its name */
	PN_TENSOR, PN_TENSOR_V2, PN_TENSOR_V3, PN_PARAMETER,
	PN_PARAMETER_STATE, PN_PARAMETER_CLASS, PN_TENSOR_CLASS,
	PN_FROM_TYPE_V2, PN_SPARSE, PN_QTENSOR, PN_META, PN_WRAPPER,
	PN_FROM_NUMPY, PN_SIZE, PN_DEVICE, PN_LAYOUT, PN_QSCHEME,
	PN_STORAGE, PN_DTYPE,
};

struct pickle_row {
	const char *module, *name;
	enum pickle_name id;
	unsigned who;                   /* PICKLE_TORCH | PICKLE_PADDLE */
};
/* The row of "module.name", or NULL. */
const struct pickle_row *pickle_name_find(const void *module, size_t mlen,
    const void *name, size_t nlen, unsigned who);
/* Refuse the name: what was asked for, and what to do. */
enum rk_err pickle_name_refuse(const void *module, size_t mlen,
    const void *name, size_t nlen, struct rk_why *why);

/* --- values --------------------------------------------------------------- */

enum pickle_kind {
	PK_NONE, PK_BOOL, PK_INT, PK_FLOAT,
	PK_LONG,        /* outside 64 bits: n bytes of two's complement, LE */
	PK_TEXT,        /* UTF-8, checked */
	PK_STRING,      /* Python 2's str: text or bytes, as it is used */
	PK_BYTES,
	PK_LATIN,       /* bytes that the file has as UTF-8: a character below
	                   U+0100 each, checked; n bytes of UTF-8 */
	PK_LIST, PK_TUPLE, PK_SET,
	PK_DICT,        /* items are key, value, key, value */
	PK_NAME, PK_OBJECT, PK_PERSISTENT
};

struct pickle_value {
	uint64_t kind : 8, n : 56;      /* n: bytes at p */
	union {
		bool b;
		int64_t i;
		double f;
		const uint8_t *p;               /* into the file */
		struct pickle_seq *seq;         /* list, tuple, set, dict */
		const struct pickle_row *name;
		struct pickle_object *object;
		const struct pickle_value *id;  /* persistent: of what */
	};
};

struct pickle_seq {
	struct pickle_value *v;
	uint64_t n;                     /* of a dict: of keys and values */
	uint32_t depth;                 /* 1: of nothing that holds anything */
	uint32_t seen;                  /* the walker's */
};

/* A call of a name, and the state that the object was given. */
struct pickle_object {
	const struct pickle_row *name;
	struct pickle_value args;       /* a tuple */
	struct pickle_value state;      /* of BUILD; none */
	uint32_t depth;
};

/* --- reading -------------------------------------------------------------- */

struct pickle {
	struct arena *arena;            /* values live there */
	unsigned who;
	const uint8_t *p;               /* the bytes: the file's, or a part */
	size_t n;
	size_t at;                      /* begin here; afterwards: behind the
					   STOP */

	struct pickle_value value;      /* what the pickle is */
	/* Each persistent id once, in order: of PyTorch's storages. */
	struct pickle_value *persistent;
	size_t npersistent;
	uint64_t steps;                 /* counts over all pickles read so */
};

/* RK_EINVAL, RK_ELIMIT with a sentence.  What the machine itself takes is of
 * the arena's budget and given back. */
enum rk_err pickle_read(struct pickle *k, struct rk_why *why) RK_MUSTCHECK;
/* Do the bytes begin as a pickle of protocol 2 to 5? */
bool pickle_looks_like(const uint8_t *p, size_t n);

/* --- of the machine ------------------------------------------------------- */

/* What a call of a name with these arguments makes (pickle_call.c). */
enum rk_err pickle_call(struct pickle *k, const struct pickle_row *name,
    const struct pickle_value *args, struct pickle_value *out,
    struct rk_why *why) RK_MUSTCHECK;
/* An empty one with room for n items; false: there is no room. */
bool pickle_seq_new(struct pickle *k, enum pickle_kind kind, size_t n,
    struct pickle_value *out);
/* n items behind those that are there; RK_ELIMIT: of depth or of memory. */
enum rk_err pickle_seq_add(struct pickle *k, struct pickle_seq *s,
    const struct pickle_value *v, size_t n, struct rk_why *why) RK_MUSTCHECK;
uint32_t pickle_depth(const struct pickle_value *v);

/* --- questions ------------------------------------------------------------ */

/* Text, or Python 2's str: is it this word? */
bool pickle_is(const struct pickle_value *v, const char *word);
bool pickle_is_text(const struct pickle_value *v);      /* also a str, if
							   UTF-8 */
bool pickle_is_bytes(const struct pickle_value *v);     /* also a str,
							   PK_LATIN */
/* An object of this name. */
bool pickle_is_object(const struct pickle_value *v, enum pickle_name id);
/* A tuple of n items: the items, or NULL. */
const struct pickle_value *pickle_tuple(const struct pickle_value *v, size_t n);
/* The value of a key of a dict; NULL. */
const struct pickle_value *pickle_get(const struct pickle_value *dict,
    const char *key);
/* "a tuple of 3", "the text 'x'", "torch.Size": for sentences. */
#define PICKLE_SHOW 96
char *pickle_show(char out[PICKLE_SHOW], const struct pickle_value *v);

#endif
