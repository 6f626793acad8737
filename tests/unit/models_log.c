/* A model's log: appended to, read, and what may be wrong with it. */
#include "models_world.h"

T_CASE(what_one_appends_another_reads)
{
	struct node a, b;

	m_open(&a, "a");
	m_open(&b, "b");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	m_move(&a, "tiles", "production", 1, "moved");
	m_read(&b, "tiles");
	t_eq_int(m_which(&b, "model://tiles@production"), 1);
	t_eq_int(m_version(&b, "tiles", "f2", 0.9), 2);
	/* a's copy is old: it is brought up to date by who was quicker. */
	t_eq_int(m_version(&a, "tiles", "f3", 0.7), 3);
	m_read(&b, NULL);
	t_eq_int(m_which(&b, "tiles"), 3);
	t_eq_int(m_which(&b, "tiles/2"), 2);
	struct model_row r = m_row(&b, "tiles");
	t_eq_int(r.seq, 4);
	t_eq_int(r.bad, 0);
	store_model_fini(&r);
	m_close(&a);
	m_close(&b);
}

T_CASE(an_entry_that_is_there_is_not_written_again)
{
	const char *text = "{\"event\": \"alias\", \"alias\": \"p\", \"version\": "
	    "1, \"how\": \"moved\"}";
	struct node a, b;

	m_open(&a, "a");
	m_open(&b, "b");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	struct told t = m_append(&a, "tiles", "once", text);
	t_eq_int(t.rc, RK_OK);
	t_eq_int(json_integer_value(json_object_get(t.said, "seq")), 2);
	json_decref(t.said);
	t = m_append(&b, "tiles", "once", text);
	t_eq_int(t.rc, RK_OK);
	t_eq_int(json_integer_value(json_object_get(t.said, "seq")), 2);
	json_decref(t.said);
	m_close(&a);
	m_close(&b);
}

/* As everywhere: a key that was used again after a day is another request's. */
T_CASE(an_entry_of_an_idempotency_key_is_the_answer_for_a_day)
{
	static const char *const text = "{\"event\": \"alias\", \"alias\": "
	    "\"p\", \"version\": 1, \"how\": \"moved\"}";
	struct node a;

	m_open(&a, "a");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	m_put("tiles/log/0000000002.json", "{\"format\": 1, \"seq\": 2, \"id\": "
	    "\"key-1\", \"at\": \"2026-01-30T12:00:00Z\", \"event\": "
	    "\"alias\", \"alias\": \"p\", \"how\": \"moved\", "
	    "\"version\": 1}");
	m_read(&a, "tiles");
	for (int i = 0; i < 2; i++) {
		struct told t = m_append(&a, "tiles", "key-1", text);
		t_eq_int(t.rc, RK_OK);
		t_eq_int(json_integer_value(json_object_get(t.said, "seq")),
		    3);
		json_decref(t.said);
	}
	m_close(&a);
}

T_CASE(a_long_log_is_read_whole_and_in_order)
{
	struct node a, b;

	m_open(&a, "a");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	t_eq_int(m_version(&a, "tiles", "f2", 0.8), 2);
	for (int i = 0; i < 100; i++)
		m_move(&a, "tiles", "p", 1 + i % 2, "moved");
	m_open(&b, "b");
	m_read(&b, "tiles");
	struct model_row r = m_row(&b, "tiles");
	t_eq_int(r.seq, 102);
	t_eq_int(r.bad, 0);
	store_model_fini(&r);
	t_eq_int(m_which(&b, "tiles@p"), 2);
	m_close(&a);
	m_close(&b);
}

T_CASE(a_gap_ends_the_log_and_nothing_is_written_behind_it)
{
	struct node a, b;

	m_open(&a, "a");
	for (int i = 1; i <= 40; i++) {
		char folder[8];
		snprintf(folder, sizeof(folder), "f%d", i);
		t_eq_int(m_version(&a, "tiles", folder, 0.8), i);
	}
	t_eq_int(unlink("bucket/models/tiles/log/0000000003.json"), 0);
	m_open(&b, "b");
	m_read(&b, "tiles");
	struct model_row r = m_row(&b, "tiles");
	t_eq_int(r.seq, 2);
	t_has(r.fault, "entry 3 of its log is missing");
	t_has(r.fault, "entry 40 is there");
	store_model_fini(&r);
	t_eq_int(m_which(&b, "tiles"), 2);
	struct told t = m_append(&b, "tiles", "x", "{\"event\": \"deleted\", "
	    "\"version\": 1}");
	t_eq_int(t.rc, RK_ECORRUPT);
	t_has(t.why, "entry 3");
	m_close(&a);
	m_close(&b);
}

