/* Where aliases go: what they remember, and when a version is better. */
#include "models_world.h"

/* --- what an alias remembers ---------------------------------------------- */

/* Words of moves: "3" to version 3, "<2" back to it, "-" taken away.  What is
 * remembered then, as text. */
static void
remembers(const char *const *moves, const char *want)
{
	json_t *before = json_array();
	int64_t at = 0;

	for (size_t i = 0; moves[i] != NULL; i++) {
		const bool back = moves[i][0] == '<';
		const bool away = moves[i][0] == '-';
		const int64_t to = away ? 0 : atoi(moves[i] + back);
		alias_remember(before, back ? HOW_ROLLBACK : away ?
		    HOW_REMOVED : HOW_MOVED, at, to);
		at = to;
	}
	char *text = rkj_text(before);
	t_eq_str(text, want);
	free(text);
	json_decref(before);
}
#define REMEMBERS(want, ...) \
	remembers((const char *const[]){ __VA_ARGS__, NULL }, want)

T_CASE(a_move_remembers_where_the_alias_was_and_a_rollback_forgets_it)
{
	REMEMBERS("[]", "1");
	REMEMBERS("[1,2]", "1", "2", "3");
	REMEMBERS("[1]", "1", "2", "3", "<2");
	REMEMBERS("[]", "1", "2", "3", "<2", "<1");
	REMEMBERS("[2]", "1", "2", "3", "<2", "<1", "<2", "2", "3");
}

T_CASE(a_rollback_that_passes_over_versions_forgets_them_too)
{
	REMEMBERS("[]", "1", "2", "3", "4", "<1");
	REMEMBERS("[1,2]", "1", "2", "1", "2", "3", "<1");
}

T_CASE(an_alias_that_was_taken_away_remembers_where_it_was)
{
	REMEMBERS("[1,2]", "1", "2", "-");
	REMEMBERS("[1]", "1", "2", "-", "<2");
	REMEMBERS("[1,2]", "1", "2", "-", "3");
}

T_CASE(an_alias_remembers_a_thousand_places)
{
	json_t *before = json_array();

	for (int i = 1; i <= 1500; i++)
		alias_remember(before, HOW_MOVED, i, i + 1);
	t_eq_int(json_array_size(before), 1000);
	t_eq_int(json_integer_value(json_array_get(before, 0)), 501);
	t_eq_int(json_integer_value(json_array_get(before, 999)), 1500);
	json_decref(before);
}

/* --- what is better ------------------------------------------------------- */

T_CASE(of_losses_and_errors_less_is_better)
{
	static const char *const costs[] = { "loss", "val_loss", "error",
	    "top1_error", "mae", "val_ece" };
	static const char *const gains[] = { "accuracy", "val_macro_f1",
	    "losses_won", "top5" };

	for (size_t i = 0; i < RK_ARRAY_LEN(costs); i++)
		t_check(metric_is_cost(costs[i]));
	for (size_t i = 0; i < RK_ARRAY_LEN(gains); i++)
		t_check(!metric_is_cost(gains[i]));
}

static void
evaluated(struct node *n, int64_t version, const char *data, double x)
{
	static int id;
	char *text = xasprintf("{\"event\": \"evaluated\", \"version\": %lld, "
	    "\"job\": \"j\", \"data\": {\"digest\": \"%s\"}, \"metrics\": "
	    "{\"accuracy\": %g}}", (long long)version, data, x), name[32];

	snprintf(name, sizeof(name), "eval-%d", id++);
	struct told t = m_append(n, "tiles", name, text);
	t_eq_int(t.rc, RK_OK);
	json_decref(t.said);
	free(text);
}

static enum rk_err
better(struct node *n, int64_t version, int64_t current, const char *metric,
    const char *said)
{
	struct rk_why why = { 0 };
	json_t *v = NULL;
	enum rk_err rc = models_better(n->models, "tiles", version, current,
	    metric, &v, &why);

	t_check((rc == RK_OK) == (v != NULL));
	if (rc != RK_OK)
		t_has(rk_why_first(&why), said);
	else
		t_eq_str(json_string_value(json_object_get(v, "data")), said);
	json_decref(v);
	rk_why_fini(&why);
	return rc;
}

T_CASE(versions_are_compared_on_data_that_both_were_measured_on)
{
	struct node n;

	m_open(&n, "a");
	t_eq_int(m_version(&n, "tiles", "f1", 0.8), 1);
	t_eq_int(m_version(&n, "tiles", "f2", 0.9), 2);
	t_eq_int(better(&n, 2, 1, "val_accuracy", "d1"), RK_OK);
	t_eq_int(better(&n, 2, 1, "accuracy", "d1"), RK_OK);
	t_eq_int(better(&n, 1, 2, "accuracy", "more is better"), RK_ECONFLICT);
	t_eq_int(better(&n, 1, 1, "accuracy", "more is better"), RK_ECONFLICT);
	t_eq_int(better(&n, 2, 1, "val_loss", "has none"), RK_ECONFLICT);
	/* The newest evaluation of both counts, and not the record. */
	evaluated(&n, 1, "d2", 0.7);
	t_eq_int(better(&n, 2, 1, "accuracy", "d1"), RK_OK);
	evaluated(&n, 2, "d2", 0.6);
	t_eq_int(better(&n, 2, 1, "accuracy", "is 0.6"), RK_ECONFLICT);
	evaluated(&n, 2, "d2", 0.75);
	t_eq_int(better(&n, 2, 1, "accuracy", "d2"), RK_OK);
	m_close(&n);
}

T_CASE(a_refused_move_and_one_that_changes_nothing_write_nothing)
{
	const struct models_move to = { .version = 1, .if_better = "accuracy" };
	const struct models_by by = { "once", "ana", "" };
	struct told t = { 0 };
	struct node n;

	m_open(&n, "a");
	t_eq_int(m_version(&n, "tiles", "f1", 0.8), 1);
	t_eq_int(m_version(&n, "tiles", "f2", 0.9), 2);
	m_move(&n, "tiles", "p", 2, "moved");
	models_move(n.models, "tiles", "p", &to, &by, m_told, &t);
	run_until(n.loop, t.is);
	t_eq_int(t.rc, RK_ECONFLICT);
	const struct models_move same = { .version = 2, .if_better = "x" };
	t = (struct told){ 0 };
	models_move(n.models, "tiles", "p", &same, &by, m_told, &t);
	run_until(n.loop, t.is);
	t_eq_int(t.rc, RK_OK);
	t_check(t.said == NULL);
	struct model_row r = m_row(&n, "tiles");
	t_eq_int(r.seq, 3);
	store_model_fini(&r);
	m_close(&n);
}

/* Who asked has gone: what he asked for is done. */
T_CASE(a_move_that_nobody_waits_for_is_made)
{
	const struct models_move to = { .version = 1 };
	const struct models_by by = { "once", "ana", "" };
	struct told t = { 0 };
	struct node n;

	m_open(&n, "a");
	t_eq_int(m_version(&n, "tiles", "f1", 0.8), 1);
	models_move(n.models, "tiles", "p", &to, &by, m_told, &t);
	models_forget(n.models, &t);
	u_until(system("test -e bucket/models/tiles/log/0000000002.json") == 0,
	    run_for(n.loop, 5));
	m_read(&n, "tiles");
	t_eq_int(m_which(&n, "tiles@p"), 1);
	t_check(!t.is);
	m_close(&n);
}

T_MAIN
