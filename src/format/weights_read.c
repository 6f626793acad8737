/*
 * The elements of tensors, out of where they lie.
 *
 * A store that is packed is read by a cursor, of which a file has one: going on
 * where it is costs nothing, going back begins the store anew.  A view that
 * takes elements out of a packed store in another order needs all of the store
 * in memory; it is kept until another store is wanted.
 */
#include <stdlib.h>
#include <string.h>

#include "weights_make.h"

/* A packed store may come to so much more than it takes in the file where it
 * must be in memory: weights hardly pack, so that what packs better is made
 * to. */
#define HELD_MORE ((uint64_t)8 << 20)

struct weights_stream {
	const struct weights_store *store;      /* NULL: none */
	uint64_t at;                    /* bytes that came out */
	uint64_t used;                  /* of a text: bytes that went in */
	struct format_source source;    /* of deflate */
	bool open;
	const struct weights_store *held;       /* what is in `bytes` */
	uint8_t *bytes;
};

static void
stream_close(struct weights_stream *s)
{
	if (s->open)
		format_source_close(&s->source);
	s->open = false;
	s->store = NULL;
}

void
weights_stream_free(struct weights_inside *in)
{
	if (in->stream == NULL)
		return;
	stream_close(in->stream);
	free(in->stream->bytes);
	free(in->stream);
	in->stream = NULL;
}

/* The cursor at the store's beginning. */
static enum rk_err
stream_begin(struct weights_stream *s, const struct weights_store *store,
    struct rk_why *why)
{
	const struct source_part part = {
		.packed = store->packed, .size = store->size,
		.crc = store->crc, .deflated = true,
	};

	stream_close(s);
	s->at = s->used = 0;
	if (store->kind == STORE_DEFLATED) {
		source_open_bytes(&s->source, store->p, (size_t)store->packed,
		    "its data");
		s->open = true;
		enum rk_err rc = source_narrow(&s->source, &part, why);
		if (rc != RK_OK)
			return rc;
	}
	s->store = store;
	return RK_OK;
}

/* The next n bytes of a text that was found to be of bytes; dst NULL: pass. */
static void
latin_next(struct weights_stream *s, size_t n, uint8_t *dst)
{
	const uint8_t *p = s->store->p + s->used, *const begin = p;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = *p++;
		if (c >= 0x80)
			c = (uint8_t)(c << 6 | (*p++ & 0x3f));
		if (dst != NULL)
			dst[i] = c;
	}
	s->used += (uint64_t)(p - begin);
}

/* The next n bytes; dst NULL: pass. */
static enum rk_err
stream_next(struct weights_stream *s, size_t n, uint8_t *dst,
    struct rk_why *why)
{
	enum rk_err rc = RK_OK;
	uint64_t got = n;
	size_t read = n;

	if (s->store->kind == STORE_LATIN)
		latin_next(s, n, dst);
	else if (dst == NULL)
		rc = format_source_pass(&s->source, n, &got, why);
	else
		rc = format_source_read(&s->source, dst, n, &read, why);
	if (rc == RK_OK && (got < n || read < n))
		rc = rk_refuse(why, "its data unpack to less than the archive "
		    "says");
	s->at += n;
	/* The end's checksum is of all that was unpacked. */
	if (rc == RK_OK && s->open && s->at == s->store->size)
		rc = format_source_end(&s->source, why);
	if (rc != RK_OK)
		stream_close(s);
	return rc;
}

static enum rk_err
packed_read(struct weights_inside *in, const struct weights_store *store,
    uint64_t from, size_t n, uint8_t *dst, struct rk_why *why)
{
	struct weights_stream *s = in->stream;
	enum rk_err rc = RK_OK;

	if (s->store != store || s->at > from)
		rc = stream_begin(s, store, why);
	while (rc == RK_OK && s->at < from)
		rc = stream_next(s, (size_t)RK_MIN(from - s->at,
		    (uint64_t)1 << 30), NULL, why);
	return rc == RK_OK ? stream_next(s, n, dst, why) : rc;
}

