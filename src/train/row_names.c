/* Names of rows, for a warm start that grows: see row_names.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/text.h"
#include "row_names.h"

/* --- which rows ----------------------------------------------------------- */

static bool
is_product(const struct nn_tensor *t)
{
	return !t->is_buffer && t->ndim >= 2 && (t->op == SPEC_OP_linear ||
	    t->op == SPEC_OP_conv2d);
}

static int
layer_len(const char *tensor)
{
	const char *dot = strrchr(tensor, '.');

	return (int)(dot != NULL ? (size_t)(dot - tensor) : strlen(tensor));
}

const char *
row_names_head(const struct nn *n, int *len)
{
	for (size_t i = nn_ntensors(n); i-- > 0;) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		if (!is_product(t) || t->d[0] != nn_outputs(n))
			continue;
		*len = layer_len(t->name);
		return t->name;
	}
	*len = 0;
	return "";
}

enum warm_rows
row_names_of(const struct nn *n, const struct nn_tensor *t)
{
	int len;
	const char *head = row_names_head(n, &len);

	if (t->of_ids)
		return WARM_ROWS_TOKENS;
	return !t->is_buffer && len > 0 && layer_len(t->name) == len &&
	    strncmp(t->name, head, (size_t)len) == 0 && t->d[0] ==
	    nn_outputs(n) ? WARM_ROWS_CLASSES : WARM_ROWS_UNNAMED;
}

int64_t
row_names_places(const struct run *r, int64_t n)
{
	struct nn_want w = memory_want(r, UINT64_MAX);
	const struct spec_grow *g = NULL;
	struct nn *nn = NULL;
	int64_t outputs = n;
	int len = 0;

	w.batch = RK_MAX(w.batch, 1);
	if (nn_outline(&nn, &w, NULL) == RK_OK) {
		const char *head = row_names_head(nn, &len);
		outputs = nn_outputs(nn);
		g = len > 0 ? spec_grow_of(&r->spec->model.warm, head) : NULL;
	}
	nn_free(nn);
	if (g != NULL && g->match == SPEC_GROW_NAME)
		return 0;
	return n <= outputs ? n : g != NULL ? outputs : 0;
}

/* --- files ---------------------------------------------------------------- */

/* The text of a file that a job names, the caller's; false after run_fail(). */
static bool
read_file(struct run *r, const char *field, const char *where, size_t most,
    char **text, size_t *len)
{
	const char *path = spec_is_address(where) ? place_of(r, where) : where;

	if (path == NULL)
		return place_missing(r, field, where);
	const enum rk_err rc = rk_read_file(AT_FDCWD, path, most, text, len);
	if (rc == RK_OK)
		return true;
	char *sentence = rc == RK_ELIMIT ? rk_too_long(where, most) :
	    xasprintf("cannot read %s: %s", where, rk_strerror(rc));
	run_fail(r, "warm_start", rc != RK_EIO && rc != RK_ENOMEM, "%s: %s",
	    field, sentence);
	free(sentence);
	return false;
}

static json_t *
json_of(const struct spec_names *n)
{
	json_t *list = json_array();

	for (int64_t i = 0; i < n->n; i++)
		must(json_array_append_new(list, js_text(n->v[i])) == 0);
	return list;
}

/* model.checkpoint_classes; NULL after run_fail(). */
static json_t *
classes_of_file(struct run *r, const char *where)
{
	struct spec_names names = {0};
	struct rk_why why = {0};
	json_t *list = NULL;
	char *text = NULL;
	size_t len = 0;

	if (!read_file(r, "model.checkpoint_classes", where,
	    SPEC_CLASSES_BYTES, &text, &len))
		return NULL;
	if (spec_names_of_text(text, len, &names, &why) == RK_OK)
		list = json_of(&names);
	else
		run_fail(r, "warm_start", true, "model.checkpoint_classes: %s "
		    "%s", where, rk_why_first(&why));
	spec_names_fini(&names);
	rk_why_fini(&why);
	free(text);
	return list;
}

bool
row_names_classes(struct run *r)
{
	const struct spec_names *said = &r->spec->model.warm.classes;
	json_t *list;

	if (said->n == 0 && said->file == NULL)
		return true;
	list = said->n > 0 ? json_of(said) : classes_of_file(r, said->file);
	if (list == NULL)
		return false;
	json_decref(r->warm_model.told);
	r->warm_model.told = r->warm_model.classes;
	r->warm_model.classes = list;
	return true;
}

