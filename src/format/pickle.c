/*
 * The machine that reads pickles: see pickle.h.
 *
 * One loop over the instructions, a stack of values, a stack of marks in it,
 * and the memo.  An instruction is a row of the table at the end.  Those that
 * are known and not taken have a row without a function, so that a refusal has
 * their name.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "pickle.h"

#define NAME_MOST 256           /* bytes of a module or a name */

struct vm {
	struct pickle *k;
	struct rk_why *why;
	enum rk_err rc;
	size_t begin;                   /* of the instruction */
	struct pickle_value *stack;
	size_t n, room;
	size_t marks[PICKLE_DEPTH];     /* heights of the stack */
	size_t nmarks;
	struct pickle_value *memo;      /* PK_UNSET where nothing is */
	size_t nmemo, memo_room;        /* nmemo: the next of MEMOIZE */
	size_t npersistent;
	bool stopped;
};

#define PK_UNSET 255u

static bool
fail(struct vm *m, const char *what)
{
	m->rc = rk_refuse(m->why, "its pickle is no good at byte %zu: %s",
	    m->begin, what);
	return false;
}

static bool
full(struct vm *m)
{
	m->rc = arena_full(m->why);
	return false;
}

/* Room for `want` items in an array of the machine, out of the arena's
 * budget. */
static bool
make_room(struct vm *m, struct pickle_value **v, size_t want, size_t *room)
{
	size_t more = *room < 64 ? 64 : *room, bytes;

	while (more < want)
		more *= 2;
	if (more == *room)
		return true;
	bytes = (more - *room) * sizeof(**v);
	if (bytes > *m->k->arena->left)
		return full(m);
	struct pickle_value *p = realloc(*v, more * sizeof(*p));
	if (p == NULL)
		return full(m);
	*m->k->arena->left -= bytes;
	memset(p + *room, 0xff, bytes);
	*v = p;
	*room = more;
	return true;
}

static void
give_back(struct vm *m)
{
	*m->k->arena->left += (m->room + m->memo_room) *
	    sizeof(struct pickle_value);
	free(m->stack);
	free(m->memo);
}

/* --- bytes ---------------------------------------------------------------- */

/* The next n bytes, or NULL after a refusal. */
static const uint8_t *
take(struct vm *m, uint64_t n)
{
	struct pickle *k = m->k;

	if (n > k->n - k->at) {
		fail(m, "it ends inside of an instruction (is the file cut "
		    "off?)");
		return NULL;
	}
	const uint8_t *p = k->p + k->at;
	k->at += (size_t)n;
	return p;
}

/* A number of 1, 2, 4 or 8 bytes. */
static bool
take_number(struct vm *m, int bytes, uint64_t *out)
{
	const uint8_t *p = take(m, (uint64_t)bytes);

	*out = 0;
	for (int i = bytes; p != NULL && i-- > 0;)
		*out = *out << 8 | p[i];
	return p != NULL;
}

/* A line, without its end. */
static bool
take_line(struct vm *m, const uint8_t **p, size_t *n)
{
	struct pickle *k = m->k;
	const size_t most = RK_MIN(k->n - k->at, (size_t)NAME_MOST + 1);
	const uint8_t *end = most > 0 ? memchr(k->p + k->at, '\n', most) : NULL;

	if (end == NULL)
		return fail(m, "a name of at most 256 bytes is wanted there");
	*p = k->p + k->at;
	*n = (size_t)(end - *p);
	k->at += *n + 1;
	return true;
}

/* --- the stack ------------------------------------------------------------ */

static bool
push(struct vm *m, struct pickle_value v)
{
	if (m->n == m->room && !make_room(m, &m->stack, m->n + 1, &m->room))
		return false;
	m->stack[m->n++] = v;
	return true;
}

/* The height below which the values belong to a mark, or to nobody. */
static size_t
floor_of(const struct vm *m)
{
	return m->nmarks > 0 ? m->marks[m->nmarks - 1] : 0;
}

/* The n topmost values, taken off: they stay where they are until the next
 * push; NULL after a refusal. */
static struct pickle_value *
pop(struct vm *m, size_t n)
{
	if (m->n - floor_of(m) < n) {
		fail(m, "an instruction wants more values than there are");
		return NULL;
	}
	m->n -= n;
	return m->stack + m->n;
}

