/*
 * What spec makes of jobs, for tests/outside/before.py:
 *
 *	spec_drive --tell LIST
 *
 * LIST is a file with [{"text": a job, "record": what a checkpoint keeps of it or
 * null}, ...].  For each, one line: {"digest", "record", "normal", "again" (the
 * digest of the normal form), "changed" and "refused" (the job held against the
 * record)} or {"fault"}.
 */
#include <fcntl.h>

#include "rekindle/spec.h"
#include "t.h"

#define LIST_MAX (16u << 20)

static enum rk_err
parse(const char *text, struct spec **s, struct rk_why *why)
{
	return spec_parse_text(text, strlen(text), text[0] != '{', s, why);
}

static void
put(json_t *o, const char *key, json_t *v)
{
	t_check(json_object_set_new(o, key, v) == 0);
}

/* All the faults. */
static void
put_why(json_t *o, const char *key, const struct rk_why *why)
{
	char *text = rk_why_text(why);

	put(o, key, json_string(text));
	free(text);
}

static void
put_digest(json_t *o, const char *key, const struct spec *s)
{
	char hex[RK_SHA256_HEX];

	spec_digest(s, hex);
	put(o, key, json_string(hex));
}

static void
compare(json_t *o, const json_t *record, const struct spec *s)
{
	struct rk_why why = {0};
	json_t *changed = NULL;

	if (spec_compare(record, s, &changed, &why) != RK_OK)
		put_why(o, "refused", &why);
	put(o, "changed", changed);
	rk_why_fini(&why);
}

static json_t *
tell(const char *text, const json_t *record)
{
	struct rk_why why = {0};
	struct spec *s = NULL, *again = NULL;
	json_t *o = json_object();

	if (parse(text, &s, &why) != RK_OK) {
		put_why(o, "fault", &why);
		rk_why_fini(&why);
		return o;
	}
	put_digest(o, "digest", s);
	put(o, "record", spec_record(s));
	put(o, "normal", spec_json(s));
	if (spec_parse(json_object_get(o, "normal"), &again, &why) == RK_OK)
		put_digest(o, "again", again);
	else
		put_why(o, "again", &why);
	if (json_is_object(record))
		compare(o, record, s);
	rk_why_fini(&why);
	spec_free(again);
	spec_free(s);
	return o;
}

static void
tell_all(const char *path)
{
	struct rk_why why = {0};
	json_t *list = NULL, *v;
	char *text;
	size_t n, i;

	t_check(rk_read_file(AT_FDCWD, path, LIST_MAX, &text, &n) == RK_OK);
	t_check(rkj_parse_json(text, n, &list, &why) == RK_OK);
	json_array_foreach(list, i, v) {
		json_t *o = tell(json_string_value(json_object_get(v, "text")),
		    json_object_get(v, "record"));
		char *line = rkj_text(o);
		printf("%s\n", line);
		free(line);
		json_decref(o);
	}
	json_decref(list);
	free(text);
}

__attribute__((constructor)) static void
drive_main(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[1], "--tell") != 0)
		return;
	tell_all(argv[2]);
	fflush(stdout);
	_exit(0);
}

T_CASE(what_is_told_of_a_job_holds_against_itself)
{
	static const char job[] = "name: j\nmodel: {arch: lenet5}\ntraining: "
	    "{steps: 1}\ndata: {train: {type: csv, path: /none, label: y}}\n";
	json_t *a = tell(job, NULL);
	json_t *b = tell(job, json_object_get(a, "record"));

	t_eq_str(json_string_value(json_object_get(a, "again")),
	    json_string_value(json_object_get(b, "digest")));
	t_check(json_object_size(json_object_get(b, "changed")) == 0);
	t_check(json_object_get(b, "refused") == NULL);
	json_decref(a);
	json_decref(b);
	a = tell("name: 1j", NULL);
	t_has(json_string_value(json_object_get(a, "fault")), "model");
	json_decref(a);
}

T_MAIN
