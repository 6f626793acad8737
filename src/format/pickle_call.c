/* The values of pickles: making them, and what a call of a name becomes. */
#include <string.h>

#include "pickle.h"

uint32_t
pickle_depth(const struct pickle_value *v)
{
	switch (v->kind) {
	case PK_LIST: case PK_TUPLE: case PK_SET: case PK_DICT:
		return v->seq->depth;
	case PK_OBJECT:
		return v->object->depth;
	case PK_PERSISTENT:
		return 1 + pickle_depth(v->id);
	default:
		return 0;
	}
}

/* Items that there is room for where n are: lists and dicts double. */
static size_t
room_of(size_t n)
{
	size_t room = 1;

	while (room < n)
		room *= 2;
	return n == 0 ? 0 : room;
}

bool
pickle_seq_new(struct pickle *k, enum pickle_kind kind, size_t n,
    struct pickle_value *out)
{
	struct pickle_seq *s = arena_get(k->arena, sizeof(*s));

	if (s == NULL)
		return false;
	s->depth = 1;
	*out = (struct pickle_value){ .kind = kind, .seq = s };
	/* A tuple has just the room it needs: nothing is added to it. */
	if (kind == PK_TUPLE && n > 0)
		s->v = arena_array(k->arena, n, sizeof(*s->v));
	return kind != PK_TUPLE || n == 0 || s->v != NULL;
}

static enum rk_err
too_deep(struct rk_why *why)
{
	rk_refuse(why, "has values in values, more than %u deep: it is no file "
	    "of weights", PICKLE_DEPTH);
	return RK_ELIMIT;
}

enum rk_err
pickle_seq_add(struct pickle *k, struct pickle_seq *s,
    const struct pickle_value *v, size_t n, struct rk_why *why)
{
	const size_t have = room_of(s->n), want = room_of(s->n + n);

	if (n == 0)
		return RK_OK;
	if (want != have && !(s->n == 0 && s->v != NULL)) {
		struct pickle_value *more = arena_array(k->arena, want,
		    sizeof(*more));
		if (more == NULL)
			return arena_full(why);
		if (s->n > 0)
			memcpy(more, s->v, s->n * sizeof(*more));
		s->v = more;
	}
	memcpy(s->v + s->n, v, n * sizeof(*v));
	s->n += n;
	for (size_t i = 0; i < n; i++)
		s->depth = RK_MAX(s->depth, 1 + pickle_depth(&v[i]));
	return s->depth <= PICKLE_DEPTH ? RK_OK : too_deep(why);
}

/* --- calls ---------------------------------------------------------------- */

struct call {
	struct pickle *k;
	const struct pickle_row *name;
	const struct pickle_value *v;   /* the arguments */
	size_t n;
	struct rk_why *why;
};

static enum rk_err
bad_call(const struct call *c)
{
	return rk_refuse(c->why, "calls %s.%s in a way that files of weights "
	    "do not; nothing was run", c->name->module, c->name->name);
}

static bool
holds(const struct pickle_value *v)
{
	return v->kind == PK_LIST || v->kind == PK_TUPLE || v->kind == PK_SET;
}

/* tuple(), tuple(x): of the same items. */
static enum rk_err
call_seq(const struct call *c, enum pickle_kind kind,
    struct pickle_value *out)
{
	const struct pickle_seq *from = NULL;

	if (c->n > 1 || (c->n == 1 && !holds(c->v)))
		return bad_call(c);
	if (c->n == 1)
		from = c->v->seq;
	if (!pickle_seq_new(c->k, kind, from != NULL ? from->n : 0, out))
		return arena_full(c->why);
	return from == NULL ? RK_OK : pickle_seq_add(c->k, out->seq, from->v,
	    from->n, c->why);
}

/* dict(), OrderedDict([(key, value), ...]), Counter({...}),
 * defaultdict(type). */
static enum rk_err
call_dict(const struct call *c, struct pickle_value *out)
{
	enum rk_err rc = RK_OK;

	if (!pickle_seq_new(c->k, PK_DICT, 0, out))
		return arena_full(c->why);
	if (c->n == 0 || (c->n == 1 && c->v->kind == PK_NAME))
		return RK_OK;
	if (c->n != 1)
		return bad_call(c);
	if (c->v->kind == PK_DICT)
		return pickle_seq_add(c->k, out->seq, c->v->seq->v,
		    c->v->seq->n, c->why);
	if (c->v->kind != PK_LIST)
		return bad_call(c);
	for (size_t i = 0; rc == RK_OK && i < c->v->seq->n; i++) {
		const struct pickle_value *pair = &c->v->seq->v[i];
		if (!holds(pair) || pair->seq->n != 2)
			return bad_call(c);
		rc = pickle_seq_add(c->k, out->seq, pair->seq->v, 2, c->why);
	}
	return rc;
}

/* Is it UTF-8 of characters below U+0100 alone? */
static bool
is_latin(const uint8_t *p, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (p[i] < 0x80)
			continue;
		if ((p[i] != 0xc2 && p[i] != 0xc3) || i + 1 == n ||
		    (p[i + 1] & 0xc0) != 0x80)
			return false;
		i++;
	}
	return true;
}

/* encode(text, 'latin1'): the bytes that protocol 2 has no form for. */
static enum rk_err
call_encode(const struct call *c, struct pickle_value *out)
{
	if (c->n != 2 || c->v->kind != PK_TEXT || !(pickle_is(&c->v[1],
	    "latin1") || pickle_is(&c->v[1], "latin-1")))
		return bad_call(c);
	if (!is_latin(c->v->p, c->v->n))
		return rk_refuse(c->why, "has bytes written as a text with "
		    "characters that are no bytes");
	*out = c->v[0];
	out->kind = PK_LATIN;
	return RK_OK;
}

