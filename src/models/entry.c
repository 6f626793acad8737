/*
 * An entry's text.  Whoever may write to the bucket may have written it, so
 * that all of it that is used is held against what it must be, and nothing in
 * it is the name of a file or folder that could lie elsewhere.  Fields that are
 * not known are passed over: a newer rekindled may have more of them; one that
 * changes what the known ones mean has another number in `format`.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define BY_MAX      256
#define NOTES_MAX   65536
#define NOTE_MAX    4096
#define FILES_MAX   1000
#define FILE_MAX    200
#define LABEL_MAX   256
#define METRICS_MAX 256

const char *const entry_event_words[E_EVENTS + 1] = {
	"version", "alias", "deleted", "changed", "evaluated", NULL
};
const char *const entry_how_words[] = { "moved", "rollback", "removed", NULL };

static void
read_word(struct rkj_obj *o, const char *key, char **out)
{
	if (rkj_str(o, key, out, 64, RKJ_REQUIRED) && !models_word(*out))
		rkj_fault(o, key, "is \"%s\", want a letter or digit and up to "
		    "63 more of [A-Za-z0-9._-]", *out);
}

static void
read_time(struct rkj_obj *o, const char *key, int64_t *ms)
{
	char *text = NULL;

	if (rkj_str(o, key, &text, 64, RKJ_REQUIRED) &&
	    !rk_time_parse(text, ms))
		rkj_fault(o, key, "is \"%s\", want a time as "
		    "2026-11-30T12:00:00.000Z", text);
	free(text);
}

static bool
is_sha256(const char *s)
{
	return strlen(s) == RK_SHA256_HEX - 1 &&
	    strspn(s, "0123456789abcdef") == RK_SHA256_HEX - 1;
}

/* null: a label that was taken away, where that may be. */
static const json_t *
read_labels(struct rkj_obj *o, const char *key, bool null_too)
{
	const json_t *v = rkj_any(o, key);
	const char *k;
	json_t *x;

	if (v == NULL)
		return NULL;
	if (!json_is_object(v) || json_object_size(v) > LABELS_MAX) {
		rkj_fault(o, key, "want an object of at most %d labels",
		    LABELS_MAX);
		return NULL;
	}
	json_object_foreach((json_t *)(uintptr_t)v, k, x) {
		if (strlen(k) > LABEL_MAX || (!(null_too && json_is_null(x)) &&
		    (!json_is_string(x) || json_string_length(x) > LABEL_MAX)))
			rkj_fault(o, key, "\"%.80s\" is no label: want text of "
			    "at most %d bytes, of a key that is no longer", k,
			    LABEL_MAX);
	}
	return v;
}

/* Those that are numbers; null is one that could not be measured. */
static json_t *
read_numbers(struct rkj_obj *o, const char *key, const json_t **whole)
{
	const json_t *v = rkj_any(o, key);
	json_t *out = json_object(), *x;
	const char *k;

	*whole = v;
	if (v != NULL && (!json_is_object(v) ||
	    json_object_size(v) > METRICS_MAX)) {
		rkj_fault(o, key, "want an object of at most %d metrics",
		    METRICS_MAX);
		return out;
	}
	json_object_foreach((json_t *)(uintptr_t)v, k, x) {
		if (json_is_number(x) && k[0] != '\0' && strlen(k) <= 128)
			json_object_set(out, k, x);
		else if (!json_is_null(x))
			rkj_fault(o, key, "\"%.80s\" is no metric: want a name "
			    "of 1 to 128 bytes and a number, or null", k);
	}
	return out;
}

