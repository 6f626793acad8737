/*
 * A state dict of Paddle: a pickle of protocol 4,
 *
 *	{'fc.weight': ndarray, ..., 'LR_Scheduler': {...},
 *	 'StructuredToParameterName@@': {'fc.weight': 'linear_0.w_0', ...}}
 *
 * An ndarray is numpy's _reconstruct(ndarray, (0,), b'b') with the state
 * (1, shape, dtype, False, bytes), and a dtype is dtype('f4', False, True) with
 * the state (3, '<', None, None, None, -1, -1, 0).  numpy 2 keeps the name
 * numpy.core.multiarray for exactly this, so that it is read by each numpy.
 */
#include <string.h>

#include "out.h"
#include "paddle.h"

/* Places in the memo; a type's is DTYPE_SLOT plus its place in `made`. */
enum { SLOT_RECONSTRUCT, SLOT_NDARRAY, SLOT_DTYPE, DTYPE_SLOT };

struct paddle_out {
	struct out_file f;
	struct strbuf b;                /* of what comes next */
	uint32_t seen;                  /* globals in the memo */
	uint32_t made;                  /* types in the memo, a bit for each */
};

/* numpy's dtype object, made once for each type. */
static void
put_dtype(struct paddle_out *p, enum dtype t)
{
	struct strbuf *b = &p->b;
	const bool first = (p->made & 1u << t) == 0;

	if (!first) {
		sb_addc(b, 'h');                /* BINGET */
		sb_addc(b, (char)(DTYPE_SLOT + t));
		return;
	}
	pickle_put_global(b, "numpy\ndtype\n", SLOT_DTYPE, &p->seen);
	pickle_put_text(b, paddle_numpy_code(t));
	pickle_put_bool(b, false);
	pickle_put_bool(b, true);
	sb_addc(b, '\x87');                     /* TUPLE3 */
	sb_addc(b, PICKLE_REDUCE);
	sb_addc(b, 'q');                        /* BINPUT */
	sb_addc(b, (char)(DTYPE_SLOT + t));
	sb_addc(b, PICKLE_MARK);
	pickle_put_int(b, 3);
	pickle_put_text(b, dtype_bits(t) == 8 ? "|" : "<");
	for (int i = 0; i < 3; i++)
		sb_addc(b, PICKLE_NONE);
	pickle_put_int(b, -1);
	pickle_put_int(b, -1);
	pickle_put_int(b, 0);
	sb_addc(b, PICKLE_TUPLE);
	sb_addc(b, PICKLE_BUILD);
	p->made |= 1u << t;
}

static enum rk_err
put_array(struct paddle_out *p, const struct format_out_tensor *t)
{
	static const int64_t one_zero[] = { 0 };
	struct strbuf *b = &p->b;
	const uint64_t bytes = out_bytes(t);

	pickle_put_text(b, t->name);
	pickle_put_global(b, "numpy.core.multiarray\n_reconstruct\n",
	    SLOT_RECONSTRUCT, &p->seen);
	pickle_put_global(b, "numpy\nndarray\n", SLOT_NDARRAY, &p->seen);
	pickle_put_sizes(b, 1, one_zero);
	sb_add(b, "C\1b", 3);                   /* SHORT_BINBYTES */
	sb_addc(b, '\x87');                     /* TUPLE3 */
	sb_addc(b, PICKLE_REDUCE);
	sb_addc(b, PICKLE_MARK);
	pickle_put_int(b, 1);
	pickle_put_sizes(b, t->ndim, t->d);
	put_dtype(p, t->dtype);
	pickle_put_bool(b, false);
	if (bytes <= UINT32_MAX) {
		sb_addc(b, PICKLE_BINBYTES);
		out_le32(b, (uint32_t)bytes);
	} else {
		sb_addc(b, PICKLE_BINBYTES8);
		out_le64(b, bytes);
	}
	enum rk_err rc = out_flush(&p->f, b);
	if (rc == RK_OK)
		rc = out_tensor(&p->f, t);
	sb_addc(b, PICKLE_TUPLE);
	sb_addc(b, PICKLE_BUILD);
	return rc;
}

static void
put_rate(struct strbuf *b, const struct format_paddle_rate *rate)
{
	pickle_put_text(b, PADDLE_SCHEDULER);
	sb_addc(b, PICKLE_EMPTY_DICT);
	sb_addc(b, PICKLE_MARK);
	pickle_put_text(b, "last_epoch");
	pickle_put_int(b, rate->last_epoch);
	pickle_put_text(b, "last_lr");
	pickle_put_float(b, rate->last_lr);
	sb_addc(b, PICKLE_SETITEMS);
}

/* The second name of each tensor, by its first. */
static void
put_names(struct strbuf *b, const struct format_out_tensor *v, size_t n)
{
	pickle_put_text(b, PADDLE_NAMES);
	sb_addc(b, PICKLE_EMPTY_DICT);
	sb_addc(b, PICKLE_MARK);
	for (size_t i = 0; i < n; i++) {
		pickle_put_text(b, v[i].name);
		pickle_put_text(b, v[i].alias != NULL ? v[i].alias :
		    v[i].name);
	}
	sb_addc(b, PICKLE_SETITEMS);
}

static enum rk_err
put_all(struct paddle_out *p, const struct format_out_tensor *v, size_t n,
    const struct format_paddle_rate *rate)
{
	enum rk_err rc = RK_OK;

	sb_add(&p->b, "\x80\4", 2);             /* PROTO 4 */
	sb_addc(&p->b, PICKLE_EMPTY_DICT);
	sb_addc(&p->b, PICKLE_MARK);
	for (size_t i = 0; i < n && rc == RK_OK; i++)
		rc = put_array(p, &v[i]);
	if (rc != RK_OK)
		return rc;
	if (rate != NULL)
		put_rate(&p->b, rate);
	put_names(&p->b, v, n);
	sb_addc(&p->b, PICKLE_SETITEMS);
	sb_addc(&p->b, PICKLE_STOP);
	return out_flush(&p->f, &p->b);
}

/* Keys of its own that a tensor may not have. */
static enum rk_err
check_keys(const struct format_out_tensor *v, size_t n, struct rk_why *why)
{
	static const char *const own[] = { PADDLE_NAMES, PADDLE_SPLIT,
	    PADDLE_SCHEDULER };

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < RK_ARRAY_LEN(own); k++)
			if (strcmp(v[i].name, own[k]) == 0)
				return rk_refuse_at(why, v[i].name,
				    "is a name that Paddle keeps for itself");
	return RK_OK;
}

enum rk_err
format_out_paddle(const struct format_sink *to,
    const struct format_out_tensor *v, size_t n,
    const struct format_paddle_rate *rate, uint64_t *size, struct rk_why *why)
{
	struct paddle_out p = { 0 };
	enum rk_err rc = out_check(v, n, "Paddle", paddle_numpy_code, true,
	    why);

	if (rc == RK_OK)
		rc = check_keys(v, n, why);
	if (rc == RK_OK)
		rc = out_begin(&p.f, to, why);
	if (rc != RK_OK)
		return rc;
	rc = put_all(&p, v, n, rate);
	sb_fini(&p.b);
	out_end(&p.f, size);
	return rc;
}
