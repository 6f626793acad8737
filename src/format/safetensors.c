/*
 * The header of a safetensors file.
 *
 *	u64 LE N | N bytes of JSON | data
 *	{"__metadata__": {"k": "v"},
 *	 "name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, ...}
 *
 * The header is hostile until proven otherwise: it is read in one pass, without
 * a tree, under the limits below, and what it claims must cover the data
 * exactly once.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "scan.h"

#define MAX_TENSORS  1000000u
#define MAX_META     65536u             /* pairs */

/* The bytes that a tensor claims, and its place in the set. */
struct extent {
	uint64_t begin, end;
	uint32_t at;
};

struct header {
	struct scan scan;
	struct tensor_set *set;
	const unsigned char *data;
	uint64_t data_len;
	struct extent *ext;             /* one a tensor */
	size_t room;
	char **meta;                    /* pairs, as they come */
	size_t nmeta, meta_room;        /* strings */
	bool has_meta;
	enum rk_err rc;
};

/* One entry: {"dtype": ..., "shape": ..., "data_offsets": ...} */
struct info {
	bool has_dtype, has_shape, has_offsets;
	enum dtype dtype;
	int ndim;
	int64_t d[TENSOR_MAX_DIMS];
	uint64_t begin, end;
};

static bool
no_memory(struct header *h)
{
	rk_refuse(h->scan.why, "not enough memory to read the header");
	h->rc = RK_ENOMEM;
	return false;
}

/* Make room for one more in an array of items of `size` bytes. */
static bool
make_room(void *arrayp, size_t size, size_t n, size_t *room)
{
	void **array = arrayp;

	if (n < *room)
		return true;
	size_t more = *room == 0 ? 64 : *room * 2;
	void *p = realloc(*array, more * size);
	if (p == NULL)
		return false;
	*array = p;
	*room = more;
	return true;
}

/* A copy of the string that the caller frees; NULL after a refusal. */
static char *
text_dup(struct header *h, const struct scan_text *t)
{
	char *s = malloc(t->n + 1);

	if (s == NULL) {
		no_memory(h);
		return NULL;
	}
	/* Text never grows when its escapes are resolved. */
	size_t n = scan_unescape(t, s, t->n);
	s[n] = '\0';
	if (strlen(s) == n)
		return s;
	free(s);
	scan_fail(&h->scan, "no NUL in a string");
	return NULL;
}

/* --- __metadata__ --------------------------------------------------------- */

static bool
parse_pair(struct header *h)
{
	struct scan_text key, value;

	if (h->nmeta >= 2 * MAX_META)
		return scan_fail(&h->scan, "at most 65536 pairs of metadata");
	if (!scan_string(&h->scan, &key) || !scan_take(&h->scan, ':'))
		return false;
	if (scan_peek(&h->scan) != '"')
		return scan_fail(&h->scan, "a string: metadata has only those");
	if (!scan_string(&h->scan, &value))
		return false;
	/* Room for the pair and the NULL behind it. */
	if (!make_room(&h->meta, sizeof(*h->meta), h->nmeta + 2, &h->meta_room))
		return no_memory(h);
	char *k = text_dup(h, &key);
	char *v = k != NULL ? text_dup(h, &value) : NULL;
	if (v == NULL) {
		free(k);
		return false;
	}
	h->meta[h->nmeta++] = k;
	h->meta[h->nmeta++] = v;
	return true;
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(**(char **const *)a, **(char **const *)b);
}

/* No key twice. */
static bool
check_meta_keys(struct header *h)
{
	size_t n = h->nmeta / 2;
	char ***keys = malloc((n + 1) * sizeof(*keys));
	bool ok = true;

	if (keys == NULL)
		return no_memory(h);
	for (size_t i = 0; i < n; i++)
		keys[i] = &h->meta[2 * i];
	qsort(keys, n, sizeof(*keys), by_key);
	for (size_t i = 1; i < n && ok; i++) {
		if (strcmp(*keys[i], *keys[i - 1]) != 0)
			continue;
		rk_refuse_at(h->scan.why, "__metadata__",
		    "the key \"%.80s\" occurs twice", *keys[i]);
		ok = false;
	}
	free(keys);
	return ok;
}

static bool
parse_metadata(struct header *h)
{
	if (h->has_meta)
		return scan_fail(&h->scan, "__metadata__ only once");
	h->has_meta = true;
	/* Some writers have null for none. */
	if (scan_peek(&h->scan) == 'n')
		return scan_skip(&h->scan);
	if (!scan_take(&h->scan, '{'))
		return false;
	if (scan_try(&h->scan, '}'))
		return true;
	do {
		if (!parse_pair(h))
			return false;
	} while (scan_try(&h->scan, ','));
	return scan_take(&h->scan, '}') && check_meta_keys(h);
}