/* Below the version's own folder, and nowhere else. */
static void
check_file(const json_t *v, const char *path, struct rk_why *why)
{
	char *name = NULL, *sum = NULL;
	uint64_t size = 0;
	struct rkj_obj o;

	rkj_open(&o, v, path, why);
	if (rkj_str(&o, "name", &name, FILE_MAX, RKJ_REQUIRED) &&
	    (name[0] == '.' || name[0] == '\0' || strchr(name, '/') != NULL ||
	    strchr(name, '\\') != NULL ||
	    strlen(name) != json_string_length(json_object_get(v, "name"))))
		rkj_fault(&o, "name", "is \"%s\", want the name of a file in "
		    "the version's folder", name);
	if (rkj_str(&o, "sha256", &sum, RK_SHA256_HEX, RKJ_REQUIRED) &&
	    !is_sha256(sum))
		rkj_fault(&o, "sha256", "is \"%s\", want 64 hexadecimal "
		    "digits", sum);
	(void)rkj_bytes(&o, "size", &size, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_close_lenient(&o);
	free(name);
	free(sum);
}

static void
check_files(struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "files");

	if (!json_is_array(v) || json_array_size(v) == 0 ||
	    json_array_size(v) > FILES_MAX) {
		rkj_fault(o, "files", "want a list of 1 to %d files",
		    FILES_MAX);
		return;
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		char *at = xasprintf("%s.files[%zu]", o->path, i);
		check_file(json_array_get(v, i), at, o->why);
		free(at);
	}
}

static void
read_source(struct rkj_obj *o, struct entry *e)
{
	const json_t *v = rkj_any(o, "source");
	const char *kind = json_string_value(json_object_get(v, "kind"));

	if (kind == NULL || (strcmp(kind, "job") != 0 &&
	    strcmp(kind, "file") != 0)) {
		rkj_fault(o, "source", "want an object whose kind is job or "
		    "file");
		return;
	}
	if (strcmp(kind, "job") == 0) {
		const char *id = json_string_value(json_object_get(v, "job"));
		if (id == NULL || !rk_id_ok(id))
			rkj_fault(o, "source", "want a job's id in its field "
			    "job");
		else
			e->job = xstrdup(id);
	}
}

