/* rekindle models show: all about a version. */
#include <stdlib.h>
#include <string.h>

#include "models.h"

#define CLASSES_SHOWN 50
#define EVALUATIONS_SHOWN 10

static void
line(const char *key, const char *value)
{
	char *shown = models_line(value);

	if (*shown != '\0')
		printf("%-12s %s\n", key, shown);
	free(shown);
}

static void
show_metrics(const json_t *v)
{
	const char *name;
	json_t *m;

	json_object_foreach(json_object_get(v, "metrics"), name, m) {
		char *shown = models_line(name);
		if (json_is_number(m))
			printf("  %-20s %.6g\n", shown, json_number_value(m));
		free(shown);
	}
}

/* "night shift, 0123456789ab: accuracy 0.8833, loss 0.33", newest first. */
static void
show_evaluations(const json_t *v)
{
	const json_t *list = json_object_get(v, "evaluations"), *e;
	struct strbuf b = {0};
	const char *name;
	json_t *m;
	size_t i;

	json_array_foreach(list, i, e) {
		const json_t *data = json_object_get(e, "data");
		const char *source = cli_str(data, "source");
		if (i == EVALUATIONS_SHOWN)
			break;
		sb_reset(&b);
		sb_addf(&b, "%s%s%.12s:", source, *source != '\0' ? ", " : "",
		    cli_str(data, "digest"));
		json_object_foreach(json_object_get(e, "metrics"), name, m)
			if (json_is_number(m))
				sb_addf(&b, " %s %.4g", name,
				    json_number_value(m));
		line("evaluated", sb_str(&b));
	}
	sb_fini(&b);
}

static void
show_classes(const json_t *v)
{
	const json_t *classes = json_object_get(v, "classes"), *c;
	struct strbuf b = {0};
	size_t i;

	json_array_foreach(classes, i, c) {
		if (i == CLASSES_SHOWN) {
			sb_addf(&b, ", and %zu more",
			    json_array_size(classes) - i);
			break;
		}
		sb_addf(&b, "%s%s", i > 0 ? ", " : "", cli_text(c));
	}
	line("classes", sb_str(&b));
	sb_fini(&b);
}

static void
show_source(const json_t *v)
{
	const json_t *s = json_object_get(v, "source");
	const char *address = cli_str(s, "address");
	char *text = *address != '\0' ? xasprintf("%s, sha256 %s", address,
	    cli_str(s, "sha256")) : xasprintf("job %s (%s), checkpoint %s",
	    cli_str(s, "name"), cli_str(s, "job"), cli_str(s, "checkpoint"));

	if (json_is_object(s))
		line("from", text);
	free(text);
}

static void
show_files(const json_t *v)
{
	static const char *const head[] = { "FILE", "SIZE", "SHA256" };
	const json_t *f, *files = json_object_get(v, "files");
	struct cli_table t = {0};
	size_t i;

	if (json_array_size(files) == 0)
		return;
	cli_table_row(&t, RK_ARRAY_LEN(head), head);
	json_array_foreach(files, i, f) {
		char size[RK_HUMAN];
		rk_human_bytes(size, (uint64_t)RK_MAX(cli_num(f, "size", 0),
		    0));
		const char *cells[] = { cli_str(f, "name"), size, cli_str(f,
		    "sha256") };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
	}
	cli_table_print(&t);
}

static void
show_notes(const char *s)
{
	while (*s != '\0') {
		const size_t n = strcspn(s, "\n");
		char *one = xstrndup(s, n), *shown = models_line(one);
		printf("%-12s %s\n", "notes", shown);
		free(one);
		free(shown);
		s += n + (s[n] == '\n');
	}
}

static void
show_version(const json_t *v)
{
	const json_t *data = json_object_get(v, "data");
	struct strbuf aliases = {0};
	char *name = models_label(v), size[RK_HUMAN];
	char *labels = cli_value(v, "labels");

	models_put_aliases(&aliases, v);
	line("version", name);
	if (json_is_true(json_object_get(v, "deleted")))
		line("deleted", "its files are gone; its record stays");
	line("aliases", sb_str(&aliases));
	line("made", cli_str(v, "created_at"));
	line("author", cli_str(v, "author"));
	line("instance", cli_str(v, "instance"));
	line("labels", strcmp(labels, "{}") != 0 ? labels : "");
	line("arch", cli_str(v, "arch"));
	show_classes(v);
	show_source(v);
	line("data", cli_str(data, "source"));
	line("train data", cli_str(json_object_get(data, "train"), "digest"));
	line("valid. data", cli_str(json_object_get(data, "validation"),
	    "digest"));
	line("format", cli_str(v, "model_format"));
	line("size", rk_human_bytes(size, (uint64_t)RK_MAX(cli_num(v, "bytes",
	    0), 0)));
	show_notes(cli_str(v, "notes"));
	if (json_object_size(json_object_get(v, "metrics")) > 0)
		printf("metrics\n");
	show_metrics(v);
	show_evaluations(v);
	show_files(v);
	sb_fini(&aliases);
	free(labels);
	free(name);
}

enum cli_exit
models_show(const struct cli_args *a)
{
	struct cli_reply r;
	const enum cli_exit rc = which_get(a->pos[0], "", &r);

	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		show_version(r.json);
	if (rc == CLI_OK)
		models_say_age(r.json);
	cli_reply_fini(&r);
	return rc;
}
