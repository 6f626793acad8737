/* Numbers by name: a table with open places, kept at most half full. */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

static struct nn_named *
place(struct nn_named *v, size_t room, const char *name)
{
	size_t at = rk_hash64(0, name, strlen(name)) % room;

	while (v[at].name != NULL && strcmp(v[at].name, name) != 0)
		at = (at + 1) % room;
	return &v[at];
}

int
nn_names_find(const struct nn_names *m, const char *name)
{
	if (m->room == 0)
		return -1;
	const struct nn_named *p = place(m->v, m->room, name);

	return p->name != NULL ? p->is : -1;
}

static void
grow(struct nn_names *m)
{
	const size_t room = m->room > 0 ? 2 * m->room : 64;
	struct nn_named *v = xcalloc(room, sizeof(*v));

	for (size_t i = 0; i < m->room; i++)
		if (m->v[i].name != NULL)
			*place(v, room, m->v[i].name) = m->v[i];
	free(m->v);
	m->v = v;
	m->room = room;
}

void
nn_names_add(struct nn_names *m, const char *name, int is)
{
	if (2 * (m->n + 1) > m->room)
		grow(m);
	struct nn_named *p = place(m->v, m->room, name);

	must(p->name == NULL);
	*p = (struct nn_named){ .name = name, .is = is };
	m->n++;
}