static void
read_record(struct entry *e, const char *name, struct rk_why *why)
{
	char *model = NULL, *text = NULL;
	int64_t format, version = 0;
	struct rkj_obj o;

	rkj_open(&o, e->record, "record", why);
	(void)rkj_int(&o, "format", &format, 1, 1, RKJ_REQUIRED);
	if (rkj_str(&o, "model", &model, 64, RKJ_REQUIRED) &&
	    strcmp(model, name) != 0)
		rkj_fault(&o, "model", "is \"%s\", and this is the log of "
		    "\"%s\"", model, name);
	if (rkj_int(&o, "version", &version, 1, VERSION_MAX, RKJ_REQUIRED) &&
	    version != e->version)
		rkj_fault(&o, "version", "is %lld, and the entry's is %lld",
		    (long long)version, (long long)e->version);
	read_word(&o, "id", &e->folder);
	read_time(&o, "created_at", &e->created_ms);
	(void)rkj_str(&o, "author", &text, BY_MAX, RKJ_OPTIONAL);
	(void)rkj_str(&o, "notes", &text, NOTES_MAX, RKJ_OPTIONAL);
	(void)read_labels(&o, "labels", false);
	e->numbers = read_numbers(&o, "metrics", &e->metrics);
	read_source(&o, e);
	check_files(&o);
	if (rkj_str(&o, "digest", &e->digest, RK_SHA256_HEX, RKJ_REQUIRED) &&
	    !is_sha256(e->digest))
		rkj_fault(&o, "digest", "is \"%s\", want 64 hexadecimal "
		    "digits", e->digest);
	(void)rkj_bytes(&o, "bytes", &e->bytes, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_close_lenient(&o);
	free(model);
	free(text);
}

static void
read_version(struct rkj_obj *o, struct entry *e, int required)
{
	(void)rkj_int(o, "version", &e->version, 1, VERSION_MAX, required);
}

static void
read_alias(struct rkj_obj *o, struct entry *e)
{
	struct rk_why own = { 0 };
	int how = HOW_MOVED;

	if (rkj_str(o, "alias", &e->alias, 64, RKJ_REQUIRED) &&
	    models_alias_ok(e->alias, &own) != RK_OK)
		rkj_fault(o, "alias", "%s", rk_why_first(&own));
	rk_why_fini(&own);
	(void)rkj_enum(o, "how", &how, entry_how_words, RKJ_REQUIRED);
	e->how = (enum entry_how)how;
	read_version(o, e, how == HOW_REMOVED ? RKJ_OPTIONAL : RKJ_REQUIRED);
	if (how == HOW_REMOVED && e->version != 0)
		rkj_fault(o, "version", "is %lld, want null: the alias is "
		    "taken away", (long long)e->version);
	(void)rkj_str(o, "note", &e->note, NOTE_MAX, RKJ_OPTIONAL);
}

static void
read_changed(struct rkj_obj *o, struct entry *e)
{
	read_version(o, e, RKJ_REQUIRED);
	(void)rkj_str(o, "notes", &e->note, NOTES_MAX, RKJ_OPTIONAL);
	e->labels = read_labels(o, "labels", true);
	if (e->note == NULL && e->labels == NULL)
		rkj_fault(o, "notes", "want notes or labels");
}

static void
read_evaluated(struct rkj_obj *o, struct entry *e)
{
	read_version(o, e, RKJ_REQUIRED);
	e->data = rkj_any(o, "data");
	if (e->data == NULL || !json_is_string(json_object_get(e->data,
	    "digest")))
		rkj_fault(o, "data", "want an object with the digest of the "
		    "data");
	e->numbers = read_numbers(o, "metrics", &e->metrics);
}

static void
read_event(struct rkj_obj *o, struct entry *e, const char *name)
{
	int event = E_DELETED;

	if (!rkj_enum(o, "event", &event, entry_event_words, RKJ_REQUIRED))
		return;
	e->event = (enum entry_event)event;
	switch (e->event) {
	case E_VERSION:
		read_version(o, e, RKJ_REQUIRED);
		/* Each entry takes one number at most. */
		if (e->version > e->seq)
			rkj_fault(o, "version", "is %lld, and entry %lld can "
			    "have %lld at most", (long long)e->version,
			    (long long)e->seq, (long long)e->seq);
		e->record = rkj_any(o, "record");
		if (e->record == NULL)
			rkj_fault(o, "record", "is missing");
		else
			read_record(e, name, o->why);
		break;
	case E_ALIAS:
		read_alias(o, e);
		break;
	case E_DELETED:
		read_version(o, e, RKJ_REQUIRED);
		break;
	case E_CHANGED:
		read_changed(o, e);
		break;
	case E_EVALUATED:
		read_evaluated(o, e);
		break;
	case E_EVENTS:
		must(false);
	}
}

enum rk_err
entry_parse(struct entry *e, const char *text, size_t len, const char *name,
    int64_t seq, struct rk_why *why)
{
	struct rk_why own = { 0 };
	int64_t format;
	struct rkj_obj o;

	memset(e, 0, sizeof(*e));
	if (len > ENTRY_MAX)
		return rk_refuse(why, "is %zu bytes long, want at most %u", len,
		    ENTRY_MAX);
	if (rkj_parse_json(text, len, &e->tree, why) != RK_OK)
		return RK_EINVAL;
	rkj_open(&o, e->tree, "", &own);
	(void)rkj_int(&o, "format", &format, 1, 1, RKJ_REQUIRED);
	if (rkj_int(&o, "seq", &e->seq, 1, SEQ_MAX, RKJ_REQUIRED) &&
	    e->seq != seq)
		rkj_fault(&o, "seq", "is %lld, and it lies in place %lld",
		    (long long)e->seq, (long long)seq);
	read_word(&o, "id", &e->id);
	read_time(&o, "at", &e->at_ms);
	(void)rkj_str(&o, "by", &e->by, BY_MAX, RKJ_OPTIONAL);
	(void)rkj_str(&o, "instance", &e->instance, 64, RKJ_OPTIONAL);
	read_event(&o, e, name);
	rkj_close_lenient(&o);
	if (own.n > 0)
		entry_fini(e);
	return rk_why_end(&own, why);
}

void
entry_fini(struct entry *e)
{
	free(e->id);
	free(e->by);
	free(e->instance);
	free(e->alias);
	free(e->note);
	free(e->folder);
	free(e->digest);
	free(e->job);
	json_decref(e->numbers);
	json_decref(e->tree);
	memset(e, 0, sizeof(*e));
}
