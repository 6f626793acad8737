/* The record of what is held out, to JSON and back: see held_out.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "held_out.h"
#include "report.h"

#define COUNT_MAX ((int64_t)1 << 53)

json_t *
held_out_json(const struct held_out *h)
{
	json_t *o = json_object(), *seen = json_array();
	char whole[17];

	js_put(o, "rule", json_string(data_split_words[h->how.rule]));
	if (h->how.rule == DATA_SPLIT_NONE) {
		json_decref(seen);
		return o;
	}
	js_put(o, "seed", json_integer((json_int_t)h->how.seed));
	js_put(o, "fraction", json_real(h->part));
	js_put(o, "samples", json_integer(h->samples));
	js_put(o, "validation", json_integer(h->validation));
	js_put(o, "inherited", json_boolean(h->inherited));
	js_put(o, "trained_on", h->trained_on < 0 ? json_null() :
	    json_integer(h->trained_on));
	js_put(o, "at_most", json_boolean(h->at_most));
	js_put(o, "lineage", json_boolean(h->lineage));
	snprintf(whole, sizeof(whole), "%016llx",
	    (unsigned long long)h->whole);
	js_put(o, "whole", json_string(whole));
	for (size_t i = 0; i < h->nseen; i++) {
		json_t *one = json_pack("{s:I, s:f}", "seed",
		    (json_int_t)h->seen[i].seed, "from", h->seen[i].from);
		must(one != NULL && json_array_append_new(seen, one) == 0);
	}
	js_put(o, "seen", seen);
	return o;
}

/* --- and back ------------------------------------------------------------- */

static void
read_seen(struct held_out *h, struct rkj_obj *in, struct rk_why *why)
{
	const json_t *a = rkj_any(in, "seen");

	if (!json_is_array(a) || json_array_size(a) > HELD_OUT_SEEN) {
		rkj_fault(in, "seen", "is no list of at most %d",
		    HELD_OUT_SEEN);
		return;
	}
	for (size_t i = 0; i < json_array_size(a); i++) {
		struct data_seen *s = &h->seen[h->nseen++];
		struct rkj_obj o;
		int64_t seed = 0;

		rkj_open(&o, json_array_get(a, i), "split.seen", why);
		rkj_int(&o, "seed", &seed, 0, COUNT_MAX, RKJ_REQUIRED);
		rkj_real(&o, "from", &s->from, 0, 1, RKJ_REQUIRED);
		s->seed = (uint64_t)seed;
		rkj_close_lenient(&o);
	}
}

static void
read_whole(struct held_out *h, struct rkj_obj *o)
{
	char *s = NULL;

	if (rkj_str(o, "whole", &s, 16, RKJ_REQUIRED)) {
		if (strlen(s) != 16 || strspn(s, "0123456789abcdef") != 16)
			rkj_fault(o, "whole", "is not 16 hexadecimal digits");
		else
			h->whole = strtoull(s, NULL, 16);
	}
	free(s);
}

static void
read_fields(struct held_out *h, struct rkj_obj *o, struct rk_why *why)
{
	int64_t seed = 0;

	rkj_int(o, "seed", &seed, 0, COUNT_MAX, RKJ_REQUIRED);
	h->how.seed = (uint64_t)seed;
	rkj_real(o, "fraction", &h->part, 0, 1, RKJ_REQUIRED);
	rkj_int(o, "samples", &h->samples, 0, COUNT_MAX, RKJ_REQUIRED);
	rkj_int(o, "validation", &h->validation, 0, COUNT_MAX, RKJ_REQUIRED);
	rkj_bool(o, "inherited", &h->inherited, RKJ_REQUIRED);
	h->trained_on = -1;
	rkj_int(o, "trained_on", &h->trained_on, 0, COUNT_MAX, RKJ_OPTIONAL);
	rkj_bool(o, "at_most", &h->at_most, RKJ_REQUIRED);
	rkj_bool(o, "lineage", &h->lineage, RKJ_REQUIRED);
	read_whole(h, o);
	read_seen(h, o, why);
}

