/*
 * PyTorch's files before 1.6: pickles one behind the other, then storages.
 *
 *	magic      the whole number 0x1950a86a20f9469cfc6c
 *	protocol   1001
 *	sys_info   {"little_endian": True, ...}
 *	object     its storages are persistent ids with keys
 *	keys       a list, in the order of what follows; for each one
 *	           i64 elements, then their bytes, little-endian
 */
#include <stdlib.h>
#include <string.h>

#include "torch.h"

#define PROTOCOL 1001

static const uint8_t magic[] = {
	0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19
};

struct storage {
	const struct pickle_value *key;
	uint64_t elements;
	size_t size;                    /* of an element */
	struct weights_store *store;    /* NULL: not found yet */
};

struct torch_legacy {
	struct torch t;
	struct storage *v;              /* by key */
	size_t n;
};

/* A pickle of one whole number of ten bytes: the magic one, or one that was
 * damaged. */
bool
weights_looks_torch_legacy(const uint8_t *p, size_t n)
{
	size_t at = 2;

	if (!pickle_looks_like(p, n))
		return false;
	if (n > 11 && p[at] == 0x95)
		at += 9;                /* a frame, of protocol 4 */
	return n > at + 2 && p[at] == 0x8a && p[at + 1] == sizeof(magic);
}

/* --- the pickles ---------------------------------------------------------- */

static enum rk_err
next_pickle(struct torch_legacy *l, struct rk_why *why)
{
	struct pickle *k = &l->t.pickle;

	k->persistent = NULL;
	k->npersistent = 0;
	return pickle_read(k, why);
}

static enum rk_err
check_magic(struct torch_legacy *l, struct rk_why *why)
{
	const struct pickle_value *v = &l->t.pickle.value;
	enum rk_err rc = next_pickle(l, why);

	if (rc != RK_OK)
		return rc;
	if (v->kind != PK_LONG || v->n != sizeof(magic) ||
	    memcmp(v->p, magic, sizeof(magic)) != 0)
		return rk_refuse(why, "begins as a file of an old torch.save, "
		    "but its magic number is another: it is damaged, or none");
	rc = next_pickle(l, why);
	if (rc == RK_OK && (v->kind != PK_INT || v->i != PROTOCOL))
		rc = rk_refuse(why, "is a file of an old torch.save, but not of "
		    "its protocol 1001");
	return rc;
}

static enum rk_err
check_system(struct torch_legacy *l, struct rk_why *why)
{
	enum rk_err rc = next_pickle(l, why);

	if (rc != RK_OK)
		return rc;
	const struct pickle_value *v = pickle_get(&l->t.pickle.value,
	    "little_endian");
	if (v == NULL || v->kind != PK_BOOL)
		return rk_refuse(why, "does not say of which byte order it is: "
		    "it is damaged");
	if (!v->b)
		return rk_refuse(why, "was written on a machine with the most "
		    "significant byte first: save it again by PyTorch 1.6 or "
		    "later");
	return RK_OK;
}

/* --- storages ------------------------------------------------------------- */

static int
compare_keys(const struct pickle_value *a, const struct pickle_value *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return memcmp(a->p, b->p, a->n);
}

static int
by_key(const void *a, const void *b)
{
	return compare_keys(((const struct storage *)a)->key,
	    ((const struct storage *)b)->key);
}

static struct storage *
find_key(const struct torch_legacy *l, const struct pickle_value *key)
{
	const struct storage want = { .key = key };

	return l->n == 0 ? NULL : bsearch(&want, l->v, l->n, sizeof(want),
	    by_key);
}

/* Each storage that the object asks for, once. */
static enum rk_err
list_storages(struct torch_legacy *l, struct rk_why *why)
{
	const struct pickle *k = &l->t.pickle;
	size_t n = 0;

	l->v = arena_array(k->arena, k->npersistent, sizeof(*l->v));
	if (l->v == NULL)
		return arena_full(why);
	for (size_t i = 0; i < k->npersistent; i++) {
		struct torch_id id;
		enum rk_err rc = torch_id_read(&k->persistent[i], &id, why);
		if (rc != RK_OK)
			return rc;
		l->v[i] = (struct storage){ .key = id.key,
		    .elements = id.elements, .size = id.size };
	}
	if (k->npersistent > 0)
		qsort(l->v, k->npersistent, sizeof(*l->v), by_key);
	for (size_t i = 0; i < k->npersistent; i++)
		if (n == 0 || by_key(&l->v[n - 1], &l->v[i]) != 0)
			l->v[n++] = l->v[i];
	l->n = n;
	return RK_OK;
}

