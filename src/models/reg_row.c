/* A registration and its row: words, what is kept of it, and read back. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "register.h"

const char *const reg_state_words[REG_STATES + 1] = {
	[REG_LOOKING] = "looking", [REG_FETCHING] = "fetching",
	[REG_STAGING] = "staging", [REG_READING] = "reading",
	[REG_SENDING] = "sending", [REG_ENTERING] = "entering",
	[REG_DESCRIBING] = "describing", [REG_NAMING] = "naming",
	[REG_CLEARING] = "clearing", [REG_REGISTERED] = "registered",
	[REG_UNMET] = "unmet", [REG_FAILED] = "failed",
	[REG_CANCELLED] = "cancelled", NULL
};

bool
reg_ended(enum reg_state s)
{
	return s >= REG_REGISTERED;
}

void
reg_set(char **field, const char *text)
{
	char *own = xstrdup(text != NULL ? text : "");

	free(*field);
	*field = own;
}

static char *
progress_text(const struct reg *g)
{
	json_t *o = json_object();

	/* Of one that has ended the version has the record. */
	if (!reg_ended(g->state) && g->record != NULL)
		json_object_set(o, "record", g->record);
	json_object_set_new(o, "files", staged_json(&g->files));
	json_object_set_new(o, "automatic", json_boolean(g->automatic));
	if (g->dir != NULL)
		json_object_set_new(o, "dir", json_string(g->dir));
	if (g->format != NULL)
		json_object_set_new(o, "format", json_string(g->format));
	json_object_set_new(o, "digest", json_string(g->digest));
	if (g->upload_id != NULL)
		json_object_set_new(o, "upload", json_pack("{s:s, s:s, s:I}",
		    "file", g->upload_file, "id", g->upload_id, "part_size",
		    (json_int_t)g->part_size));
	if (g->state == REG_CLEARING)
		json_object_set_new(o, "then", json_string(
		    reg_state_words[g->then]));
	char *text = rkj_text(o);
	json_decref(o);
	return text;
}

bool
reg_save(struct reg *g)
{
	reg_set(&g->row.state, reg_state_words[g->state]);
	free(g->row.progress);
	g->row.progress = progress_text(g);
	g->row.updated_ms = now_ms();
	const enum rk_err rc = store_registration_put(g->r->m->store, &g->row);
	if (rc != RK_OK)
		log_error("registration=%s cannot be written: %s", g->row.id,
		    rk_strerror(rc));
	return rc == RK_OK;
}

static void
read_upload(struct reg *g, const json_t *v)
{
	const char *file = json_string_value(json_object_get(v, "file"));
	const char *id = json_string_value(json_object_get(v, "id"));

	if (file == NULL || id == NULL)
		return;
	g->upload_file = xstrdup(file);
	g->upload_id = xstrdup(id);
	g->part_size = (uint64_t)json_integer_value(json_object_get(v,
	    "part_size"));
}

static enum reg_state
state_of(const char *word)
{
	int k = 0;

	while (k < REG_STATES && (word == NULL || strcmp(word,
	    reg_state_words[k]) != 0))
		k++;
	return (enum reg_state)k;
}

/* A registration as its row has it; NULL, logged: that is none. */
static struct reg *
reg_of_row(struct registrar *r, const struct registration_row *row)
{
	json_t *request = NULL, *v = NULL;
	struct reg *g = xcalloc(1, sizeof(*g));
	struct rk_why why = { 0 };

	g->tag = REG_TAG;
	g->r = r;
	enum rk_err rc = rkj_parse_json(row->request, strlen(row->request),
	    &request, &why);
	if (rc == RK_OK)
		rc = request_read(request, &g->request, &why);
	if (rc == RK_OK)
		rc = rkj_parse_json(row->progress, strlen(row->progress), &v,
		    &why);
	if (rc == RK_OK)
		rc = staged_read(&g->files, json_object_get(v, "files"), &why);
	if (rc == RK_OK) {
		const char *s = json_string_value(json_object_get(v, "dir"));
		g->dir = s != NULL ? xstrdup(s) : NULL;
		s = json_string_value(json_object_get(v, "format"));
		g->format = s != NULL ? xstrdup(s) : NULL;
		s = json_string_value(json_object_get(v, "digest"));
		snprintf(g->digest, sizeof(g->digest), "%s", s != NULL ? s :
		    "");
		g->automatic = json_is_true(json_object_get(v, "automatic"));
		g->record = json_incref(json_object_get(v, "record"));
		read_upload(g, json_object_get(v, "upload"));
		g->then = state_of(json_string_value(json_object_get(v,
		    "then")));
	} else {
		log_error("registration=%s cannot be read: %s", row->id,
		    rk_why_first(&why));
		reg_free(g);
		g = NULL;
	}
	json_decref(request);
	json_decref(v);
	rk_why_fini(&why);
	return g;
}

void
reg_free(struct reg *g)
{
	store_registration_fini(&g->row);
	request_fini(&g->request);
	json_decref(g->record);
	json_decref(g->tensors);
	staged_fini(&g->files);
	free(g->dir);
	free(g->format);
	free(g->upload_file);
	free(g->upload_id);
	free(g->message);
	g->tag = 0;
	free(g);
}

char *
reg_folder(const struct reg *g)
{
	return xasprintf("%s/%s", g->r->folder, g->row.id);
}

struct reg *
reg_find(struct registrar *r, const char *id)
{
	struct reg *g = r->regs;

	while (g != NULL && strcmp(g->row.id, id) != 0)
		g = g->next;
	return g;
}

/* --- after a start -------------------------------------------------------- */

void
reg_link(struct registrar *r, struct reg *g)
{
	struct reg **at = &r->regs;

	while (*at != NULL && (*at)->row.created_ms <= g->row.created_ms)
		at = &(*at)->next;
	g->next = *at;
	*at = g;
}

bool
reg_take_row(void *ctx, const struct registration_row *row)
{
	struct registrar *r = ctx;
	struct reg *g = reg_of_row(r, row);

	if (g == NULL)
		return true;
	memcpy(g->row.id, row->id, sizeof(g->row.id));
	reg_set(&g->row.model, row->model);
	reg_set(&g->row.job, row->job);
	reg_set(&g->row.request, row->request);
	reg_set(&g->row.error, row->error);
	reg_set(&g->row.idem_key, row->idem_key);
	reg_set(&g->row.idem_digest, row->idem_digest);
	g->row.version = row->version;
	g->row.created_ms = row->created_ms;
	g->state = state_of(row->state);
	g->cut = g->state == REG_SENDING || g->state == REG_CLEARING;
	if (g->state > REG_FETCHING && g->state <= REG_READING) {
		reg_unstage(g);
		g->state = REG_FETCHING;
	}
	reg_link(r, g);
	return true;
}
