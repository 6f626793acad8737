/* The control protocol: lines to messages, and the line between two ends. */
#include <sys/socket.h>

#include "rekindle/wire.h"
#include "t.h"

/* Parse text, which must be refused with a sentence that has `part`. */
static void
refused(const char *text, const char *part)
{
	struct wire_msg m;
	struct rk_why why = {0};

	t_eq_int(wire_parse(text, strlen(text), &m, &why), RK_EINVAL);
	char *all = rk_why_text(&why);
	t_has(all, part);
	free(all);
	rk_why_fini(&why);
}

static struct wire_msg
parsed(const char *text)
{
	struct wire_msg m;
	struct rk_why why = {0};

	if (wire_parse(text, strlen(text), &m, &why) != RK_OK)
		t_fail("%s: %s", text, rk_why_first(&why));
	return m;
}

T_CASE(a_hello_carries_all_its_fields)
{
	struct wire_msg m = parsed("{\"type\":\"hello\",\"version\":1,"
	    "\"pid\":42,\"producer\":\"rekindle-train 0.1.0\","
	    "\"from\":\"step-000000500\",\"step\":500,\"epoch\":2,"
	    "\"steps_total\":9000,\"epochs_total\":5,\"parameters\":203530,"
	    "\"branch\":2,\"arithmetic\":{\"gemm\":\"oneDNN 2.6.3\"},"
	    "\"inexact\":{\"reason\":\"arithmetic_changed\"}}");

	t_check(json_object_size(m.arithmetic) == 1);
	t_check(json_object_size(m.inexact) == 1);
	t_eq_int(m.type, WIRE_HELLO);
	t_eq_int(m.pid, 42);
	t_eq_str(m.from, "step-000000500");
	t_eq_int(m.step, 500);
	t_eq_int(m.steps_total, 9000);
	t_eq_int(m.parameters, 203530);
	t_eq_int(m.branch, 2);
	wire_msg_fini(&m);
}

T_CASE(strings_left_out_are_empty_and_objects_null)
{
	struct wire_msg m = parsed("{\"type\":\"checkpoint\"}");

	t_eq_str(m.name, "");
	t_eq_str(m.checkpoint, "");
	t_check(m.metrics == NULL);
	wire_msg_fini(&m);
}

T_CASE(a_progress_without_loss_says_so)
{
	struct wire_msg m = parsed("{\"type\":\"progress\",\"step\":3,"
	    "\"loss\":null,\"accuracy\":0.5}");

	t_check(!m.has_loss);
	t_check(m.has_accuracy);
	t_near(m.accuracy, 0.5, 0);
	wire_msg_fini(&m);
}

T_CASE(words_become_levels_and_outcomes)
{
	struct wire_msg m = parsed("{\"type\":\"log\",\"level\":\"warn\","
	    "\"message\":\"hot\"}");
	t_eq_int(m.level, LOG_L_WARN);
	wire_msg_fini(&m);

	m = parsed("{\"type\":\"log\",\"message\":\"plain\"}");
	t_eq_int(m.level, LOG_L_INFO);
	wire_msg_fini(&m);

	m = parsed("{\"type\":\"alive\"}");
	t_eq_int(m.type, WIRE_ALIVE);
	wire_msg_fini(&m);

	m = parsed("{\"type\":\"done\",\"outcome\":\"paused\",\"step\":7}");
	t_eq_int(m.outcome, WIRE_PAUSED);
	wire_msg_fini(&m);

	m = parsed("{\"type\":\"failed\",\"reason\":\"disk_full\","
	    "\"permanent\":true}");
	t_check(m.permanent);
	t_eq_str(m.message, "");
	wire_msg_fini(&m);
}

T_CASE(an_unknown_type_and_unknown_fields_are_skipped)
{
	struct wire_msg m = parsed("{\"type\":\"sing\",\"song\":1}");
	t_eq_int(m.type, WIRE_UNKNOWN);
	wire_msg_fini(&m);

	m = parsed("{\"type\":\"progress\",\"step\":1,\"mood\":\"good\"}");
	t_eq_int(m.type, WIRE_PROGRESS);
	wire_msg_fini(&m);
}