static enum rk_err
call_bytes(const struct call *c, struct pickle_value *out)
{
	*out = (struct pickle_value){ .kind = PK_BYTES, .p = c->k->p };
	if (c->n == 0)
		return RK_OK;
	if (c->n == 2)
		return call_encode(c, out);
	if (c->n != 1 || !pickle_is_bytes(c->v))
		return bad_call(c);
	*out = c->v[0];
	return RK_OK;
}

static enum rk_err
call_object(const struct call *c, const struct pickle_row *name,
    const struct pickle_value *args, struct pickle_value *out)
{
	struct pickle_object *o = arena_get(c->k->arena, sizeof(*o));

	if (o == NULL)
		return arena_full(c->why);
	o->name = name;
	o->args = *args;
	o->depth = 1 + pickle_depth(args);
	*out = (struct pickle_value){ .kind = PK_OBJECT, .object = o };
	return o->depth <= PICKLE_DEPTH ? RK_OK : too_deep(c->why);
}

/* The first argument is what it is about. */
static enum rk_err
call_first(const struct call *c, struct pickle_value *out)
{
	if (c->n == 0)
		return bad_call(c);
	*out = c->v[0];
	return RK_OK;
}

enum rk_err
pickle_call(struct pickle *k, const struct pickle_row *name,
    const struct pickle_value *args, struct pickle_value *out,
    struct rk_why *why)
{
	const struct call c = { .k = k, .name = name, .v = args->seq->v,
		.n = args->seq->n, .why = why };

	switch (name->id) {
	case PN_TUPLE:
		return call_seq(&c, PK_TUPLE, out);
	case PN_SIZE:
		return call_seq(&c, PK_TUPLE, out);
	case PN_LIST:
		return call_seq(&c, PK_LIST, out);
	case PN_SET:
		return call_seq(&c, PK_SET, out);
	case PN_DICT: case PN_ORDERED_DICT: case PN_COUNTER:
	case PN_DEFAULT_DICT:
		return call_dict(&c, out);
	case PN_ENCODE:
		return call_encode(&c, out);
	case PN_BYTES: case PN_BYTEARRAY:
		return call_bytes(&c, out);
	case PN_DEVICE: case PN_PARAMETER: case PN_PARAMETER_STATE:
	case PN_PARAMETER_CLASS: case PN_STR:
		return call_first(&c, out);
	case PN_RECONSTRUCTOR:
		if (c.n == 0 || c.v->kind != PK_NAME)
			return bad_call(&c);
		return call_object(&c, c.v->name, args, out);
	default:
		return call_object(&c, name, args, out);
	}
}

/* --- questions ------------------------------------------------------------ */

bool
pickle_is(const struct pickle_value *v, const char *word)
{
	return (v->kind == PK_TEXT || v->kind == PK_STRING) &&
	    v->n == strlen(word) && memcmp(v->p, word, v->n) == 0;
}

bool
pickle_is_text(const struct pickle_value *v)
{
	return (v->kind == PK_TEXT || v->kind == PK_STRING) &&
	    rk_utf8_good(v->p, v->n) == v->n;
}

bool
pickle_is_bytes(const struct pickle_value *v)
{
	return v->kind == PK_BYTES || v->kind == PK_STRING ||
	    v->kind == PK_LATIN;
}

bool
pickle_is_object(const struct pickle_value *v, enum pickle_name id)
{
	return v->kind == PK_OBJECT && v->object->name->id == id;
}

const struct pickle_value *
pickle_tuple(const struct pickle_value *v, size_t n)
{
	return v->kind == PK_TUPLE && v->seq->n == n ? v->seq->v : NULL;
}

const struct pickle_value *
pickle_get(const struct pickle_value *dict, const char *key)
{
	if (dict->kind != PK_DICT)
		return NULL;
	for (size_t i = 0; i + 1 < dict->seq->n; i += 2)
		if (pickle_is(&dict->seq->v[i], key))
			return &dict->seq->v[i + 1];
	return NULL;
}

char *
pickle_show(char out[PICKLE_SHOW], const struct pickle_value *v)
{
	static const char *const words[] = {
		[PK_NONE] = "None", [PK_BOOL] = "a truth value",
		[PK_FLOAT] = "a number with a fraction",
		[PK_LONG] = "a whole number of more than 64 bits",
		[PK_BYTES] = "bytes", [PK_LATIN] = "bytes",
		[PK_LIST] = "a list", [PK_SET] = "a set", [PK_DICT] = "a dict",
		[PK_PERSISTENT] = "a storage",
	};

	switch (v->kind) {
	case PK_INT:
		snprintf(out, PICKLE_SHOW, "the number %lld", (long long)v->i);
		break;
	case PK_TEXT: case PK_STRING:
		snprintf(out, PICKLE_SHOW, "the text \"%.*s\"",
		    (int)RK_MIN(v->n, 40u), (const char *)v->p);
		break;
	case PK_TUPLE:
		snprintf(out, PICKLE_SHOW, "a tuple of %llu",
		    (unsigned long long)v->seq->n);
		break;
	case PK_NAME:
		snprintf(out, PICKLE_SHOW, "the name %s.%s", v->name->module,
		    v->name->name);
		break;
	case PK_OBJECT:
		snprintf(out, PICKLE_SHOW, "an object of %s.%s",
		    v->object->name->module, v->object->name->name);
		break;
	default:
		snprintf(out, PICKLE_SHOW, "%s", words[v->kind]);
	}
	return out;
}
