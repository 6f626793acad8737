/* What the bucket has of each job: a hash table by id, open addressing. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* FNV-1a; ids are random in their second half. */
static size_t
place(const struct mirror *m, const char *id)
{
	uint64_t h = 14695981039346656037ull;

	for (const char *p = id; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211ull;
	size_t i = (size_t)h & (m->table_cap - 1);
	while (m->table[i] != NULL && strcmp(m->table[i]->id, id) != 0)
		i = (i + 1) & (m->table_cap - 1);
	return i;
}

struct rec *
table_get(struct mirror *m, const char *id)
{
	return m->table_cap == 0 ? NULL : m->table[place(m, id)];
}

static void
grow(struct mirror *m)
{
	struct rec **old = m->table;
	size_t n = m->table_cap;

	m->table_cap = RK_MAX(2 * n, (size_t)64);
	m->table = xcalloc(m->table_cap, sizeof(struct rec *));
	for (size_t i = 0; i < n; i++) {
		if (old[i] != NULL)
			m->table[place(m, old[i]->id)] = old[i];
	}
	free(old);
}

struct rec *
table_need(struct mirror *m, const char *id)
{
	struct rec *r = table_get(m, id);

	if (r != NULL)
		return r;
	if (2 * (m->table_n + 1) > m->table_cap)
		grow(m);
	r = xcalloc(1, sizeof(*r));
	snprintf(r->id, sizeof(r->id), "%s", id);
	r->m = m;
	m->table[place(m, id)] = r;
	m->table_n++;
	return r;
}

void
table_fini(struct mirror *m)
{
	for (size_t i = 0; i < m->table_cap; i++) {
		if (m->table[i] != NULL) {
			remote_cancel(&m->table[i]->op);
			free(m->table[i]);
		}
	}
	free(m->table);
	m->table = NULL;
	m->table_n = m->table_cap = 0;
}