/* All above the last mark, and the mark. */
static struct pickle_value *
pop_marked(struct vm *m, size_t *n)
{
	if (m->nmarks == 0) {
		fail(m, "an instruction wants a mark, and there is none");
		return NULL;
	}
	const size_t at = m->marks[--m->nmarks];
	*n = m->n - at;
	m->n = at;
	/* Never NULL, so that nothing above a mark is no refusal. */
	if (m->stack == NULL && !make_room(m, &m->stack, 1, &m->room))
		return NULL;
	return m->stack + at;
}

/* The topmost value, which stays. */
static struct pickle_value *
top(struct vm *m)
{
	struct pickle_value *v = pop(m, 1);

	if (v != NULL)
		m->n++;
	return v;
}

static bool
op_mark(struct vm *m)
{
	if (m->nmarks == RK_ARRAY_LEN(m->marks))
		return fail(m, "has more than 100 marks inside of one another");
	m->marks[m->nmarks++] = m->n;
	return true;
}

/* --- plain values --------------------------------------------------------- */

static bool op_none(struct vm *m)
{
	return push(m, (struct pickle_value){ .kind = PK_NONE });
}

static bool
push_bool(struct vm *m, bool b)
{
	return push(m, (struct pickle_value){ .kind = PK_BOOL, .b = b });
}

static bool op_true(struct vm *m)  { return push_bool(m, true); }
static bool op_false(struct vm *m) { return push_bool(m, false); }

static bool
push_int(struct vm *m, int64_t i)
{
	return push(m, (struct pickle_value){ .kind = PK_INT, .i = i });
}

static bool
unsigned_int(struct vm *m, int bytes)
{
	uint64_t v;

	return take_number(m, bytes, &v) && push_int(m, (int64_t)v);
}

static bool op_binint1(struct vm *m) { return unsigned_int(m, 1); }
static bool op_binint2(struct vm *m) { return unsigned_int(m, 2); }

static bool
op_binint(struct vm *m)
{
	uint64_t v;

	return take_number(m, 4, &v) && push_int(m, (int32_t)(uint32_t)v);
}

/* Two's complement of so many bytes, least significant first. */
static bool
long_of(struct vm *m, uint64_t n)
{
	const uint8_t *p = take(m, n);
	uint64_t v = 0;

	if (p == NULL)
		return false;
	if (n > 8)
		return push(m, (struct pickle_value){ .kind = PK_LONG,
		    .n = n, .p = p });
	if (n > 0 && (p[n - 1] & 0x80) != 0)
		v = UINT64_MAX;
	for (uint64_t i = n; i-- > 0;)
		v = v << 8 | p[i];
	return push_int(m, (int64_t)v);
}

static bool
op_long1(struct vm *m)
{
	uint64_t n;

	return take_number(m, 1, &n) && long_of(m, n);
}

static bool
op_long4(struct vm *m)
{
	uint64_t n;

	if (!take_number(m, 4, &n))
		return false;
	if (n > 255)
		return fail(m, "a whole number of more than 255 bytes");
	return long_of(m, n);
}

/* The one number that pickles have most significant byte first. */
static bool
op_binfloat(struct vm *m)
{
	const uint8_t *p = take(m, 8);
	struct pickle_value v = { .kind = PK_FLOAT };
	uint64_t u = 0;

	if (p == NULL)
		return false;
	for (int i = 0; i < 8; i++)
		u = u << 8 | p[i];
	memcpy(&v.f, &u, sizeof(u));
	return push(m, v);
}

/* Bytes that stay where they are: their length is in `bytes` bytes. */
static bool
run_of(struct vm *m, enum pickle_kind kind, int bytes)
{
	uint64_t n;

	if (!take_number(m, bytes, &n))
		return false;
	const uint8_t *p = take(m, n);
	return p != NULL && push(m, (struct pickle_value){ .kind = kind,
	    .n = n, .p = p });
}

static bool op_text1(struct vm *m)   { return run_of(m, PK_TEXT, 1); }
static bool op_text4(struct vm *m)   { return run_of(m, PK_TEXT, 4); }
static bool op_text8(struct vm *m)   { return run_of(m, PK_TEXT, 8); }
static bool op_bytes1(struct vm *m)  { return run_of(m, PK_BYTES, 1); }
static bool op_bytes4(struct vm *m)  { return run_of(m, PK_BYTES, 4); }
static bool op_bytes8(struct vm *m)  { return run_of(m, PK_BYTES, 8); }
/* Python's length of these is signed; one that is negative is past the end. */
static bool op_string1(struct vm *m) { return run_of(m, PK_STRING, 1); }
static bool op_string4(struct vm *m) { return run_of(m, PK_STRING, 4); }

/* --- what holds others ---------------------------------------------------- */