enum rk_err
held_out_read(struct held_out *h, const json_t *v, struct rk_why *why)
{
	struct rk_why own = {0};
	struct rkj_obj o;
	int rule = DATA_SPLIT_NONE;

	*h = (struct held_out){0};
	rkj_open(&o, v, "split", &own);
	if (rkj_enum(&o, "rule", &rule, data_split_words, RKJ_REQUIRED) &&
	    rule != DATA_SPLIT_NONE)
		read_fields(h, &o, &own);
	h->how.rule = (enum data_split_rule)rule;
	rkj_close_lenient(&o);
	return rk_why_end(&own, why);
}

enum rk_err
held_out_of_info(struct held_out *h, const struct ckpt_info *i,
    struct rk_why *why)
{
	if (i->split != NULL)
		return held_out_read(h, i->split, why);
	*h = (struct held_out){
		.how = { DATA_SPLIT_PERMUTATION, i->seed }, .trained_on = -1,
	};
	return RK_OK;
}

/* --- out of a model file -------------------------------------------------- */

static const char *
metadata(char *const *meta, const char *key)
{
	for (size_t i = 0; meta != NULL && meta[i] != NULL; i += 2)
		if (strcmp(meta[i], key) == 0)
			return meta[i + 1];
	return NULL;
}

static enum rk_err
read_metadata(struct held_out *h, const char *text)
{
	json_t *v = NULL;
	enum rk_err rc = rkj_parse_json(text, strlen(text), &v, NULL);

	if (rc == RK_OK)
		rc = held_out_read(h, v, NULL);
	json_decref(v);
	return rc;
}

/* A list of texts, or NULL. */
static json_t *
read_classes(const char *text)
{
	json_t *v = NULL, *name;
	size_t k;

	if (text == NULL || rkj_parse_json(text, strlen(text), &v, NULL) !=
	    RK_OK)
		return NULL;
	bool ok = json_is_array(v) && json_array_size(v) <= CKPT_CLASSES_MAX;
	json_array_foreach(v, k, name)
		ok = ok && json_is_string(name);
	if (!ok) {
		json_decref(v);
		v = NULL;
	}
	return v;
}

bool
held_out_beside(const char *path, struct ckpt_info *out)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	char *text = NULL, *json = xasprintf("%.*scheckpoint.json",
	    (int)(name - path), path);
	bool is_of = false;
	struct stat st;
	size_t n;

	bool ok = rk_read_file(AT_FDCWD, json, CKPT_JSON_MAX, &text, &n) ==
	    RK_OK && ckpt_info_parse(text, n, NULL, out, NULL) == RK_OK;
	for (int k = 0; ok && stat(path, &st) == 0 && k < out->nfiles; k++)
		is_of |= strcmp(out->files[k].name, name) == 0 &&
		    out->files[k].size == (uint64_t)st.st_size;
	if (ok && !is_of)
		ckpt_info_fini(out);
	free(json);
	free(text);
	return is_of;
}

bool
held_out_is_ours(const char *path)
{
	struct ckpt_info info;
	const bool is = held_out_beside(path, &info);

	if (is)
		ckpt_info_fini(&info);
	return is;
}

void
held_out_model_fini(struct held_out_model *m)
{
	json_decref(m->classes);
	json_decref(m->told);
	json_decref(m->updates);
	*m = (struct held_out_model){0};
}

void
held_out_of_model(struct held_out_model *m, char *const *meta,
    const char *path)
{
	const char *text = metadata(meta, HELD_OUT_META);
	struct ckpt_info info;

	held_out_model_fini(m);
	*m = (struct held_out_model){
		.because = "the file does not tell what it was trained on",
	};
	if (text != NULL)
		m->known = read_metadata(&m->of, text) == RK_OK;
	m->classes = read_classes(metadata(meta, CLASSES_META));
	m->beside = held_out_beside(path, &info);
	if (m->beside) {
		m->step = info.step;
		m->updates = json_incref(json_object_get(info.state,
		    "updates"));
		if (m->classes == NULL)
			m->classes = json_incref(info.classes);
		if (text == NULL) {
			m->known = held_out_of_info(&m->of, &info, NULL) ==
			    RK_OK;
			memcpy(m->data_digest, info.data_digest,
			    sizeof(m->data_digest));
		}
		ckpt_info_fini(&info);
	}
	if (m->known && m->of.how.rule == DATA_SPLIT_NONE) {
		m->known = false;
		m->because = "it was trained on all of its data";
	}
}
