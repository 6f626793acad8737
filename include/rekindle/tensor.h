/*
 * tensor - named arrays with a type and a shape; a set of them is a "state
 * dict".  Only descriptions and bytes: no arithmetic but conversion.
 */
#ifndef REKINDLE_TENSOR_H
#define REKINDLE_TENSOR_H

#include "rekindle/base.h"

#define TENSOR_MAX_DIMS  8
#define TENSOR_NAME_MAX  512

/* In the order of the safetensors reference's enum (see format.h), and behind
 * them what only others' formats have. */
enum dtype {
	DT_BOOL, DT_F4, DT_F6_E2M3, DT_F6_E3M2, DT_U8, DT_I8, DT_F8_E5M2,
	DT_F8_E4M3, DT_F8_E8M0, DT_F8_E4M3FNUZ, DT_F8_E5M2FNUZ, DT_I16, DT_U16,
	DT_F16, DT_BF16, DT_I32, DT_U32, DT_F32, DT_C64, DT_F64, DT_I64, DT_U64,
	DT_C128,                /* not of safetensors */
	DT_COUNT
};
const char *dtype_name(enum dtype t);           /* "F32" */
unsigned dtype_bits(enum dtype t);
/* Of the types of safetensors. */
bool dtype_from_name(const char *s, size_t len, enum dtype *out);

struct tensor {
	char *name;
	enum dtype dtype;
	int ndim;               /* 0: a scalar, one element */
	int64_t d[TENSOR_MAX_DIMS];
	size_t nbytes;
	int part;               /* 0; the owner's word for what it belongs to */
	const void *data;       /* not owned: lies in the set's backing memory;
	                           out of a file it need not be aligned */
};

/* Elements; the shape was checked when the tensor was made. */
size_t tensor_count(const struct tensor *t);
bool tensor_same_shape(const struct tensor *a, const struct tensor *b);
/* "[10,256]"; out holds at least TENSOR_SHAPE_TEXT bytes. */
#define TENSOR_SHAPE_TEXT 192
char *tensor_shape_text(char *out, int ndim, const int64_t *d);

/*
 * A set in file order, names unique.  `backing` is the memory that all data
 * pointers lie in (a mapping of the file, or NULL when the data belongs to
 * somebody else); tensor_set_free() unmaps it.
 */
struct tensor_set {
	struct tensor *v;
	size_t n;
	void *backing;
	size_t backing_len;
	struct tensor_index *index;     /* by name; of tensor_set_seal() */
	char **meta;                    /* key, value, key, value, ... NULL */
	struct tensor_set *behind;      /* whose memory data lie in; owned */
};
struct tensor_set *tensor_set_new(void);
void tensor_set_free(struct tensor_set *s);

/* Append, before the set is sealed; copies name, borrows data.  Shape and sizes
 * are checked: RK_EINVAL when a dimension is negative or there are too many,
 * the product overflows, the bits are no whole number of bytes, or the name is
 * empty, too long or has a control character.  RK_ENOMEM: the set is as before.
 */
enum rk_err tensor_set_add(struct tensor_set *s, const char *name,
    enum dtype dt, int ndim, const int64_t *d, const void *data,
    struct rk_why *why) RK_MUSTCHECK;
/* Take `part` over: its data stay as long as the set does. */
void tensor_set_keep(struct tensor_set *s, struct tensor_set *part);
/* Build the index; RK_EINVAL on a name that occurs twice, RK_ENOMEM. */
enum rk_err tensor_set_seal(struct tensor_set *s, struct rk_why *why)
    RK_MUSTCHECK;
/* By name, in a sealed set; NULL if there is none. */
const struct tensor *tensor_find(const struct tensor_set *s, const char *name);

/*
 * Elements as float32 into out (tensor_count floats); RK_EINVAL for types that
 * are not named here:
 *
 *	F32        the same bits
 *	F16, BF16  exact; subnormal numbers, infinities and NaN included
 *	F64        the nearest, of two equally near the even one; what is larger
 *	           than all becomes an infinity, what is smaller a zero
 *	integers   the nearest, as F64; exact up to 2^24
 */
enum rk_err tensor_to_f32(const struct tensor *t, float *out) RK_MUSTCHECK;

#endif