T_CASE(entries_that_are_none_count_for_their_number_alone)
{
	struct node a, b;

	m_open(&a, "a");
	m_open(&b, "b");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	m_put("tiles/log/0000000002.json", "{\"format\": 1, \"seq\": 7}");
	m_put("tiles/log/0000000003.json", "nonsense");
	m_put("tiles/log/0000000004.json", "{\"format\": 1, \"seq\": 4, \"id\": "
	    "\"x\", \"at\": \"2026-11-30T12:00:00Z\", \"event\": \"alias\", "
	    "\"alias\": \"p\", \"how\": \"moved\", \"version\": 9}");
	m_read(&b, "tiles");
	struct model_row r = m_row(&b, "tiles");
	t_eq_int(r.seq, 4);
	t_eq_int(r.bad, 3);
	store_model_fini(&r);
	/* Two of them may have been versions. */
	t_eq_int(m_version(&b, "tiles", "f2", 0.8), 4);
	t_eq_int(m_version(&a, "tiles", "f3", 0.8), 5);
	m_close(&a);
	m_close(&b);
}

/* Whoever read an entry before it was spoilt gives the number that those who
 * read it later have passed over. */
T_CASE(an_entry_that_was_spoilt_hides_no_version_behind_it)
{
	struct node a, b;

	m_open(&a, "a");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	m_move(&a, "tiles", "p", 1, "moved");
	m_move(&a, "tiles", "q", 1, "moved");
	m_put("tiles/log/0000000002.json", "spoilt");
	m_open(&b, "b");
	m_read(&b, "tiles");
	t_eq_int(m_version(&a, "tiles", "f2", 0.8), 2);
	m_read(&b, "tiles");
	t_eq_int(m_which(&b, "tiles"), 2);
	t_eq_int(m_version(&b, "tiles", "f3", 0.8), 3);
	m_read(&a, "tiles");
	t_eq_int(m_which(&a, "tiles"), 3);
	m_close(&a);
	m_close(&b);
}

T_CASE(a_number_that_no_log_of_this_length_can_have_is_none)
{
	struct node a;
	struct model_row r;

	m_open(&a, "a");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	m_put("tiles/log/0000000002.json", "{\"format\": 1, \"seq\": 2, \"id\": "
	    "\"x\", \"at\": \"2026-11-30T12:00:00Z\", \"event\": \"version\", "
	    "\"version\": 999999999, \"record\": {\"format\": 1, \"id\": "
	    "\"f2\", \"model\": \"tiles\", \"version\": 999999999, "
	    "\"created_at\": \"2026-11-30T12:00:00.000Z\", \"source\": "
	    "{\"kind\": \"file\"}, \"files\": [{\"name\": "
	    "\"model.safetensors\", \"size\": 3, \"sha256\": \"" M_SHA "\"}], "
	    "\"digest\": \"" M_SHA "\", \"bytes\": 3}}");
	m_read(&a, "tiles");
	r = m_row(&a, "tiles");
	t_eq_int(r.bad, 1);
	store_model_fini(&r);
	t_eq_int(m_version(&a, "tiles", "f3", 0.8), 3);
	m_close(&a);
}

T_CASE(who_has_gone_is_not_told_of_a_look)
{
	struct told first = { 0 }, second = { 0 }, gone = { 0 };
	struct node a;

	m_open(&a, "a");
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? "tiles" : NULL;
		first = second = gone = (struct told){ 0 };
		models_look(a.models, name, 0, m_told, &first);
		models_look(a.models, name, 0, m_told, &gone);
		models_look(a.models, name, 0, m_told, &second);
		models_forget(a.models, &gone);
		run_until(a.loop, first.is && second.is);
		t_check(!gone.is);
	}
	m_close(&a);
}

T_CASE(a_log_that_was_replaced_is_read_anew)
{
	struct node a, b;

	m_open(&a, "a");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	t_eq_int(m_version(&a, "tiles", "f2", 0.8), 2);
	t_eq_int(system("rm -r bucket/models/tiles"), 0);
	m_open(&b, "b");
	t_eq_int(m_version(&b, "tiles", "g1", 0.8), 1);
	m_read(&a, "tiles");
	struct model_row r = m_row(&a, "tiles");
	t_eq_int(r.seq, 1);
	store_model_fini(&r);
	t_eq_int(m_which(&a, "tiles"), 1);
	m_close(&a);
	m_close(&b);
}

T_CASE(what_is_asked_for_is_named_with_what_there_is)
{
	struct rk_why why = { 0 };
	struct models_which w;
	struct node a;

	m_open(&a, "a");
	t_eq_int(m_version(&a, "tiles", "f1", 0.8), 1);
	m_move(&a, "tiles", "production", 1, "moved");
	t_eq_int(models_which(a.models, "tiles@staging", &w, &why), RK_ENOENT);
	t_has(rk_why_first(&why), "it has production (version 1)");
	rk_why_fini(&why);
	t_eq_int(models_which(a.models, "tiles/7", &w, &why), RK_ENOENT);
	t_has(rk_why_first(&why), "its newest is 1");
	rk_why_fini(&why);
	t_eq_int(models_which(a.models, "a/b/c", &w, &why), RK_ENOENT);
	rk_why_fini(&why);
	t_eq_int(models_which(a.models, "../x@p", &w, &why), RK_EINVAL);
	rk_why_fini(&why);
	m_close(&a);
}

T_MAIN