static bool
push_seq(struct vm *m, enum pickle_kind kind, size_t n,
    const struct pickle_value *v)
{
	struct pickle_value made;

	if (!pickle_seq_new(m->k, kind, n, &made))
		return full(m);
	m->rc = pickle_seq_add(m->k, made.seq, v, n, m->why);
	return m->rc == RK_OK && push(m, made);
}

static bool op_list(struct vm *m)  { return push_seq(m, PK_LIST, 0, NULL); }
static bool op_dict(struct vm *m)  { return push_seq(m, PK_DICT, 0, NULL); }
static bool op_set(struct vm *m)   { return push_seq(m, PK_SET, 0, NULL); }
static bool op_tuple0(struct vm *m) { return push_seq(m, PK_TUPLE, 0, NULL); }

static bool
tuple_of(struct vm *m, size_t n)
{
	const struct pickle_value *v = pop(m, n);

	return v != NULL && push_seq(m, PK_TUPLE, n, v);
}

static bool op_tuple1(struct vm *m) { return tuple_of(m, 1); }
static bool op_tuple2(struct vm *m) { return tuple_of(m, 2); }
static bool op_tuple3(struct vm *m) { return tuple_of(m, 3); }

static bool
marked_seq(struct vm *m, enum pickle_kind kind)
{
	size_t n;
	const struct pickle_value *v = pop_marked(m, &n);

	return v != NULL && push_seq(m, kind, n, v);
}

static bool op_tuple(struct vm *m)     { return marked_seq(m, PK_TUPLE); }
static bool op_frozenset(struct vm *m) { return marked_seq(m, PK_SET); }

/* n values into what is topmost, which must be of this kind. */
static bool
put_into(struct vm *m, enum pickle_kind kind, const struct pickle_value *v,
    size_t n)
{
	struct pickle_value *into = v != NULL ? top(m) : NULL;

	if (into == NULL)
		return false;
	if (into->kind != kind)
		return fail(m, "puts something into what holds nothing");
	if (kind == PK_DICT && n % 2 != 0)
		return fail(m, "puts a key without a value into a dict");
	m->rc = pickle_seq_add(m->k, into->seq, v, n, m->why);
	return m->rc == RK_OK;
}

static bool op_append(struct vm *m)
{
	return put_into(m, PK_LIST, pop(m, 1), 1);
}

static bool op_setitem(struct vm *m)
{
	return put_into(m, PK_DICT, pop(m, 2), 2);
}

static bool
marked_into(struct vm *m, enum pickle_kind kind)
{
	size_t n = 0;
	const struct pickle_value *v = pop_marked(m, &n);

	return put_into(m, kind, v, n);
}

static bool op_appends(struct vm *m)  { return marked_into(m, PK_LIST); }
static bool op_setitems(struct vm *m) { return marked_into(m, PK_DICT); }
static bool op_additems(struct vm *m) { return marked_into(m, PK_SET); }

/* --- the memo ------------------------------------------------------------- */

static bool
memo_put(struct vm *m, uint64_t i)
{
	const struct pickle_value *v = top(m);

	if (v == NULL)
		return false;
	if (i >= PICKLE_MEMO)
		return fail(m, "has a memo of more than 2097152 entries");
	if (i >= m->memo_room &&
	    !make_room(m, &m->memo, (size_t)i + 1, &m->memo_room))
		return false;
	m->memo[i] = *v;
	m->nmemo++;
	return true;
}

static bool
memo_get(struct vm *m, uint64_t i)
{
	if (i >= m->memo_room || m->memo[i].kind == PK_UNSET)
		return fail(m, "fetches from the memo what was not put there");
	return push(m, m->memo[i]);
}

static bool
op_binput(struct vm *m)
{
	uint64_t i;

	return take_number(m, 1, &i) && memo_put(m, i);
}

static bool
op_long_binput(struct vm *m)
{
	uint64_t i;

	return take_number(m, 4, &i) && memo_put(m, i);
}

static bool op_memoize(struct vm *m) { return memo_put(m, m->nmemo); }

static bool
op_binget(struct vm *m)
{
	uint64_t i;

	return take_number(m, 1, &i) && memo_get(m, i);
}

static bool
op_long_binget(struct vm *m)
{
	uint64_t i;

	return take_number(m, 4, &i) && memo_get(m, i);
}

/* --- names and calls ------------------------------------------------------ */

static bool
push_name(struct vm *m, const void *module, size_t mlen, const void *name,
    size_t nlen)
{
	const struct pickle_row *row = pickle_name_find(module, mlen, name,
	    nlen, m->k->who);

	if (row == NULL) {
		m->rc = pickle_name_refuse(module, mlen, name, nlen, m->why);
		return false;
	}
	return push(m, (struct pickle_value){ .kind = PK_NAME, .name = row });
}

