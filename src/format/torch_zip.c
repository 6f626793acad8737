/*
 * PyTorch's files since 1.6: a zip archive
 *
 *	ROOT/data.pkl     a pickle; its storages are persistent ids with keys
 *	ROOT/data/KEY     the bytes of a storage
 *	ROOT/byteorder    "little" or "big"; little where there is none
 *
 * ROOT is the name that the file once had, or "archive".  Members are stored,
 * so that they are mapped; what another program packed again may be deflated.
 * A key is only ever compared with names in the archive.
 *
 * An archive with code/ or constants.pkl is TorchScript's: it has a program
 * beside its tensors and is refused by that name, whatever its tensors are.
 */
#include <stdlib.h>
#include <string.h>

#include "torch.h"
#include "zip.h"

#define MEMBERS_MOST (1u << 19)
#define PICKLE_NAME  "data.pkl"

struct member {
	struct zip_member m;
	const struct weights_store *store;      /* where it was looked for */
};

/* Bytes of the archive that a member takes. */
struct extent {
	uint64_t begin, end;
	const struct zip_member *m;
};

struct torch_zip {
	struct torch t;
	struct zip zip;
	struct member *v;               /* by name */
	size_t n;
	struct extent *used;
	size_t nused;
	const char *root;               /* "archive/", or "" */
	size_t root_len;
};

bool
weights_looks_torch_zip(const uint8_t *p, size_t n)
{
	return n >= 4 && (memcmp(p, "PK\3\4", 4) == 0 ||
	    memcmp(p, "PK\5\6", 4) == 0);
}

/* --- members -------------------------------------------------------------- */

static int
compare_bytes(const char *a, size_t n, const char *b, size_t m)
{
	const int c = memcmp(a, b, RK_MIN(n, m));

	return c != 0 ? c : (n > m) - (n < m);
}

static int
by_name(const void *a, const void *b)
{
	const struct zip_member *x = &((const struct member *)a)->m;
	const struct zip_member *y = &((const struct member *)b)->m;

	return compare_bytes(x->name, x->name_len, y->name, y->name_len);
}

static enum rk_err
list_members(struct torch_zip *z, struct rk_why *why)
{
	uint64_t at = 0;
	enum rk_err rc = zip_open(&z->zip);

	if (rc != RK_OK)
		return rc;
	z->n = (size_t)z->zip.members;
	z->v = arena_array(&z->t.w->inside->arena, z->n, sizeof(*z->v));
	z->used = arena_array(&z->t.w->inside->arena, z->n + 1,
	    sizeof(*z->used));
	if (z->v == NULL || z->used == NULL)
		return arena_full(why);
	for (size_t i = 0; rc == RK_OK && i < z->n; i++)
		rc = zip_next(&z->zip, &at, &z->v[i].m);
	if (rc != RK_OK)
		return rc;
	qsort(z->v, z->n, sizeof(*z->v), by_name);
	for (size_t i = 1; i < z->n; i++)
		if (by_name(&z->v[i - 1], &z->v[i]) == 0)
			return rk_refuse(why, "its archive has two members of "
			    "one name, \"%.*s\"", (int)RK_MIN(
			    z->v[i].m.name_len, (size_t)60), z->v[i].m.name);
	return RK_OK;
}

/* The member root + folder + name; NULL. */
static struct member *
find_member(struct torch_zip *z, const char *folder, const void *name,
    size_t n)
{
	struct strbuf b = {0};
	size_t lo = 0, hi = z->n;
	struct member *found = NULL;

	sb_add(&b, z->root, z->root_len);
	sb_adds(&b, folder);
	sb_add(&b, name, n);
	while (lo < hi && found == NULL) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct zip_member *m = &z->v[mid].m;
		const int c = compare_bytes(m->name, m->name_len, b.s, b.len);
		if (c == 0)
			found = &z->v[mid];
		else if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	sb_fini(&b);
	return found;
}