/* --- tensors -------------------------------------------------------------- */

static bool
parse_dtype(struct scan *s, struct info *in)
{
	struct scan_text t;
	char name[16];

	if (in->has_dtype)
		return scan_fail(s, "dtype only once");
	in->has_dtype = true;
	if (!scan_string(s, &t))
		return false;
	size_t n = scan_unescape(&t, name, sizeof(name));
	if (n <= sizeof(name) && dtype_from_name(name, n, &in->dtype))
		return true;
	s->at = (size_t)(t.p - s->p);
	return scan_fail(s, "a type of safetensors, such as F32 or I64");
}

static bool
parse_shape(struct scan *s, struct info *in)
{
	uint64_t v;

	if (in->has_shape)
		return scan_fail(s, "shape only once");
	in->has_shape = true;
	if (!scan_take(s, '['))
		return false;
	if (scan_try(s, ']'))
		return true;
	do {
		if (in->ndim == TENSOR_MAX_DIMS)
			return scan_fail(s, "at most 8 dimensions");
		if (!scan_u64(s, &v))
			return false;
		if (v > INT64_MAX)
			return scan_fail(s, "a dimension below 2^63");
		in->d[in->ndim++] = (int64_t)v;
	} while (scan_try(s, ','));
	return scan_take(s, ']');
}

static bool
parse_offsets(struct scan *s, struct info *in)
{
	if (in->has_offsets)
		return scan_fail(s, "data_offsets only once");
	in->has_offsets = true;
	return scan_take(s, '[') && scan_u64(s, &in->begin) &&
	    scan_take(s, ',') && scan_u64(s, &in->end) && scan_take(s, ']');
}

static bool
parse_info(struct scan *s, struct info *in)
{
	struct scan_text key;
	bool ok;

	*in = (struct info){0};
	if (!scan_take(s, '{'))
		return false;
	if (scan_try(s, '}'))
		return true;
	do {
		if (!scan_string(s, &key) || !scan_take(s, ':'))
			return false;
		if (scan_text_is(&key, "dtype"))
			ok = parse_dtype(s, in);
		else if (scan_text_is(&key, "shape"))
			ok = parse_shape(s, in);
		else if (scan_text_is(&key, "data_offsets"))
			ok = parse_offsets(s, in);
		else
			ok = scan_skip(s);
		if (!ok)
			return false;
	} while (scan_try(s, ','));
	return scan_take(s, '}');
}

/* Does what the entry claims lie in the file, and is it as long as its shape
 * and type say? */
static bool
check_extent(struct header *h, const struct tensor *t, const struct info *in)
{
	char shape[TENSOR_SHAPE_TEXT];
	struct rk_why *why = h->scan.why;

	if (in->end < in->begin) {
		rk_refuse_at(why, t->name, "its data end at %llu, before they "
		    "begin at %llu", (unsigned long long)in->end,
		    (unsigned long long)in->begin);
		return false;
	}
	if (in->end - in->begin != t->nbytes) {
		rk_refuse_at(why, t->name, "has %llu byte%s of data, but %s of "
		    "%s has %zu", (unsigned long long)(in->end - in->begin),
		    rk_s((int64_t)(in->end - in->begin)),
		    tensor_shape_text(shape, t->ndim, t->d),
		    dtype_name(t->dtype), t->nbytes);
		return false;
	}
	if (in->end > h->data_len) {
		rk_refuse_at(why, t->name, "its data end at byte %llu, but the "
		    "file has only %llu bytes of data (is it cut short?)",
		    (unsigned long long)in->end,
		    (unsigned long long)h->data_len);
		return false;
	}
	return true;
}

static bool
add_tensor(struct header *h, const char *name, const struct info *in)
{
	struct tensor_set *s = h->set;

	if (!in->has_dtype || !in->has_shape || !in->has_offsets) {
		rk_refuse_at(h->scan.why, name, "has no %s",
		    !in->has_dtype ? "dtype" : !in->has_shape ? "shape" :
		    "data_offsets");
		return false;
	}
	if (!make_room(&h->ext, sizeof(*h->ext), s->n, &h->room))
		return no_memory(h);
	h->rc = tensor_set_add(s, name, in->dtype, in->ndim, in->d, h->data,
	    h->scan.why);
	if (h->rc != RK_OK)
		return false;
	struct tensor *t = &s->v[s->n - 1];
	if (!check_extent(h, t, in))
		return false;
	t->data = h->data + in->begin;
	h->ext[s->n - 1] = (struct extent){ in->begin, in->end,
	    (uint32_t)(s->n - 1) };
	return true;
}