static bool
op_global(struct vm *m)
{
	const uint8_t *module, *name;
	size_t mlen, nlen;

	return take_line(m, &module, &mlen) && take_line(m, &name, &nlen) &&
	    push_name(m, module, mlen, name, nlen);
}

static bool
op_stack_global(struct vm *m)
{
	const struct pickle_value *v = pop(m, 2);

	if (v == NULL)
		return false;
	if (v[0].kind != PK_TEXT || v[1].kind != PK_TEXT ||
	    v[0].n > NAME_MOST || v[1].n > NAME_MOST)
		return fail(m, "a name of at most 256 bytes is wanted there");
	return push_name(m, v[0].p, v[0].n, v[1].p, v[1].n);
}

static bool
op_reduce(struct vm *m)
{
	const struct pickle_value *v = pop(m, 2);
	struct pickle_value made;

	if (v == NULL)
		return false;
	if (v[0].kind != PK_NAME || v[1].kind != PK_TUPLE)
		return fail(m, "calls what is no name, or without arguments");
	m->rc = pickle_call(m->k, v[0].name, &v[1], &made, m->why);
	return m->rc == RK_OK && push(m, made);
}

static bool
op_build(struct vm *m)
{
	const struct pickle_value *state = pop(m, 1);
	struct pickle_value *v = state != NULL ? top(m) : NULL;

	if (v == NULL)
		return false;
	/* What a dict has beside its items ("_metadata") is not for us. */
	if (v->kind == PK_DICT)
		return true;
	if (v->kind != PK_OBJECT)
		return fail(m, "gives a state to what has none");
	struct pickle_object *o = v->object;
	o->state = *state;
	o->depth = RK_MAX(o->depth, 1 + pickle_depth(state));
	if (o->depth <= PICKLE_DEPTH)
		return true;
	m->rc = RK_ELIMIT;
	rk_refuse(m->why, "has values in values, more than %u deep: it is no "
	    "file of weights", PICKLE_DEPTH);
	return false;
}

static bool
op_binpersid(struct vm *m)
{
	const struct pickle_value *id = pop(m, 1);
	struct pickle *k = m->k;

	if (id == NULL)
		return false;
	/* So that none is inside of another: pickle_depth() recurses. */
	if (id->kind != PK_TUPLE)
		return fail(m, "has a persistent id that is no tuple");
	struct pickle_value *own = arena_get(k->arena, sizeof(*own));
	if (own == NULL || !arena_grow(k->arena, &k->persistent,
	    k->npersistent, sizeof(*own)))
		return full(m);
	*own = *id;
	k->persistent[k->npersistent++] = *id;
	return push(m, (struct pickle_value){ .kind = PK_PERSISTENT,
	    .id = own });
}

/* --- the loop ------------------------------------------------------------- */

static bool
op_proto(struct vm *m)
{
	uint64_t v;

	if (!take_number(m, 1, &v))
		return false;
	return v <= 5 || fail(m, "is of a protocol that Python does not have, "
	    "5 is the last");
}

static bool
op_frame(struct vm *m)
{
	uint64_t n;

	if (!take_number(m, 8, &n))
		return false;
	return n <= m->k->n - m->k->at || fail(m, "has a frame that is longer "
	    "than the file (is it cut off?)");
}

static bool
op_stop(struct vm *m)
{
	const struct pickle_value *v = pop(m, 1);

	if (v == NULL)
		return false;
	if (m->n != 0 || m->nmarks != 0)
		return fail(m, "ends with more than one value");
	m->k->value = *v;
	m->stopped = true;
	return true;
}