/* Is there a folder root + name? */
static bool
has_folder(const struct torch_zip *z, const char *name)
{
	const size_t n = strlen(name);

	for (size_t i = 0; i < z->n; i++) {
		const struct zip_member *m = &z->v[i].m;
		if (m->name_len > z->root_len + n &&
		    memcmp(m->name, z->root, z->root_len) == 0 &&
		    memcmp(m->name + z->root_len, name, n) == 0)
			return true;
	}
	return false;
}

/* What begins the name of data.pkl, which there is once. */
static enum rk_err
find_root(struct torch_zip *z, struct rk_why *why)
{
	const size_t n = strlen(PICKLE_NAME);
	size_t found = 0;

	for (size_t i = 0; i < z->n; i++) {
		const struct zip_member *m = &z->v[i].m;
		if (m->name_len < n || memcmp(m->name + m->name_len - n,
		    PICKLE_NAME, n) != 0 || (m->name_len > n &&
		    m->name[m->name_len - n - 1] != '/'))
			continue;
		z->root = m->name;
		z->root_len = m->name_len - n;
		found++;
	}
	if (found == 1)
		return RK_OK;
	return rk_refuse(why, found == 0 ? "is a zip archive without data.pkl, "
	    "so none that torch.save wrote" : "is a zip archive with more than "
	    "one data.pkl, so none that torch.save wrote");
}

/* Where a member is, and that it may be used. */
static enum rk_err
place(struct torch_zip *z, const struct member *m, struct source_part *part,
    struct rk_why *why)
{
	const char *name = m->m.name + z->root_len;

	/* Of a storage the tensor that asks for it tells. */
	z->zip.why = why;
	enum rk_err rc = zip_place(&z->zip, &m->m, name, m->m.name_len -
	    z->root_len, part);

	if (rc == RK_OK)
		z->used[z->nused++] = (struct extent){ m->m.offset,
		    part->offset + part->packed, &m->m };
	return rc;
}

/* Deflate makes at most 1032 bytes of one. */
static bool
can_unpack(const struct source_part *part)
{
	return part->size / 1032 <= part->packed;
}

/* All bytes of a member: where they are, or unpacked. */
static enum rk_err
whole_member(struct torch_zip *z, const struct member *m, const uint8_t **p,
    size_t *n, struct rk_why *why)
{
	const struct weights_inside *in = z->t.w->inside;
	struct source_part part = { 0 };
	struct format_source s;
	enum rk_err rc = place(z, m, &part, why);
	size_t got = 0;

	*n = (size_t)part.size;
	*p = in->p + part.offset;
	if (rc != RK_OK || !part.deflated)
		return rc;
	uint8_t *own = can_unpack(&part) ? arena_get(&z->t.w->inside->arena,
	    (size_t)part.size) : NULL;
	if (own == NULL)
		return arena_full(why);
	source_open_bytes(&s, in->p, in->n, "its " PICKLE_NAME);
	rc = source_narrow(&s, &part, why);
	if (rc == RK_OK)
		rc = format_source_read(&s, own, *n, &got, why);
	if (rc == RK_OK)
		rc = format_source_end(&s, why);
	format_source_close(&s);
	*p = own;
	return rc;
}

/* --- storages ------------------------------------------------------------- */

static enum rk_err
make_store(struct torch_zip *z, struct member *m, struct rk_why *why)
{
	const struct weights_inside *in = z->t.w->inside;
	struct weights_store *s = arena_get(&z->t.w->inside->arena, sizeof(*s));
	struct source_part part = { 0 };

	if (s == NULL)
		return arena_full(why);
	enum rk_err rc = place(z, m, &part, why);
	if (rc != RK_OK)
		return rc;
	if (part.deflated && !can_unpack(&part))
		return rk_refuse(why, "its storage is %llu bytes in the "
		    "archive, which cannot unpack to the %llu that it says",
		    (unsigned long long)part.packed,
		    (unsigned long long)part.size);
	*s = (struct weights_store){
		.kind = part.deflated ? STORE_DEFLATED : STORE_BYTES,
		.p = in->p + part.offset, .packed = part.packed,
		.size = part.size, .crc = part.crc,
	};
	m->store = s;
	return RK_OK;
}