T_CASE(nonsense_is_refused_with_a_sentence)
{
	refused("", "");
	refused("hello", "");
	refused("[1,2]", "no object");
	refused("{\"type\":7}", "no object with a \"type\"");
	refused("{\"type\":\"hello\"}", "version: is missing");
	refused("{\"type\":\"hello\",\"version\":2}", "version: is 2");
	refused("{\"type\":\"progress\",\"step\":\"3\"}", "step: is wrong");
	refused("{\"type\":\"progress\",\"step\":-3}", "step: is wrong");
	refused("{\"type\":\"progress\",\"step\":9007199254740993}", "2^53");
	refused("{\"type\":\"event\",\"kind\":\"Two words\","
	    "\"message\":\"\"}", "kind: is wrong");
	refused("{\"type\":\"checkpoint\",\"checkpoint\":\"../../etc\"}",
	    "plain name");
	refused("{\"type\":\"checkpoint\",\"digest\":\"abc\"}", "hex");
	refused("{\"type\":\"done\",\"outcome\":\"bored\"}", "succeeded");
	refused("{\"type\":\"metric\",\"metric\":[]}", "an object");
	refused("{\"type\":\"pause\",\"deadline_seconds\":-1}", "negative");
	refused("{\"type\":\"pause\"}", "is missing");
}

T_CASE(every_fault_of_a_line_is_named)
{
	struct wire_msg m;
	struct rk_why why = {0};
	const char *s = "{\"type\":\"progress\",\"step\":\"x\",\"loss\":\"y\"}";

	t_eq_int(wire_parse(s, strlen(s), &m, &why), RK_EINVAL);
	t_eq_int(why.n, 2);
	rk_why_fini(&why);
}

static void
pair(struct wire **a, struct wire **b)
{
	int fd[2];

	t_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	*a = wire_new(fd[0]);
	*b = wire_new(fd[1]);
}

static json_t *
progress(int64_t step)
{
	return json_pack("{s:I}", "step", (json_int_t)step);
}

T_CASE(messages_arrive_whole_and_in_order)
{
	struct wire *a, *b;
	struct wire_msg m;
	struct rk_why why = {0};
	enum rk_err rc;

	pair(&a, &b);
	for (int i = 0; i < 100; i++)
		t_eq_int(wire_send(a, WIRE_PROGRESS, progress(i)), RK_OK);
	t_check(wire_wait(b, 1000));
	t_eq_int(wire_fill(b), RK_OK);
	for (int i = 0; i < 100; i++) {
		t_check(wire_next(b, &m, &rc, &why));
		t_eq_int(rc, RK_OK);
		t_eq_int(m.step, i);
		wire_msg_fini(&m);
	}
	t_check(!wire_next(b, &m, &rc, &why));
	wire_free(&a);
	wire_free(&b);
	wire_free(&b);
}

T_CASE(a_line_may_come_byte_by_byte)
{
	const char *s = "{\"type\":\"pause\",\"deadline_seconds\":30}\n";
	int fd[2];
	struct wire_msg m;
	enum rk_err rc;

	t_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	struct wire *w = wire_new(fd[0]);
	for (size_t i = 0; s[i] != '\0'; i++) {
		t_check(!wire_next(w, &m, &rc, NULL));
		t_check(write(fd[1], s + i, 1) == 1);
		t_eq_int(wire_fill(w), RK_OK);
	}
	t_check(wire_next(w, &m, &rc, NULL));
	t_eq_int(m.type, WIRE_PAUSE);
	t_near(m.deadline_seconds, 30, 0);
	wire_msg_fini(&m);
	close(fd[1]);
	wire_free(&w);
}

T_CASE(what_was_said_before_the_close_is_still_heard)
{
	struct wire *a, *b;
	struct wire_msg m;
	enum rk_err rc;

	pair(&a, &b);
	t_eq_int(wire_send(a, WIRE_PROGRESS, progress(5)), RK_OK);
	wire_free(&a);
	t_check(wire_wait(b, 1000));
	t_eq_int(wire_fill(b), RK_ENOENT);
	t_check(wire_next(b, &m, &rc, NULL));
	t_eq_int(m.step, 5);
	wire_msg_fini(&m);
	t_check(!wire_next(b, &m, &rc, NULL));
	/* And speaking to nobody is an error, not a signal. */
	t_eq_int(wire_send(b, WIRE_PROGRESS, progress(6)), RK_ENOENT);
	wire_free(&b);
}