/* The next storage of the file. */
static enum rk_err
take_storage(struct torch_legacy *l, const struct pickle_value *key,
    struct rk_why *why)
{
	struct pickle *k = &l->t.pickle;
	struct storage *s = pickle_is_text(key) ? find_key(l, key) : NULL;
	char text[TORCH_KEY];
	uint64_t bytes = 0;

	torch_key_text(text, key);
	if (s == NULL)
		return rk_refuse(why, "its list of storages has %s, for which "
		    "no tensor asks: it is damaged", text);
	if (s->store != NULL)
		return rk_refuse(why, "its list of storages has %s twice",
		    text);
	if (k->n - k->at < 8)
		return rk_refuse(why, "ends before its storage %s: it is cut "
		    "off", text);
	const uint64_t elements = format_le64(k->p + k->at);
	k->at += 8;
	if (elements != s->elements ||
	    __builtin_mul_overflow(elements, s->size, &bytes))
		return rk_refuse(why, "its storage, %s, has %llu elements, the "
		    "pickle says %llu: it is damaged", text,
		    (unsigned long long)elements,
		    (unsigned long long)s->elements);
	if (bytes > k->n - k->at)
		return rk_refuse(why, "ends inside of its storage, %s: it is "
		    "cut off", text);
	s->store = arena_get(k->arena, sizeof(*s->store));
	if (s->store == NULL)
		return arena_full(why);
	*s->store = (struct weights_store){ .kind = STORE_BYTES,
	    .p = k->p + k->at, .packed = bytes, .size = bytes };
	k->at += (size_t)bytes;
	return RK_OK;
}

static enum rk_err
find_storage(struct torch *t, const struct pickle_value *key,
    uint64_t elements, size_t size, const struct weights_store **out,
    struct rk_why *why)
{
	const struct storage *s = find_key(t->ctx, key);
	char text[TORCH_KEY];

	if (s == NULL || s->store == NULL)
		return rk_refuse(why, "its storage, %s, is not in the file: it "
		    "is damaged", torch_key_text(text, key));
	if (s->elements != elements || s->size != size)
		return rk_refuse(why, "its storage, %s, is said to be two "
		    "things: the file is damaged", torch_key_text(text, key));
	*out = s->store;
	return RK_OK;
}

/* --- the file ------------------------------------------------------------- */

static enum rk_err
read_file(struct torch_legacy *l, struct rk_why *why)
{
	struct pickle *k = &l->t.pickle;
	enum rk_err rc = check_magic(l, why);

	if (rc == RK_OK)
		rc = check_system(l, why);
	if (rc == RK_OK)
		rc = next_pickle(l, why);
	const struct pickle_value object = k->value;
	if (rc == RK_OK)
		rc = list_storages(l, why);
	if (rc == RK_OK)
		rc = next_pickle(l, why);
	if (rc == RK_OK && k->value.kind != PK_LIST)
		rc = rk_refuse(why, "has no list of storages behind its object: "
		    "it is damaged");
	for (uint64_t i = 0; rc == RK_OK && i < k->value.seq->n; i++)
		rc = take_storage(l, &k->value.seq->v[i], why);
	return rc == RK_OK ? torch_gather(&l->t, &object, why) : rc;
}

enum rk_err
weights_read_torch_legacy(struct weights *w, struct rk_why *why)
{
	struct weights_inside *in = w->inside;
	struct torch_legacy l = {
		.t = { .w = w, .find = find_storage, .pickle = {
			.arena = &in->arena, .who = PICKLE_TORCH,
			.p = in->p, .n = in->n } },
	};

	l.t.ctx = &l;
	return read_file(&l, why);
}