static bool
parse_entry(struct header *h)
{
	char name[TENSOR_NAME_MAX + 1];
	struct scan_text key;
	struct info in;

	if (!scan_string(&h->scan, &key) || !scan_take(&h->scan, ':'))
		return false;
	if (scan_text_is(&key, "__metadata__"))
		return parse_metadata(h);
	if (h->set->n == MAX_TENSORS)
		return scan_fail(&h->scan, "at most 1000000 tensors");
	size_t n = scan_unescape(&key, name, TENSOR_NAME_MAX);
	if (n > TENSOR_NAME_MAX)
		return scan_fail(&h->scan, "names of at most 512 bytes");
	name[n] = '\0';
	if (strlen(name) != n)
		return scan_fail(&h->scan, "no NUL in a name");
	return parse_info(&h->scan, &in) && add_tensor(h, name, &in);
}

static bool
parse_header(struct header *h)
{
	size_t bad = rk_utf8_good(h->scan.p, h->scan.n);

	if (bad < h->scan.n) {
		h->scan.at = bad;
		return scan_fail(&h->scan, "UTF-8");
	}
	if (!scan_take(&h->scan, '{'))
		return false;
	if (scan_try(&h->scan, '}'))
		return scan_end(&h->scan);
	do {
		if (!parse_entry(h))
			return false;
	} while (scan_try(&h->scan, ','));
	return scan_take(&h->scan, '}') && scan_end(&h->scan);
}

/* --- do they cover the data exactly once? --------------------------------- */

static int
by_place(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

static bool
check_cover(struct header *h)
{
	const struct tensor *v = h->set->v;
	struct rk_why *why = h->scan.why;
	size_t n = h->set->n;
	uint64_t at = 0;

	if (n > 0)
		qsort(h->ext, n, sizeof(*h->ext), by_place);
	for (size_t i = 0; i < n; i++) {
		const struct extent *e = &h->ext[i];
		if (e->begin > at) {
			rk_refuse(why, "bytes %llu to %llu of the data belong "
			    "to no tensor", (unsigned long long)at,
			    (unsigned long long)e->begin - 1);
			return false;
		}
		if (e->begin < at) {
			rk_refuse(why, "the data of \"%s\" and \"%s\" overlap",
			    v[h->ext[i - 1].at].name, v[e->at].name);
			return false;
		}
		at = e->end;
	}
	if (at != h->data_len) {
		rk_refuse(why, "the last tensor ends at byte %llu of the data, "
		    "but the file has %llu bytes of them (was something "
		    "appended?)", (unsigned long long)at,
		    (unsigned long long)h->data_len);
		return false;
	}
	return true;
}

bool
safetensors_looks_like(const unsigned char *p, size_t n)
{
	if (n < ST_LEN_BYTES)
		return false;
	uint64_t len = format_le64(p);
	if (len == 0 || len > ST_HEADER_MAX || len > n - ST_LEN_BYTES)
		return false;
	struct scan s = { .p = p + ST_LEN_BYTES, .n = (size_t)len };
	return scan_peek(&s) == '{';
}

/* The eight bytes before the header. */
static enum rk_err
check_length(const unsigned char *p, size_t n, struct rk_why *why)
{
	if (n < ST_LEN_BYTES)
		return rk_refuse(why, "the file has %zu byte%s, too few for "
		    "safetensors", n, rk_s((int64_t)n));
	uint64_t len = format_le64(p);
	if (len == 0)
		return rk_refuse(why, "the header's length is 0: this is no "
		    "safetensors file");
	if (len > ST_HEADER_MAX)
		return rk_refuse(why, "the header's length is %llu, at most "
		    "%u is taken: this is no safetensors file",
		    (unsigned long long)len, ST_HEADER_MAX);
	if (len > n - ST_LEN_BYTES)
		return rk_refuse(why, "the header should have %llu bytes, but "
		    "the file has only %zu: no safetensors file, or cut short",
		    (unsigned long long)len, n);
	return RK_OK;
}

enum rk_err
safetensors_parse(const unsigned char *p, size_t n, struct tensor_set *s,
    struct rk_why *why)
{
	enum rk_err rc = check_length(p, n, why);

	if (rc != RK_OK)
		return rc;
	size_t len = (size_t)format_le64(p);
	struct header h = {
		.scan = { .p = p + ST_LEN_BYTES, .n = len, .why = why },
		.set = s,
		.data = p + ST_LEN_BYTES + len,
		.data_len = n - ST_LEN_BYTES - len,
	};
	bool ok = parse_header(&h) && check_cover(&h);
	free(h.ext);
	if (h.meta != NULL)
		h.meta[h.nmeta] = NULL;
	s->meta = h.meta;
	if (!ok)
		return h.rc != RK_OK ? h.rc : RK_EINVAL;
	return tensor_set_seal(s, why);
}
