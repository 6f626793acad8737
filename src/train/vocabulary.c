/* --make-vocabulary: a vocabulary file of the texts that a job trains on. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* Where it goes: what the command line says, or where the job looks for it. */
static const char *
place_for(struct run *r)
{
	const char *job = r->spec->data.train.text.vocabulary;

	if (r->o->out != NULL)
		return r->o->out;
	if (job == NULL) {
		run_fail(r, "bad_spec", true, "data.train.tokenizer has no "
		    "vocabulary: say where it goes, behind the job's file");
		return NULL;
	}
	if (spec_is_address(job)) {
		run_fail(r, "bad_spec", true, "data.train.tokenizer.vocabulary "
		    "is %s: say where the file goes, behind the job's file",
		    job);
		return NULL;
	}
	return job;
}

/* A vocabulary decides what the tokens of a checkpoint mean, so the job's own
 * is not replaced by another without a word. */
static bool
may_replace(struct run *r, const char *path, const struct strbuf *made)
{
	char *text = NULL;
	size_t n = 0;
	const enum rk_err rc = rk_read_file(AT_FDCWD, path, SIZE_MAX / 2, &text,
	    &n);
	const bool same = rc == RK_OK && n == made->len &&
	    memcmp(text, made->s, n) == 0;

	free(text);
	if (rc == RK_ENOENT || same || r->o->out != NULL)
		return true;
	return run_fail(r, "bad_spec", true, "%s is there and is another: "
	    "remove it, or say another place behind the job's file", path);
}

static bool
write_file(struct run *r, const char *path, const struct strbuf *made)
{
	struct rk_why why = {0};
	const enum rk_err rc = rk_replace_path(path, made->s, made->len, &why);

	if (rc != RK_OK)
		run_fail(r, "io", false, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return rc == RK_OK;
}

static void
forget_vocabulary(struct spec_source *s)
{
	free(s->text.vocabulary);
	s->text.vocabulary = NULL;
}

static bool
make(struct run *r, bool wordpiece, const char *path)
{
	struct data_vocabulary made = {0};
	struct rk_why why = {0};
	struct strbuf file = {0};
	struct spec_data local;

	/* The file that is to be made is not there to be found. */
	forget_vocabulary(&r->spec->data.train);
	forget_vocabulary(&r->spec->data.validation);
	if (!place_data(r, &local))
		return false;
	const enum rk_err rc = data_make_vocabulary(&local, wordpiece,
	    r->o->size, &file, &made, &why);
	bool ok = rc == RK_OK;
	if (!ok)
		run_fail(r, "bad_data", rc == RK_EINVAL, "%s",
		    rk_why_first(&why));
	rk_why_fini(&why);
	ok = ok && may_replace(r, path, &file) && write_file(r, path, &file);
	if (ok)
		printf("%s: %lld tokens, of %lld words in %lld training "
		    "texts\n", path, (long long)made.tokens,
		    (long long)made.words, (long long)made.samples);
	sb_fini(&file);
	return ok;
}

bool
vocabulary_make(struct run *r)
{
	const struct spec_source *s = &r->spec->data.train;
	const char *kind = r->o->kind;

	if (s->type != SPEC_TEXT)
		return run_fail(r, "bad_spec", true, "data.train is of no "
		    "texts, of which a vocabulary could be made: want type "
		    "text");
	if (kind == NULL && s->text.tokenizer == SPEC_BYTES)
		return run_fail(r, "bad_spec", true, "data.train.tokenizer is "
		    "bytes, which has no vocabulary: say --kind words or "
		    "wordpiece");
	const bool wordpiece = kind != NULL ? strcmp(kind, "wordpiece") == 0 :
	    s->text.tokenizer == SPEC_WORDPIECE;
	const char *place = place_for(r);
	if (place == NULL)
		return false;
	char *path = xstrdup(place);
	const bool ok = make(r, wordpiece, path);
	free(path);
	return ok;
}