/* --- vocabularies --------------------------------------------------------- */

/* A token a line, in place: lines become texts. */
static bool
split_tokens(struct run *r, const char *field, const char *where, char *text,
    size_t len, struct warm_names *out)
{
	const char **v = NULL;
	size_t cap = 0, n = 0;

	if (memchr(text, '\0', len) != NULL)
		return run_fail(r, "warm_start", true, "%s: %s has a NUL in "
		    "it, want a token a line", field, where);
	for (char *s = text, *next; *s != '\0'; s = next) {
		char *eol = strchr(s, '\n');
		next = eol != NULL ? eol + 1 : s + strlen(s);
		if (eol != NULL)
			*eol = '\0';
		if (s[0] != '\0' && s[strlen(s) - 1] == '\r')
			s[strlen(s) - 1] = '\0';
		if (n == cap) {
			cap = cap > 0 ? 2 * cap : 1024;
			v = xrealloc(v, cap * sizeof(*v));
		}
		v[n++] = s;
		if (n > TEXT_MAX_TOKENS) {
			free(v);
			return run_fail(r, "warm_start", true, "%s: %s has "
			    "more than %d tokens", field, where,
			    TEXT_MAX_TOKENS);
		}
	}
	*out = (struct warm_names){ v, (int64_t)n };
	return true;
}

char *
row_names_vocabulary(const struct run *r)
{
	const int64_t n = r->train != NULL ? r->train->vocabulary : 0;
	struct strbuf b = {0};

	for (int64_t i = 0; i < n; i++) {
		size_t len;
		const char *token = data_token(r->train, i, &len);
		if (token == NULL)
			break;
		sb_addf(&b, "%s%.*s", i > 0 ? "\n" : "", (int)len, token);
	}
	return b.len > 0 ? sb_detach(&b) : NULL;
}

/* What the job says, else what the file tells. */
static bool
open_tokens(struct run *r, struct row_names *n)
{
	static const char field[] = "model.checkpoint_vocabulary";
	const char *where = r->spec->model.warm.vocabulary;
	const char *told = warm_file_meta(r->warm, VOCABULARY_META);
	size_t len = 0;

	if (where != NULL && !read_file(r, field, where, TEXT_MAX_FILE,
	    &n->texts[0], &len))
		return false;
	if (where == NULL && told != NULL) {
		n->texts[0] = xstrdup(told);
		len = strlen(told);
		where = "the file";
	}
	n->texts[1] = row_names_vocabulary(r);
	return (n->texts[0] == NULL || split_tokens(r, field, where,
	    n->texts[0], len, &n->tokens.file)) && (n->texts[1] == NULL ||
	    split_tokens(r, "data.train.tokenizer.vocabulary", "it",
	    n->texts[1], strlen(n->texts[1]), &n->tokens.model));
}

/* --- all ------------------------------------------------------------------ */

static void
borrow(const json_t *list, struct warm_names *out)
{
	const size_t n = json_array_size(list);
	const char **v = xcalloc(n + 1, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = json_string_value(json_array_get(list, i));
	*out = (struct warm_names){ v, (int64_t)n };
}

bool
row_names_open(struct run *r, struct row_names *n)
{
	const struct spec_warm *s = &r->spec->model.warm;

	*n = (struct row_names){0};
	n->lists[0] = json_incref(r->warm_model.classes);
	n->lists[2] = json_incref(r->warm_model.told);
	n->lists[1] = r->train != NULL ? input_classes(r) : NULL;
	borrow(n->lists[0], &n->classes.file);
	borrow(n->lists[1], &n->classes.model);
	borrow(n->lists[2], &n->told);
	return s->ngrow == 0 || open_tokens(r, n);
}

void
row_names_close(struct row_names *n)
{
	const struct warm_names *const all[] = { &n->classes.file,
		&n->classes.model, &n->tokens.file, &n->tokens.model,
		&n->told };

	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		free((void *)(uintptr_t)all[i]->v);
	for (size_t i = 0; i < RK_ARRAY_LEN(n->lists); i++)
		json_decref(n->lists[i]);
	for (size_t i = 0; i < RK_ARRAY_LEN(n->texts); i++)
		free(n->texts[i]);
	*n = (struct row_names){0};
}