static const struct op {
	const char *name;
	bool (*run)(struct vm *m);
} ops[256] = {
	['\x28'] = { "MARK", op_mark },
	['\x29'] = { "EMPTY_TUPLE", op_tuple0 },
	['\x2e'] = { "STOP", op_stop },
	['\x42'] = { "BINBYTES", op_bytes4 },
	['\x43'] = { "SHORT_BINBYTES", op_bytes1 },
	['\x47'] = { "BINFLOAT", op_binfloat },
	['\x4a'] = { "BININT", op_binint },
	['\x4b'] = { "BININT1", op_binint1 },
	['\x4d'] = { "BININT2", op_binint2 },
	['\x4e'] = { "NONE", op_none },
	['\x51'] = { "BINPERSID", op_binpersid },
	['\x52'] = { "REDUCE", op_reduce },
	['\x54'] = { "BINSTRING", op_string4 },
	['\x55'] = { "SHORT_BINSTRING", op_string1 },
	['\x58'] = { "BINUNICODE", op_text4 },
	['\x5d'] = { "EMPTY_LIST", op_list },
	['\x61'] = { "APPEND", op_append },
	['\x62'] = { "BUILD", op_build },
	['\x63'] = { "GLOBAL", op_global },
	['\x65'] = { "APPENDS", op_appends },
	['\x68'] = { "BINGET", op_binget },
	['\x6a'] = { "LONG_BINGET", op_long_binget },
	['\x71'] = { "BINPUT", op_binput },
	['\x72'] = { "LONG_BINPUT", op_long_binput },
	['\x73'] = { "SETITEM", op_setitem },
	['\x74'] = { "TUPLE", op_tuple },
	['\x75'] = { "SETITEMS", op_setitems },
	['\x7d'] = { "EMPTY_DICT", op_dict },
	[0x80] = { "PROTO", op_proto },
	[0x81] = { "NEWOBJ", op_reduce },
	[0x85] = { "TUPLE1", op_tuple1 },
	[0x86] = { "TUPLE2", op_tuple2 },
	[0x87] = { "TUPLE3", op_tuple3 },
	[0x88] = { "NEWTRUE", op_true },
	[0x89] = { "NEWFALSE", op_false },
	[0x8a] = { "LONG1", op_long1 },
	[0x8b] = { "LONG4", op_long4 },
	[0x8c] = { "SHORT_BINUNICODE", op_text1 },
	[0x8d] = { "BINUNICODE8", op_text8 },
	[0x8e] = { "BINBYTES8", op_bytes8 },
	[0x8f] = { "EMPTY_SET", op_set },
	[0x90] = { "ADDITEMS", op_additems },
	[0x91] = { "FROZENSET", op_frozenset },
	[0x93] = { "STACK_GLOBAL", op_stack_global },
	[0x94] = { "MEMOIZE", op_memoize },
	[0x95] = { "FRAME", op_frame },
	[0x96] = { "BYTEARRAY8", op_bytes8 },

	/* Of protocols 0 and 1, or of what weights have not. */
	['\x30'] = { "POP", NULL }, ['\x31'] = { "POP_MARK", NULL },
	['\x32'] = { "DUP", NULL }, ['\x46'] = { "FLOAT", NULL },
	['\x49'] = { "INT", NULL }, ['\x4c'] = { "LONG", NULL },
	['\x50'] = { "PERSID", NULL }, ['\x53'] = { "STRING", NULL },
	['\x56'] = { "UNICODE", NULL }, ['\x64'] = { "DICT", NULL },
	['\x67'] = { "GET", NULL }, ['\x69'] = { "INST", NULL },
	['\x6c'] = { "LIST", NULL }, ['\x6f'] = { "OBJ", NULL },
	['\x70'] = { "PUT", NULL }, [0x82] = { "EXT1", NULL },
	[0x83] = { "EXT2", NULL }, [0x84] = { "EXT4", NULL },
	[0x92] = { "NEWOBJ_EX", NULL }, [0x97] = { "NEXT_BUFFER", NULL },
	[0x98] = { "READONLY_BUFFER", NULL },
};

static bool
step(struct vm *m)
{
	struct pickle *k = m->k;

	m->begin = k->at;
	if (k->at == k->n)
		return fail(m, "it has no end (is the file cut off?)");
	if (++k->steps > PICKLE_STEPS) {
		m->rc = RK_ELIMIT;
		rk_refuse(m->why, "its pickle has more than %u instructions: "
		    "it is no file of weights", PICKLE_STEPS);
		return false;
	}
	const uint8_t code = k->p[k->at++];
	const struct op *op = &ops[code];
	if (op->run != NULL)
		return op->run(m);
	m->rc = rk_refuse(m->why, "its pickle is no good at byte %zu: the "
	    "instruction %s (0x%02x) is one that files of weights do not have",
	    m->begin, op->name != NULL ? op->name : "unknown to Python", code);
	return false;
}

enum rk_err
pickle_read(struct pickle *k, struct rk_why *why)
{
	struct vm m = { .k = k, .why = why };

	k->value = (struct pickle_value){ .kind = PK_NONE };
	while (!m.stopped && step(&m))
		;
	give_back(&m);
	return m.rc;
}

bool
pickle_looks_like(const uint8_t *p, size_t n)
{
	return n > 3 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5;
}