static enum rk_err
find_storage(struct torch *t, const struct pickle_value *key,
    uint64_t elements, size_t size, const struct weights_store **out,
    struct rk_why *why)
{
	struct torch_zip *z = t->ctx;
	struct member *m = find_member(z, "data/", key->p, key->n);
	char text[TORCH_KEY];
	uint64_t bytes;

	if (m == NULL)
		return rk_refuse(why, "its storage, %s, is not in the archive: "
		    "the file is damaged", torch_key_text(text, key));
	if (m->store == NULL) {
		enum rk_err rc = make_store(z, m, why);
		if (rc != RK_OK)
			return rc;
	}
	*out = m->store;
	if (!__builtin_mul_overflow(elements, size, &bytes) &&
	    bytes == m->store->size)
		return RK_OK;
	return rk_refuse(why, "its storage has %llu bytes in the archive, the "
	    "pickle says %llu elements of %zu: the file is damaged",
	    (unsigned long long)m->store->size, (unsigned long long)elements,
	    size);
}

static int
by_place(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return (x->begin > y->begin) - (x->begin < y->begin);
}

/* A few bytes that are many storages are made to take memory. */
static enum rk_err
check_apart(struct torch_zip *z, struct rk_why *why)
{
	qsort(z->used, z->nused, sizeof(*z->used), by_place);
	for (size_t i = 1; i < z->nused; i++) {
		const struct zip_member *a = z->used[i - 1].m;
		const struct zip_member *b = z->used[i].m;
		if (z->used[i].begin < z->used[i - 1].end)
			return rk_refuse(why, "its members \"%.*s\" and "
			    "\"%.*s\" overlap in the archive",
			    (int)RK_MIN(a->name_len, (size_t)60), a->name,
			    (int)RK_MIN(b->name_len, (size_t)60), b->name);
	}
	return RK_OK;
}

/* --- the file ------------------------------------------------------------- */

static enum rk_err
read_order(struct torch_zip *z, struct rk_why *why)
{
	const struct member *m = find_member(z, "byteorder", "", 0);
	const uint8_t *p;
	size_t n;

	if (m == NULL)
		return RK_OK;
	enum rk_err rc = whole_member(z, m, &p, &n, why);
	if (rc != RK_OK)
		return rc;
	if (n == 6 && memcmp(p, "little", n) == 0)
		return RK_OK;
	z->t.big = n == 3 && memcmp(p, "big", n) == 0;
	return z->t.big ? RK_OK : rk_refuse(why, "its byteorder is neither "
	    "little nor big");
}

static enum rk_err
read_archive(struct torch_zip *z, struct rk_why *why)
{
	struct pickle *k = &z->t.pickle;
	enum rk_err rc = list_members(z, why);

	if (rc == RK_OK)
		rc = find_root(z, why);
	if (rc != RK_OK)
		return rc;
	if (has_folder(z, "code/") || find_member(z, "constants.pkl", "", 0) !=
	    NULL)
		return rk_refuse(why, "is a TorchScript archive (torch.jit."
		    "save), which has a program beside its weights; nothing "
		    "was run: save it again with torch.save(torch.jit.load("
		    "...).state_dict(), ...)");
	rc = read_order(z, why);
	if (rc == RK_OK)
		rc = whole_member(z, find_member(z, PICKLE_NAME, "", 0), &k->p,
		    &k->n, why);
	if (rc == RK_OK)
		rc = pickle_read(k, why);
	if (rc == RK_OK)
		rc = torch_gather(&z->t, &k->value, why);
	return rc == RK_OK ? check_apart(z, why) : rc;
}

enum rk_err
weights_read_torch_zip(struct weights *w, struct rk_why *why)
{
	struct weights_inside *in = w->inside;
	struct torch_zip z = {
		.t = { .w = w, .find = find_storage, .pickle = {
			.arena = &in->arena, .who = PICKLE_TORCH } },
		.zip = { .kind = "zip archive", .member = "member",
			.most = MEMBERS_MOST, .fd = -1, .mem = in->p,
			.size = in->n, .why = why },
	};

	z.t.ctx = &z;
	enum rk_err rc = read_archive(&z, why);
	zip_close(&z.zip);
	return rc;
}
