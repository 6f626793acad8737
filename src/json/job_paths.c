/* The files that a job names, as seen from the folder of the job's file. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rekindle/json.h"

/* Where they are, a path or a list of them each. */
static const char *const fields[][3] = {
	{ "data", "train", "images" }, { "data", "train", "labels" },
	{ "data", "train", "path" }, { "data", "train", "list" },
	{ "data", "validation", "images" }, { "data", "validation", "labels" },
	{ "data", "validation", "path" }, { "data", "validation", "list" },
	{ "data", "inputs", NULL },
	{ "model", "checkpoint", NULL },
};

/* All else is an address; that of a warm start needs no slashes
 * (job:A/best). */
static bool
is_relative(const char *s, bool checkpoint)
{
	return s != NULL && *s != '\0' && *s != '/' &&
	    strncasecmp(s, "file:", 5) != 0 && strstr(s, "://") == NULL &&
	    !(checkpoint && strchr(s, ':') != NULL);
}

/* The labels of an npz are the name of one of its arrays. */
static bool
names_no_file(const json_t *in, const char *key)
{
	const char *type = json_string_value(json_object_get(in, "type"));

	return type != NULL && strcmp(type, "npz") == 0 &&
	    strcmp(key, "labels") == 0;
}

/* A new reference: v itself where it is no relative path. */
static json_t *
absolute(json_t *v, bool checkpoint, const char *folder)
{
	const char *s = json_string_value(v);

	if (!is_relative(s, checkpoint))
		return json_incref(v);
	char *full = xasprintf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder,
	    s);
	json_t *out = json_string(full);
	free(full);
	/* A folder whose name is no UTF-8 is in no job. */
	return out != NULL ? out : json_incref(v);
}

/* The files of texts: one a class, and the vocabulary. */
static void
text_paths(json_t *source, const char *folder)
{
	json_t *classes = json_object_get(source, "classes"), *v;
	json_t *tokenizer = json_object_get(source, "tokenizer");
	const char *key;

	json_object_foreach(classes, key, v)
		must(json_object_set_new(classes, key, absolute(v, false,
		    folder)) == 0);
	v = json_object_get(tokenizer, "vocabulary");
	if (v != NULL)
		must(json_object_set_new(tokenizer, "vocabulary", absolute(v,
		    false, folder)) == 0);
}

/* Files of the names of a model's rows; a list is of the names themselves. */
static void
name_paths(json_t *model, const char *folder)
{
	static const char *const keys[] = { "checkpoint_classes",
		"checkpoint_vocabulary" };

	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(model, keys[i]);
		if (json_is_string(v))
			must(json_object_set_new(model, keys[i], absolute(v,
			    false, folder)) == 0);
	}
}

void
rkj_job_paths(json_t *job, const char *folder)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(fields); i++) {
		const char *const *f = fields[i];
		const bool in_block = f[2] == NULL;
		json_t *in = json_object_get(job, f[0]);
		if (!in_block)
			in = json_object_get(in, f[1]);
		const char *key = in_block ? f[1] : f[2];
		const bool checkpoint = strcmp(key, "checkpoint") == 0;
		if (names_no_file(in, key))
			continue;
		json_t *v = json_object_get(in, key);
		for (size_t k = 0; k < json_array_size(v); k++)
			must(json_array_set_new(v, k, absolute(json_array_get(
			    v, k), checkpoint, folder)) == 0);
		if (json_is_string(v))
			must(json_object_set_new(in, key, absolute(v,
			    checkpoint, folder)) == 0);
	}
	json_t *data = json_object_get(job, "data");
	text_paths(json_object_get(data, "train"), folder);
	text_paths(json_object_get(data, "validation"), folder);
	name_paths(json_object_get(job, "model"), folder);
}
