/* What a set is, in one digest: data.h says of what. */
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "lazy.h"

#define CHUNK ((size_t)4 << 20)         /* between looks at `stop` */
#define FILES 256                       /* ... that are asked for their size */

/* False: it was told to stop. */
static bool
add(struct rk_sha256 *sha, const void *p, size_t n, const atomic_bool *stop)
{
	const char *at = p;

	while (n > 0) {
		const size_t some = RK_MIN(n, CHUNK);
		if (stop != NULL && atomic_load(stop))
			return false;
		rk_sha256_add(sha, at, some);
		at += some;
		n -= some;
	}
	return true;
}

/* A class by its name, where it has one: its number is the network's affair. */
static void
put_label(struct strbuf *b, const struct data_set *d, int64_t i)
{
	if (d->many_from != NULL) {
		for (int64_t k = d->many_from[i]; k < d->many_from[i + 1]; k++)
			if (d->names != NULL)
				sb_addf(b, "%s,", d->names[d->many[k]]);
			else
				sb_addf(b, "%d,", (int)d->many[k]);
	} else if (d->names != NULL && d->classes != NULL) {
		sb_adds(b, d->names[d->classes[i]]);
	} else {
		uint32_t bits;
		memcpy(&bits, &d->targets[i], sizeof(bits));
		sb_addf(b, "%08x", bits);
	}
}

static void
add_hash(struct strbuf *b, const struct data_set *d, int64_t i, uint64_t hash)
{
	sb_addf(b, "%016llx\n", (unsigned long long)hash);
	put_label(b, d, i);
	sb_addc(b, '\n');
}

static void
add_file(struct strbuf *b, const struct data_set *d, int64_t i,
    const struct lazy_id *id)
{
	sb_addf(b, "%s\n%llu\n", id->path, (unsigned long long)id->size);
	put_label(b, d, i);
	sb_addc(b, '\n');
}

/* Of samples with files of their own the path, the size and the label; of
 * others the hash of what is in them, and the label. */
static bool
add_lazy(struct rk_sha256 *sha, const struct data_set *d, uint64_t *each,
    const atomic_bool *stop)
{
	struct strbuf b = { 0 };
	bool ok = true;

	for (int64_t i = 0; ok && i < d->n; i++) {
		const size_t from = b.len;
		struct lazy_id id;
		lazy_identify(d, i, true, &id);
		if (id.path != NULL)
			add_file(&b, d, i, &id);
		else
			add_hash(&b, d, i, id.hash);
		if (each != NULL)
			each[i] = rk_hash64(0, b.s + from, b.len - from);
		if ((i + 1) % FILES != 0 && i + 1 < d->n)
			continue;
		ok = add(sha, b.s, b.len, stop);
		sb_reset(&b);
	}
	sb_fini(&b);
	return ok;
}

void
data_digest(const struct data_set *d, char hex[RK_SHA256_HEX])
{
	must(data_digest_until(d, hex, NULL));
}

bool
data_digest_until(const struct data_set *d, char hex[RK_SHA256_HEX],
    const atomic_bool *stop)
{
	return data_digest_each(d, hex, NULL, stop);
}

static struct rk_sha256 *
begin(const struct data_set *d, const char *of, const int64_t *shape)
{
	struct rk_sha256 *sha = rk_sha256_new();
	char *head = xasprintf("rekindle data 1: %lld of %s", (long long)d->n,
	    of);

	rk_sha256_add(sha, head, strlen(head) + 1);
	free(head);
	for (int i = 0; i < d->ndim; i++)
		rk_sha256_add(sha, &shape[i], sizeof(shape[i]));
	return sha;
}

bool
data_digest_each(const struct data_set *d, char hex[RK_SHA256_HEX],
    uint64_t *each, const atomic_bool *stop)
{
	const size_t n = (size_t)d->n;
	struct rk_sha256 *sha = begin(d, d->lazy != NULL ? "files" :
	    d->bytes != NULL ? "bytes" : d->tokens != NULL ? "tokens" :
	    "floats", d->d);

	if (d->nlengths > 0)
		rk_sha256_add(sha, d->lengths, (size_t)d->nlengths *
		    sizeof(d->lengths[0]));
	if (d->lazy != NULL && d->lazy->reading != 0)
		rk_sha256_add(sha, &d->lazy->reading,
		    sizeof(d->lazy->reading));
	bool all_of_it = d->lazy != NULL ? add_lazy(sha, d, each, stop) :
	    add(sha, held_samples(held_of(d)), n * data_sample_bytes(d),
	    stop) && add(sha, d->targets, n * sizeof(*d->targets), stop);
	rk_sha256_end(sha, hex);
	return all_of_it;
}

/* As if they went through no transforms. */
static void
digest_plain(const struct data_set *d, char hex[RK_SHA256_HEX])
{
	const struct held *h = held_of(d);
	const bool pixels = h->bytes != NULL;
	const int64_t *shape = pixels ? d->lazy->from : d->d;
	struct rk_sha256 *sha = begin(d, pixels ? "bytes" : "tokens", shape);
	size_t each = pixels ? 1 : sizeof(*d->tokens);

	for (int i = 0; i < d->ndim; i++)
		each *= (size_t)shape[i];
	rk_sha256_add(sha, held_samples(h), (size_t)d->n * each);
	rk_sha256_add(sha, d->targets, (size_t)d->n * sizeof(*d->targets));
	rk_sha256_end(sha, hex);
}

/* As if they did: augment.c tells them by the hash of what is in them. */
static void
digest_transformed(const struct data_set *d, char hex[RK_SHA256_HEX])
{
	const size_t each = data_sample_bytes(d);
	const uint8_t *samples = held_samples(held_of(d));
	struct rk_sha256 *sha = begin(d, "files", d->d);
	struct strbuf b = { 0 };

	for (int64_t i = 0; i < d->n; i++) {
		sb_reset(&b);
		add_hash(&b, d, i, rk_hash64(0, samples + (size_t)i * each,
		    each));
		rk_sha256_add(sha, b.s, b.len);
	}
	sb_fini(&b);
	rk_sha256_end(sha, hex);
}

bool
data_digest_other(const struct data_set *d, char hex[RK_SHA256_HEX])
{
	const struct held *h = held_of(d);

	if (h->bytes == NULL && h->tokens == NULL)
		return false;
	if (d->lazy != NULL)
		digest_plain(d, hex);
	else
		digest_transformed(d, hex);
	return true;
}
