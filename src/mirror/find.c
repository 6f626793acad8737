/*
 * Which remote checkpoints of the jobs that are taken over count and are there:
 * those that the base names, and those of the base's epoch.  The rows of what
 * was known here go first; ship_find() makes new ones.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define TRIES_PUSH 4            /* where a job's own store does not answer */

struct search {
	struct search *next;
	struct mirror *m;
	size_t i;                       /* in m->base.v */
	int64_t b;                      /* the base's epoch; 0: none counts */
	bool own;                       /* below the job's own push */
};

static void find_more(struct mirror *m);

void
search_fini(struct mirror *m)
{
	struct search *s;

	while ((s = m->searches) != NULL) {
		m->searches = s->next;
		ship_find_forget(m->ship, s);
		free(s);
	}
	m->under_way = 0;
}

static bool
accept(void *ctx, const char *folder, int64_t epoch)
{
	struct search *s = ctx;

	const struct bjob *j = &s->m->base.v[s->i];

	return (s->b > 0 && epoch == s->b) || bjob_epoch(j, epoch) ||
	    bjob_names(j, folder);
}

/* --- rows ----------------------------------------------------------------- */

struct keys {
	char *v[64];                    /* "dir\0uri" */
	size_t n;
};

static bool
see_row(void *ctx, const struct remote_row *r)
{
	struct keys *k = ctx;

	k->v[k->n++] = xstrdup(r->dir);
	k->v[k->n++] = xstrdup(r->uri);
	return k->n + 1 < RK_ARRAY_LEN(k->v);
}

enum rk_err
drop_rows(struct mirror *m, const char *job)
{
	struct keys k;
	enum rk_err rc;

	do {
		k.n = 0;
		rc = store_remotes(m->store, job, 0, see_row, &k);
		for (size_t i = 0; i < k.n; i += 2) {
			struct remote_row r = { .dir = k.v[i],
				.uri = k.v[i + 1] };
			snprintf(r.job, sizeof(r.job), "%s", job);
			if (rc == RK_OK)
				rc = store_remote_drop(m->store, &r);
			free(k.v[i]);
			free(k.v[i + 1]);
		}
	} while (rc == RK_OK && k.n > 0);
	return rc;
}

/* --- one job -------------------------------------------------------------- */

static void
found(void *ctx, int n, const char *why)
{
	struct search *s = ctx, **p;
	struct mirror *m = s->m;

	must_be(m, MIRROR_TAG);
	struct bjob *j = &m->base.v[s->i];
	bool own = s->own;
	for (p = &m->searches; *p != s; p = &(*p)->next)
		;
	*p = s->next;
	free(s);
	m->under_way--;
	if (n >= 0) {
		j->done = true;
		j->unfound = false;
	} else if (own && ++j->tries >= TRIES_PUSH) {
		j->done = true;
		free(j->refused);
		j->refused = xasprintf("its checkpoints cannot be looked "
		    "for: %s", why);
	} else {
		char *text = xasprintf("cannot look for the checkpoints of "
		    "job %s: %s", j->id, why);
		search_fini(m);
		go_again(m, text);
		free(text);
		return;
	}
	find_more(m);
}

static json_t *
places_of(const char *text)
{
	struct spec_place v[SPEC_PLACES];
	json_t *tree = NULL, *list = json_array();
	struct spec *spec = NULL;

	if (rkj_parse_json(text, strlen(text), &tree, NULL) == RK_OK &&
	    spec_parse(tree, &spec, NULL) == RK_OK) {
		const size_t n = spec_places(spec, v);
		for (size_t i = 0; i < n; i++)
			json_array_append_new(list, spec_place_said(&v[i]));
		spec_places_fini(v, n);
	}
	spec_free(spec);
	json_decref(tree);
	return list;
}

/* A job that was submitted here, went elsewhere and comes back has what it
 * named then. */
char *
said_here(struct mirror *m, const struct bjob *j)
{
	struct job_row r;
	char *said;

	if (!j->here || store_job_get(m->store, j->id, &r) != RK_OK)
		return xstrdup("[]");
	if (r.said_here[0] != '\0' || !j->take) {
		said = xstrdup(r.said_here);
	} else {
		json_t *list = places_of(r.spec);
		said = rkj_text(list);
		json_decref(list);
	}
	store_job_fini(&r);
	return said;
}

static bool
may_look(struct mirror *m, const struct bjob *j, const struct spec *spec)
{
	char *said = said_here(m, j);
	const bool yes = ship_allows(m->ship, said, spec, true, NULL) ==
	    SHIP_ALLOWED;

	free(said);
	return yes;
}

/* Where its checkpoints go, "" if nowhere; NULL with why.  One that is not
 * allowed to send them there is `closed`. */
static char *
prefix_of(struct mirror *m, struct bjob *j, bool *own, struct rk_why *why)
{
	json_t *record = bjob_record(j, m->text, why), *tree = NULL;
	const char *text = json_string_value(json_object_get(json_object_get(
	    record, "row"), "spec"));
	struct spec *spec = NULL;
	char *prefix = NULL;

	if (record != NULL && text == NULL)
		rk_refuse(why, "has no specification");
	else if (record != NULL && rkj_parse_json(text, strlen(text), &tree,
	    why) == RK_OK && spec_parse(tree, &spec, why) == RK_OK) {
		prefix = ship_prefix(m->ship, spec);
		*own = strncmp(prefix, m->c.prefix, strlen(m->c.prefix)) != 0;
		j->closed = !may_look(m, j, spec);
	}
	spec_free(spec);
	json_decref(tree);
	json_decref(record);
	return prefix;
}

