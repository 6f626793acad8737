/*
 * The source image_folder, how it is read, and training.sampler: what a job may say
 * of them, its normal form, and what is refused.
 */
#include "spec_common.h"

/* The small job of images; `fields` of the training source, `more` of the top. */
static json_t *
job(const char *fields, const char *more)
{
	char *text = xasprintf("data: {train: {type: image_folder, images: null, "
	    "labels: null%s%s}, validation: null}", fields[0] != '\0' ? ", " :
	    "", fields);
	json_t *t = tree_with(text), *m = yaml(more);

	if (json_is_object(m))
		rkj_merge(t, m);
	json_decref(m);
	free(text);
	return t;
}

static void
refuses(const char *fields, const char *more, const char *path,
    const char *says)
{
	struct rk_why w = { 0 };
	struct spec *s = NULL;
	json_t *t = job(fields, more);

	t_eq_int(spec_parse(t, &s, &w), RK_EINVAL);
	json_decref(t);
	for (size_t i = 0; i < w.n; i++)
		if (strcmp(w.v[i].path, path) == 0 &&
		    strstr(w.v[i].message, says) != NULL) {
			rk_why_fini(&w);
			return;
		}
	t_fail("%s; %s: says \"%s\" and not \"%s: %s\"", fields, more,
	    rk_why_text(&w), path, says);
}

static void
source_is(const char *fields, const char *want)
{
	struct spec *s = must_parse(job(fields, "{}"));
	json_t *j = spec_json(s), *w = yaml(want);
	json_t *t = json_object_get(json_object_get(j, "data"), "train");

	if (!json_equal(t, w))
		t_fail("%s", rkj_text(t));
	/* And it gives itself. */
	struct spec *s2 = must_parse(json_incref(j));
	json_t *again = spec_json(s2);
	t_check(json_equal(j, again));
	json_decref(again);
	json_decref(w);
	json_decref(j);
	spec_free(s);
	spec_free(s2);
}

T_CASE(a_folder_has_three_channels_and_the_size_of_its_images)
{
	source_is("path: /d", "{type: image_folder, path: /d, channels: 3}");
	source_is("path: 'file:/d/a b', list: /l, size: 32, channels: 1",
	    "{type: image_folder, path: /d/a b, list: /l, size: [32, 32], "
	    "channels: 1}");
	source_is("path: /d.tar, size: [20, 30]",
	    "{type: image_folder, path: /d.tar, size: [20, 30], channels: 3}");
}

T_CASE(what_a_folder_cannot_be_is_refused_by_its_path)
{
	refuses("", "{}", "data.train.path", "is missing");
	refuses("path: ''", "{}", "data.train.path", "");
	refuses("path: /d, channels: 2", "{}", "data.train.channels",
	    "1 (grey) or 3");
	refuses("path: /d, channels: 4", "{}", "data.train.channels", "4");
	refuses("path: /d, size: 0", "{}", "data.train.size", "0");
	refuses("path: /d, size: [8, 16385]", "{}", "data.train.size",
	    "[height, width]");
	refuses("path: /d, size: [8, 8, 3]", "{}", "data.train.size",
	    "[height, width]");
	refuses("path: /d, list: 3", "{}", "data.train.list", "want");
	refuses("path: /d, label: 3", "{}", "data.train.label", "is for csv, "
	    "cifar and text, not for image_folder");
	refuses("path: /d", "data: {normalize: standard}",
	    "data.normalize.type", "all images would be read");
}

T_CASE(validation_has_size_and_channels_of_training)
{
	struct spec *s = must_parse(job("path: /d, size: [20, 30], channels: 1",
	    "data: {validation: {type: image_folder, path: /v}}"));
	const struct spec_source *v = &s->data.validation;

	t_eq_int(v->image_size[0], 20);
	t_eq_int(v->image_size[1], 30);
	t_eq_int(v->channels, 1);
	spec_free(s);
	s = must_parse(job("path: /d, size: 20", "data: {validation: {type: "
	    "image_folder, path: /v, size: 40}}"));
	t_eq_int(s->data.validation.image_size[1], 40);
	spec_free(s);
}

T_CASE(loaders_are_left_out_at_their_defaults)
{
	struct spec *s = must_parse(job("path: /d", "{}"));
	char *text = normal(s);

	t_eq_int(s->data.threads, 0);
	t_eq_int(s->data.broken, SPEC_BROKEN_FAIL);
	t_eq_int(s->training.sampler, SPEC_SAMPLER_UNIFORM);
	t_check(strstr(text, "threads") == NULL &&
	    strstr(text, "broken") == NULL && strstr(text, "sampler") == NULL);
	free(text);
	spec_free(s);
	/* So they are where they are said. */
	struct spec *said = must_parse(job("path: /d", "{data: {broken: fail}, "
	    "training: {sampler: uniform}}"));
	text = normal(said);
	t_check(strstr(text, "broken") == NULL &&
	    strstr(text, "sampler") == NULL);
	free(text);
	spec_free(said);
	s = must_parse(job("path: /d", "{data: {broken: skip, threads: 8}, "
	    "training: {sampler: balanced}}"));
	text = normal(s);
	t_has(text, "\"broken\":\"skip\"");
	t_has(text, "\"threads\":8");
	t_has(text, "\"sampler\":\"balanced\"");
	free(text);
	spec_free(s);
}

T_CASE(what_loaders_cannot_be_is_refused_by_its_path)
{
	refuses("path: /d", "data: {threads: 0}", "data.threads", "0");
	refuses("path: /d", "data: {threads: 65}", "data.threads", "65");
	refuses("path: /d", "data: {broken: ignore}", "data.broken", "ignore");
	refuses("path: /d", "training: {sampler: weighted}",
	    "training.sampler", "weighted");
	refuses("path: /d", "training: {sampler: balanced, shuffle: false}",
	    "training.sampler", "shuffle is false");
	refuses("path: /d", "training: {sampler: balanced, loss: mse}",
	    "training.sampler", "has no classes");
}

/* The digest that lineage goes by. */
T_CASE(threads_and_what_becomes_of_the_broken_are_no_part_of_what_is_learned)
{
	struct spec *a = must_parse(job("path: /d", "{}"));
	struct spec *b = must_parse(job("path: /d",
	    "data: {threads: 7, broken: skip}"));
	struct spec *c = must_parse(job("path: /d",
	    "training: {sampler: balanced}"));
	char one[RK_SHA256_HEX], two[RK_SHA256_HEX], three[RK_SHA256_HEX];

	json_t *kept = spec_record(b);
	char *text = rkj_text(kept);
	t_check(strstr(text, "threads\":7") == NULL);
	t_check(strstr(text, "broken") == NULL);
	free(text);
	json_decref(kept);
	spec_digest(a, one);
	spec_digest(b, two);
	spec_digest(c, three);
	t_eq_str(one, two);
	t_check(strcmp(one, three) != 0);
	spec_free(a);
	spec_free(b);
	spec_free(c);
}

T_MAIN
