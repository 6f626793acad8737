/* module: models */
/* What is to be registered, and what is kept of it, whatever JSON that is:
 * read, written and read again they are the same; a record is made of any line
 * of an evaluation, and keeps no user and no query of a server's address. */
#include <stdlib.h>
#include <string.h>

#include "register.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
request(const json_t *v)
{
	struct reg_request r, s;
	struct rk_why why = { 0 };

	if (request_read(v, &r, &why) == RK_OK) {
		json_t *kept = request_json(&r), *again;
		must(request_read(kept, &s, NULL) == RK_OK);
		again = request_json(&s);
		must(json_equal(kept, again));
		json_decref(kept);
		json_decref(again);
		request_fini(&s);
	} else {
		must(why.n > 0);
	}
	request_fini(&r);
	rk_why_fini(&why);
}

static void
files(const json_t *v)
{
	struct staged s, t;

	if (staged_read(&s, v, NULL) != RK_OK)
		return;
	json_t *kept = staged_json(&s), *again;
	must(staged_read(&t, kept, NULL) == RK_OK);
	again = staged_json(&t);
	must(json_equal(kept, again));
	json_decref(kept);
	json_decref(again);
	staged_fini(&s);
	staged_fini(&t);
}

static void
condition(const char *text)
{
	struct spec_condition c;

	if (spec_condition_parse(text, &c, NULL) != RK_OK)
		return;
	must(c.metric[0] != '\0');
	(void)spec_condition_holds(&c, 0.5);
	free(c.metric);
}

static void
address(const char *text)
{
	char *once = lineage_address(text), *twice = lineage_address(once);
	const char *host = strstr(once, "://");

	must(strcmp(once, twice) == 0);
	if (strncmp(once, "https://", 8) == 0)
		must(memchr(host + 3, '@', strcspn(host + 3, "/?#")) == NULL);
	free(once);
	free(twice);
}

static void
record(json_t *v)
{
	const struct reg_request q = { .optimizer = true };
	const struct record_head h = { "m", "i", "", 1, &q };
	const struct job_row r = { .id = "1", .name = (char *)(uintptr_t)"j" };
	static const char job[] = "{\"name\":\"j\",\"model\":{\"arch\":\"mlp\","
	    "\"sizes\":[4,3]},\"training\":{\"epochs\":1},\"data\":{\"train\":"
	    "{\"type\":\"idx\",\"images\":\"/i\",\"labels\":\"/l\"}}}";
	struct ckpt_info i = { .step = 1, .branch = 1,
		.metrics = json_object_get(v, "metrics"),
		.state = json_object_get(v, "state"),
		.classes = json_object_get(v, "classes") };
	char *line = rkj_text(v);
	struct spec *spec = NULL;

	must(spec_parse_text(job, strlen(job), false, &spec, NULL) == RK_OK);
	if (!json_is_object(i.metrics))
		i.metrics = NULL;
	json_t *o = record_of_job(&h, &r, spec, &i, line, strlen(line),
	    json_deep_copy(v));
	lineage_cut(json_object_get(o, "lineage"), 3);
	char *text = rkj_text(o);
	free(text);
	json_decref(o);
	spec_free(spec);
	free(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	json_t *v = NULL;

	if (rkj_parse_json((const char *)p, n, &v, NULL) != RK_OK)
		return 0;
	request(v);
	files(json_object_get(v, "files"));
	const char *text = json_string_value(json_object_get(v, "if"));
	if (text != NULL)
		condition(text);
	text = json_string_value(json_object_get(v, "address"));
	if (text != NULL)
		address(text);
	if (json_is_object(v))
		record(v);
	lineage_scrub(v);
	json_decref(v);
	return 0;
}