/* false: the disk; everything waits. */
static bool
find_one(struct mirror *m, size_t i)
{
	struct bjob *j = &m->base.v[i];
	struct rk_why why = { 0 };
	bool own = false;
	char *prefix = prefix_of(m, j, &own, &why);
	bool good = true;

	if (prefix == NULL) {
		j->refused = rk_why_text(&why);
	} else if (!m->began && drop_rows(m, j->id) != RK_OK) {
		go_again(m, "cannot write to the database");
		good = false;
	} else if (prefix[0] != '\0' && !j->closed) {
		struct search *s = xcalloc(1, sizeof(*s));
		s->m = m;
		s->i = i;
		s->b = m->b;
		s->own = own;
		s->next = m->searches;
		m->searches = s;
		m->under_way++;
		ship_find(m->ship, j->id, prefix, accept, found, s);
	} else {
		j->done = true;
	}
	free(prefix);
	rk_why_fini(&why);
	return good;
}

static void
find_more(struct mirror *m)
{
	for (; m->at < m->base.n && m->under_way < FINDS; m->at++) {
		struct bjob *j = &m->base.v[m->at];
		if (j->search && !j->done && j->refused == NULL &&
		    !find_one(m, m->at))
			return;
	}
	if (m->under_way > 0)
		return;
	went_well(m);
	if (!m->began) {
		go_to(m, step_take);
	} else {                        /* the ended ones are known, too */
		base_fini(&m->base);
		free(m->text);
		m->text = NULL;
	}
}

/* `done` was about records; from here on it is about checkpoints. */
static void
step_find_on(struct mirror *m)
{
	m->at = 0;
	find_more(m);
}

/* --- many ended ones -------------------------------------------------------- */

/* "ID/checkpoints/FOLDER/checkpoint.json" of this epoch: the job and the length
 * of what leads to the folder. */
static bool
folder_of(const char *key, int64_t epoch, char id[RK_ID], size_t *len)
{
	static const char mid[] = "/checkpoints/", end[] = "/checkpoint.json";
	char want[40];
	const char *p = key + RK_ID_LEN, *slash, *at;

	if (strlen(key) < RK_ID_LEN + sizeof(mid) + sizeof(end) ||
	    strncmp(p, mid, strlen(mid)) != 0)
		return false;
	memcpy(id, key, RK_ID_LEN);
	id[RK_ID_LEN] = '\0';
	p += strlen(mid);
	slash = strchr(p, '/');
	snprintf(want, sizeof(want), "-e%lld", (long long)epoch);
	at = strstr(p, want);
	if (!rk_id_ok(id) || slash == NULL || strcmp(slash, end) != 0 ||
	    at == NULL || at > slash)
		return false;
	at += strlen(want);             /* -e8 or -e8-r2, and no -e80 */
	*len = (size_t)(slash + 1 - key);
	return at == slash || *at == '-';
}

static bool
see_folders(void *ctx, const struct remote_entry *v, size_t n)
{
	struct mirror *m = ctx;
	char id[RK_ID];
	size_t len;

	for (size_t i = 0; i < n; i++) {
		struct bjob *j = folder_of(v[i].key, m->b, id, &len) ?
		    base_find(&m->base, id) : NULL;
		if (j == NULL || !j->take || j->search)
			continue;
		char *dir = remote_join(m->c.prefix, "jobs/");
		char *uri = xasprintf("%s%.*s", dir, (int)len, v[i].key);
		bjob_add(j, uri);
		free(uri);
		free(dir);
	}
	return true;
}

static void
folders_seen(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (step_good(m, r, "list the checkpoints"))
		go_to(m, step_find_on);
}

static void
step_folders(struct mirror *m)
{
	struct remote_patience pt = patience(600000);
	char *dir = remote_join(m->c.prefix, "jobs/");

	m->op = remote_list(m->remote, dir, false, see_folders, &pt,
	    folders_seen, m);
	free(dir);
}

/*
 * Some jobs that have ended are looked for like the others.  Where there are
 * many, one listing says what was pushed of them under the base's epoch, and
 * their checkpoints are read behind the beginning.
 */
void
step_find(struct mirror *m)
{
	size_t ended = 0;

	for (size_t i = 0; i < m->base.n; i++) {
		struct bjob *j = &m->base.v[i];
		j->done = false;
		ended += j->take && !j->gone && !j->search;
	}
	for (size_t i = 0; i < m->base.n; i++) {
		struct bjob *j = &m->base.v[i];
		struct rk_why why = { 0 };
		bool own = false;
		if (!j->take || j->gone || j->search)
			continue;
		if (ended > MANY_ENDED)
			free(prefix_of(m, j, &own, &why));
		j->search = ended <= MANY_ENDED || own;
		rk_why_fini(&why);
	}
	go_to(m, ended > MANY_ENDED ? step_folders : step_find_on);
}

void
search_later(struct mirror *m)
{
	for (size_t i = 0; i < m->base.n; i++) {
		struct bjob *j = &m->base.v[i];
		j->search = !j->gone && j->refused == NULL && !j->search &&
		    (j->take || j->unfound);
		j->done = false;
	}
	/* What was pushed under that epoch is named, or late. */
	m->b = 0;
	go_to(m, step_find_on);
}