T_CASE(a_line_without_end_is_refused_once_and_skipped)
{
	int fd[2];
	char *junk = xmalloc(WIRE_LINE_MAX);
	struct wire_msg m;
	struct rk_why why = {0};
	enum rk_err rc;
	int refusals = 0;
	size_t left = 3 * (size_t)WIRE_LINE_MAX;

	memset(junk, 'x', WIRE_LINE_MAX);
	t_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	struct wire *w = wire_new(fd[0]);
	rk_set_nonblock(fd[1], true);
	while (left > 0) {
		ssize_t n = write(fd[1], junk, RK_MIN(left, WIRE_LINE_MAX));
		if (n > 0)
			left -= (size_t)n;
		t_eq_int(wire_fill(w), RK_OK);
		while (wire_next(w, &m, &rc, &why)) {
			t_eq_int(rc, RK_EINVAL);
			t_eq_int(++refusals, 1);
		}
	}
	t_eq_int(refusals, 1);
	t_has(rk_why_first(&why), "more than");
	const char *s = "\n{\"type\":\"progress\",\"step\":1}\n";
	t_check(write(fd[1], s, strlen(s)) == (ssize_t)strlen(s));
	t_eq_int(wire_fill(w), RK_OK);
	t_check(wire_next(w, &m, &rc, &why));
	t_eq_int(rc, RK_OK);
	t_eq_int(m.step, 1);
	wire_msg_fini(&m);
	rk_why_fini(&why);
	free(junk);
	close(fd[1]);
	wire_free(&w);
}

static json_t *
big_log(size_t n)
{
	char *s = xmalloc(n + 1);

	memset(s, 'a', n);
	s[n] = '\0';
	json_t *v = json_pack("{s:s}", "message", s);
	free(s);
	return v;
}

T_CASE(a_listener_who_is_slow_loses_progress_first)
{
	struct wire *a, *b;
	struct wire_msg m;
	enum rk_err rc;
	int logs = 0, steps = 0, sent = 0;

	pair(&a, &b);
	while (wire_send(a, WIRE_LOG, big_log(WIRE_LINE_MAX / 2)) == RK_OK)
		sent++;
	t_check(wire_pending(a));
	t_eq_int(wire_send(a, WIRE_LOG, big_log(WIRE_LINE_MAX / 2)), RK_ELIMIT);
	t_eq_int(wire_send(a, WIRE_PROGRESS, progress(1)), RK_OK);
	while (wire_pending(a) || wire_wait(b, 0)) {
		t_eq_int(wire_flush(a), RK_OK);
		t_eq_int(wire_fill(b), RK_OK);
		while (wire_next(b, &m, &rc, NULL)) {
			t_eq_int(rc, RK_OK);
			logs += m.type == WIRE_LOG;
			steps += m.type == WIRE_PROGRESS;
			wire_msg_fini(&m);
		}
	}
	t_eq_int(logs, sent);
	t_eq_int(steps, 0);
	wire_free(&a);
	wire_free(&b);
}

T_CASE(a_line_too_long_to_be_read_is_not_sent)
{
	struct wire *a, *b;

	pair(&a, &b);
	t_eq_int(wire_send(a, WIRE_LOG, big_log(WIRE_LINE_MAX)), RK_ELIMIT);
	t_check(!wire_pending(a));
	wire_free(&a);
	wire_free(&b);
}

T_CASE(waiting_ends_when_the_time_is_over)
{
	struct wire *a, *b;
	int64_t t0 = mono_ms();

	pair(&a, &b);
	t_check(!wire_wait(a, 30));
	t_check(mono_ms() - t0 >= 29);
	wire_free(&b);
	t_check(wire_wait(a, 1000));
	wire_free(&a);
}

T_MAIN
