/*
 * A file of weights that an address leads to: weights show s3://....
 *
 * The daemon fetches it, by its rules and with its credentials, and says what
 * is in it, which is only printed here; or it hands over the file, for what
 * wants it here (weights diff and convert).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli.h"

bool
cli_is_address(const char *s)
{
	static const char *const begin[] = { "s3://", "oss://", "https://",
	    "http://", "model://" };

	for (size_t i = 0; i < RK_ARRAY_LEN(begin); i++)
		if (strncasecmp(s, begin[i], strlen(begin[i])) == 0)
			return true;
	return false;
}

/* "optimizer, exp_avg of 0": what else there is to say of a tensor. */
static char *
what_of(const json_t *t)
{
	const char *role = cli_str(t, "role"), *slot = cli_str(t, "slot");
	const char *alias = cli_str(t, "alias"), *same = cli_str(t, "same_as");
	struct strbuf b = {0};

	if (strcmp(role, "model") != 0)
		sb_addf(&b, ", %s", role);
	if (*slot != '\0')
		sb_addf(&b, ", %s of %s", slot, cli_str(t, "of"));
	if (*alias != '\0')
		sb_addf(&b, ", %s", alias);
	if (*same != '\0')
		sb_addf(&b, ", the same as %s", same);
	char *s = xstrdup(b.len > 2 ? b.s + 2 : "");
	sb_fini(&b);
	return s;
}

#define FIGURES 6

static void
put_row(struct cli_table *table, const json_t *t, bool statistics)
{
	static const char *const keys[FIGURES] = { "min", "max", "mean",
	    "std", "nans", "infinities" };
	char numbers[FIGURES][32], sha256[17];
	char *shape = cli_value(t, "shape");
	char *what = what_of(t);
	const char *cells[4 + FIGURES + 1];
	size_t n = 0;

	cells[n++] = cli_str(t, "name");
	cells[n++] = cli_str(t, "dtype");
	cells[n++] = shape;
	for (size_t i = 0; statistics && i < FIGURES; i++) {
		const double x = cli_num(t, keys[i], NAN);
		if (isnan(x))
			snprintf(numbers[i], sizeof(numbers[i]), "-");
		else
			snprintf(numbers[i], sizeof(numbers[i]), "%.4g", x);
		cells[n++] = numbers[i];
	}
	if (statistics) {
		snprintf(sha256, sizeof(sha256), "%s", cli_str(t, "sha256"));
		cells[n++] = sha256;
	}
	cells[n++] = what;
	cli_table_row(table, n, cells);
	free(shape);
	free(what);
}

static void
print_weights(const json_t *w, bool statistics)
{
	static const char *const plain[] = { "TENSOR", "DTYPE", "SHAPE",
	    "WHAT" };
	static const char *const all[] = { "TENSOR", "DTYPE", "SHAPE", "MIN",
	    "MAX", "MEAN", "STD", "NAN", "INF", "SHA256", "WHAT" };
	const json_t *tensors = json_object_get(w, "tensors"), *v;
	const char *writer = cli_str(w, "writer");
	char size[RK_HUMAN], count[RK_HUMAN];
	struct cli_table table = {0};
	size_t i;

	printf("%s: %s, %s%s%s\n%zu tensor%s; the model has %s elements\n",
	    cli_str(w, "path"), cli_str(w, "format"), rk_human_bytes(size,
	    (uint64_t)cli_num(w, "size", 0)), *writer != '\0' ?
	    ", written by " : "", writer, json_array_size(tensors),
	    rk_s((int64_t)json_array_size(tensors)), rk_group_digits(count,
	    (int64_t)cli_num(w, "parameters", 0)));
	json_array_foreach(json_object_get(w, "notes"), i, v)
		printf("note: %s\n", cli_text(v));
	if (json_array_size(tensors) > 0)
		cli_table_row(&table, statistics ? RK_ARRAY_LEN(all) :
		    RK_ARRAY_LEN(plain), statistics ? all : plain);
	json_array_foreach(tensors, i, v)
		put_row(&table, v, statistics);
	if (json_array_size(tensors) > 0)
		cli_table_print(&table);
}

enum cli_exit
cli_weights_address(const struct cli_args *a, const char *address)
{
	struct cli_reply r = {0};
	char *whole = a->member != NULL ? xasprintf("%s#member=%s", address,
	    a->member) : xstrdup(address);
	json_t *body = json_pack("{s:s, s:b}", "address", whole, "statistics",
	    a->statistics);

	free(whole);
	if (body == NULL) {
		fprintf(stderr, "rekindle: the address is no UTF-8\n");
		return CLI_USAGE;
	}
	const enum cli_exit rc = cli_call("POST", "/v1/weights/inspect", body,
	    &r);
	json_decref(body);
	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		print_weights(r.json, a->statistics);
	cli_reply_fini(&r);
	return rc;
}

/* --- its bytes ------------------------------------------------------------ */

struct arriving {
	int fd;
	bool begun;
	int error;                      /* errno of a write; 0 */
};

static bool
arrives(void *ctx, const char *p, size_t n)
{
	struct arriving *a = ctx;

	a->begun = true;
	if (rk_write_all(a->fd, p, n) == 0)
		return true;
	a->error = errno;
	return false;
}

/* A file without a name where there is room for a model; -1, said. */
static int
room(void)
{
	const char *dir = getenv("TMPDIR");
	char *path = xasprintf("%s/rekindle-XXXXXX", dir != NULL && *dir !=
	    '\0' ? dir : "/var/tmp");
	const int fd = mkstemp(path);   /* not closed on exec: who reads it is
					   the program that takes our place */

	if (fd < 0)
		fprintf(stderr, "rekindle: cannot make a file in %s: %s\n",
		    path, strerror(errno));
	else
		(void)!unlink(path);
	free(path);
	return fd;
}

static enum cli_exit
judge(const struct arriving *to, const struct cli_ended *e)
{
	struct cli_reply r = {0};
	enum cli_exit rc = CLI_OK;

	if (to->error != 0) {
		fprintf(stderr, "rekindle: cannot keep what comes: %s\n",
		    strerror(to->error));
		rc = CLI_REFUSED;
	} else if (e->end != HTTP_ANSWERED && to->begun) {
		fprintf(stderr, "rekindle: the daemon broke off: %s\n",
		    e->error);
		rc = CLI_REFUSED;
	} else if (e->end != HTTP_ANSWERED) {
		rc = cli_unreachable(cli_why_unreachable(e));
	} else if (e->status != 200) {
		rc = cli_judge(&r, e, false);
	}
	cli_reply_fini(&r);
	return rc;
}

enum cli_exit
cli_weights_fetch(const char *address, char **place)
{
	static const char *const headers[] = { "Content-Type: application/json",
		NULL };
	json_t *tree = json_pack("{s:s}", "address", address);
	struct strbuf said = {0};
	struct cli_ended e = { .body = &said };

	if (tree == NULL) {
		fprintf(stderr, "rekindle: the address is no UTF-8\n");
		return CLI_USAGE;
	}
	struct arriving to = { .fd = room() };
	if (to.fd < 0) {
		json_decref(tree);
		return CLI_REFUSED;
	}
	char *body = rkj_text(tree);
	cli_perform("POST", "/v1/weights/fetch", headers, body, arrives, &to, 0,
	    &e);
	const enum cli_exit rc = judge(&to, &e);
	if (rc == CLI_OK)
		*place = xasprintf("%s=/proc/self/fd/%d", address, to.fd);
	else
		rk_close(&to.fd);
	free(body);
	json_decref(tree);
	sb_fini(&said);
	return rc;
}
