/* export: a checkpoint's file off the daemon, in the form that the file's name
 * says. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* What the daemon calls it, by the name or else by how that ends. */
static const char *
served_as(const char *path)
{
	static const char *const files[] = { "model.pdparams", "model.pdopt",
		"model.pt", "optimizer.pt", "model.safetensors",
		"optimizer.safetensors", "checkpoint.json" };
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; i < RK_ARRAY_LEN(files); i++)
		if (strcmp(files[i], name) == 0)
			return files[i];
	for (size_t i = 0; dot != NULL && i < RK_ARRAY_LEN(files); i++)
		if (strcmp(strrchr(files[i], '.'), dot) == 0)
			return files[i];
	return NULL;
}

struct arriving {
	struct rk_replacing f;
	uint64_t bytes;
	int error;                      /* errno of a write; 0 */
};

static bool
arrives(void *ctx, const char *p, size_t n)
{
	struct arriving *a = ctx;

	if (rk_write_all(a->f.fd, p, n) != 0) {
		a->error = errno;
		return false;
	}
	a->bytes += n;
	return true;
}

/* Nothing is left where not all has come. */
static enum cli_exit
judge(struct arriving *a, const struct cli_ended *e, const char *path)
{
	struct rk_why why = {0};
	struct cli_reply r = {0};
	const bool whole = e->end == HTTP_ANSWERED && e->status == 200;
	enum cli_exit rc = CLI_OK;

	if (rk_replacing_end(&a->f, whole, &why) != RK_OK) {
		fprintf(stderr, "rekindle: %s\n", rk_why_first(&why));
		rc = CLI_REFUSED;
	} else if (a->error != 0) {
		fprintf(stderr, "rekindle: cannot write %s: %s\n", path,
		    strerror(a->error));
		rc = CLI_REFUSED;
	} else if (e->end != HTTP_ANSWERED && a->bytes > 0) {
		fprintf(stderr, "rekindle: the daemon broke off: %s\n",
		    e->error);
		rc = CLI_REFUSED;
	} else if (e->end != HTTP_ANSWERED) {
		rc = cli_unreachable(cli_why_unreachable(e));
	} else if (!whole) {
		rc = cli_judge(&r, e, false);
	}
	rk_why_fini(&why);
	cli_reply_fini(&r);
	return rc;
}

enum cli_exit
cmd_export(const struct cli_args *a)
{
	static const char *const headers[] = { NULL };
	const char *out = a->pos[1], *file = served_as(out);
	struct arriving to = {0};
	struct rk_why why = {0};
	struct strbuf body = {0};
	struct cli_ended e = { .body = &body };
	char id[RK_ID];

	if (file == NULL) {
		fprintf(stderr, "rekindle: %s: want a name that ends in "
		    ".safetensors, .pdparams, .pdopt or .pt\n", out);
		return CLI_USAGE;
	}
	enum cli_exit rc = cli_find_job(a->pos[0], id);
	if (rc != CLI_OK)
		return rc;
	const enum rk_err rk = rk_replacing_begin(&to.f, out, a->force ?
	    RK_REPLACE_OLD : RK_KEEP_OLD, &why);
	if (rk != RK_OK) {
		fprintf(stderr, "rekindle: %s%s\n", rk_why_first(&why),
		    rk == RK_EEXIST ? CLI_SAY_FORCE : "");
		rk_why_fini(&why);
		return CLI_REFUSED;
	}
	char *which = cli_escape(a->from != NULL ? a->from : "latest");
	char *path = xasprintf("/v1/jobs/%s/checkpoints/%s/files/%s", id,
	    which, file);
	cli_perform("GET", path, headers, NULL, arrives, &to, 0, &e);
	rc = judge(&to, &e, out);
	if (rc == CLI_OK)
		printf("%s: %llu bytes\n", out, (unsigned long long)to.bytes);
	free(path);
	free(which);
	sb_fini(&body);
	return rc;
}