/* Of one piece after the other. */
static enum rk_err
pieces_read(struct weights_inside *in, const struct weights_store *store,
    uint64_t from, size_t n, uint8_t *dst, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (size_t i = 0; rc == RK_OK && n > 0; i++) {
		const struct weights_store *s = store->pieces[i];
		must(i < store->npieces && s->kind != STORE_PIECES);
		if (from >= s->size) {
			from -= s->size;
			continue;
		}
		const size_t some = (size_t)RK_MIN((uint64_t)n, s->size - from);
		rc = weights_store_read(in, s, from, some, dst, why);
		from = 0;
		dst += some;
		n -= some;
	}
	return rc;
}

enum rk_err
weights_store_read(struct weights_inside *in, const struct weights_store *s,
    uint64_t from, size_t n, void *dst, struct rk_why *why)
{
	must(n <= s->size && from <= s->size - n);
	if (n == 0)
		return RK_OK;
	if (s->kind == STORE_BYTES) {
		memcpy(dst, s->p + from, n);
		return RK_OK;
	}
	if (s->kind == STORE_PIECES)
		return pieces_read(in, s, from, n, dst, why);
	if (in->stream == NULL)
		in->stream = xcalloc(1, sizeof(*in->stream));
	return packed_read(in, s, from, n, dst, why);
}

/* --- views ---------------------------------------------------------------- */

/* All of a packed store in memory. */
static enum rk_err
hold(struct weights_inside *in, const struct weights_store *s,
    const uint8_t **bytes, struct rk_why *why)
{
	char text[RK_HUMAN];

	if (in->stream == NULL)
		in->stream = xcalloc(1, sizeof(*in->stream));
	struct weights_stream *m = in->stream;
	*bytes = m->bytes;
	if (m->held == s)
		return RK_OK;
	free(m->bytes);
	m->held = NULL;
	m->bytes = NULL;
	if (s->kind == STORE_DEFLATED && s->size > HELD_MORE &&
	    s->size - HELD_MORE > s->packed)
		return rk_refuse(why, "takes elements out of order from data "
		    "that unpack to %s: save it again without compression",
		    rk_human_bytes(text, s->size));
	m->bytes = malloc((size_t)s->size);
	if (m->bytes == NULL) {
		rk_refuse(why, "there is no memory for the %s that its data "
		    "unpack to", rk_human_bytes(text, s->size));
		return RK_ENOMEM;
	}
	enum rk_err rc = weights_store_read(in, s, 0, (size_t)s->size,
	    m->bytes, why);
	if (rc == RK_OK)
		m->held = s;
	*bytes = m->bytes;
	return rc;
}

/* n elements of `size` bytes that lie `stride` elements apart. */
static void
copy_run(uint8_t *dst, const uint8_t *src, size_t n, size_t size,
    uint64_t stride)
{
	if (stride == 1) {
		memcpy(dst, src, n * size);
		return;
	}
	switch (size) {
#define RUN(bytes)                                                        \
	case bytes:                                                       \
		for (size_t i = 0; i < n; i++)                            \
			memcpy(dst + i * bytes, src + i * stride * bytes, \
			    bytes);                                       \
		break
	RUN(1);
	RUN(2);
	RUN(4);
	RUN(8);
	RUN(16);
#undef RUN
	default:
		must(!"an element of another size");
	}
}

/* Elements in C order out of the store's bytes, by strides. */
static void
gather(const struct weights_tensor *t, const uint8_t *bytes, uint64_t from,
    size_t n, uint8_t *dst)
{
	const struct weights_view *v = t->view;
	const int last = t->ndim - 1;
	uint64_t at[TENSOR_MAX_DIMS];

	for (int i = last; i >= 0; i--) {
		at[i] = from % (uint64_t)t->d[i];
		from /= (uint64_t)t->d[i];
	}
	while (n > 0) {
		const size_t some = (size_t)RK_MIN((uint64_t)n,
		    (uint64_t)t->d[last] - at[last]);
		uint64_t place = v->offset;
		for (int i = 0; i <= last; i++)
			place += at[i] * (uint64_t)v->stride[i];
		copy_run(dst, bytes + place * v->size, some, v->size,
		    (uint64_t)v->stride[last]);
		dst += some * v->size;
		n -= some;
		at[last] += some;
		for (int i = last; i > 0 && at[i] == (uint64_t)t->d[i]; i--) {
			at[i] = 0;
			at[i - 1]++;
		}
	}
}

/* To this machine's order; a complex number is two numbers. */
static void
turn(uint8_t *p, size_t bytes, size_t unit)
{
	for (uint8_t *const end = p + bytes; p < end; p += unit)
		for (size_t i = 0; i < unit / 2; i++) {
			const uint8_t c = p[i];
			p[i] = p[unit - 1 - i];
			p[unit - 1 - i] = c;
		}
}

static enum rk_err
view_read(const struct weights_tensor *t, uint64_t from, size_t n, void *dst,
    struct rk_why *why)
{
	const struct weights_view *v = t->view;
	const uint8_t *bytes = v->store->p;
	enum rk_err rc = RK_OK;

	if (v->stride == NULL) {
		rc = weights_store_read(v->in, v->store, (v->offset + from) *
		    v->size, n * v->size, dst, why);
	} else {
		if (v->store->kind != STORE_BYTES)
			rc = hold(v->in, v->store, &bytes, why);
		if (rc == RK_OK)
			gather(t, bytes, from, n, dst);
	}
	if (rc == RK_OK && v->big)
		turn(dst, n * v->size, t->dtype == DT_C64 ||
		    t->dtype == DT_C128 ? v->size / 2 : v->size);
	return rc;
}

enum rk_err
weights_read(const struct weights_tensor *t, uint64_t from, size_t n,
    void *dst, struct rk_why *why)
{
	struct rk_why own = {0};

	const struct weights_view *v = t->view;

	must(n <= t->count && from <= t->count - n);
	if (n == 0)
		return RK_OK;
	if (v->store->kind == STORE_TOLD)
		return v->in->teller->read(v->in->teller_ctx,
		    v->store->packed, from, n, v->size, dst, why);
	enum rk_err rc = view_read(t, from, n, dst, &own);
	if (rc != RK_OK)
		rk_refuse_at(why, t->name, "%s", rk_why_first(&own));
	rk_why_fini(&own);
	return rc;
}

#define PIECE ((size_t)1024)

enum rk_err
weights_read_f32(const struct weights_tensor *t, uint64_t from, size_t n,
    float *dst, struct rk_why *why)
{
	const struct weights_view *v = t->view;
	unsigned char buf[PIECE * 8];

	must(n <= t->count && from <= t->count - n);
	if (v->store->kind == STORE_TOLD)
		return v->in->teller->read_f32(v->in->teller_ctx,
		    v->store->packed, from, n, dst, why);
	/* They are longer than the buffer, too. */
	if (t->dtype == DT_C64 || t->dtype == DT_C128)
		return rk_refuse_at(why, t->name, "is of %s, which cannot "
		    "become float32", dtype_name(t->dtype));
	for (size_t at = 0; at < n; at += PIECE) {
		const size_t some = RK_MIN(PIECE, n - at);
		const struct tensor piece = {
			.dtype = t->dtype, .ndim = 1, .d = { (int64_t)some },
			.nbytes = some * v->size, .data = buf,
		};
		enum rk_err rc = weights_read(t, from + at, some, buf, why);
		if (rc != RK_OK)
			return rc;
		if (t->dtype == DT_BOOL)
			for (size_t i = 0; i < some; i++)
				dst[at + i] = buf[i] != 0;
		else
			must(tensor_to_f32(&piece, dst + at) == RK_OK);
	}
	return RK_OK;
}
