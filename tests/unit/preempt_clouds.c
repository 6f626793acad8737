/* What the clouds' answers mean: each with its oddities. */
#include "clouds.h"
#include "t.h"

#define NOW 1763900000000LL             /* 2025-11-23T12:13:20Z */

#define BEGUN (NOW - 60000)
#define BOOT  (NOW - 100000)            /* 12:11:40 */

/* What it is, as `s` sees it. */
static struct notice
see(struct sight *s, const struct cloud *c, int i, int status,
    const char *body)
{
	struct notice n = { 0 };

	(void)c->read(i, status, body, strlen(body), s, &n);
	return n;
}

static struct notice
ask(const struct cloud *c, int i, int status, const char *body)
{
	struct sight s = { .me = "vm-7", .now_ms = NOW, .begun_ms = BEGUN,
	    .boot_ms = BOOT };

	return see(&s, c, i, status, body);
}

static int64_t
ms_of(const char *text)
{
	int64_t ms = 0;

	t_check(rk_time_parse(text, &ms));
	return ms;
}

T_CASE(no_notice_of_any_cloud_is_none)
{
	static const struct {
		const struct cloud *c;
		int i, status;
		const char *body;
	} v[] = {
		{ &cloud_aws, 0, 404, "<html>Not Found</html>" },
		{ &cloud_aws, 0, 200, "" },
		{ &cloud_aws, 0, 200, "{}" },
		{ &cloud_aws, 0, 200, "{\"action\":\"dance\"}" },
		{ &cloud_aws, 1, 404, "" },
		{ &cloud_aws, 2, 200, "[]" },
		{ &cloud_aws, 3, 200, "InService" },
		{ &cloud_gcp, 0, 200, "FALSE" },
		{ &cloud_gcp, 1, 200, "NONE" },
		{ &cloud_gcp, 0, 404, "TRUE" },
		{ &cloud_azure, 0, 200,
		    "{\"DocumentIncarnation\":1,\"Events\":[]}" },
		{ &cloud_azure, 0, 400, "Bad Request" },
		{ &cloud_azure, 0, 200, "{" },
		{ &cloud_alibaba, 0, 404, "" },
		{ &cloud_alibaba, 0, 200, "" },
		{ &cloud_tencent, 0, 404, "" },
		{ &cloud_tencent, 0, 200, "not a time" },
		{ &cloud_volcengine, 0, 200, "" },
	};

	for (size_t k = 0; k < RK_ARRAY_LEN(v); k++)
		t_eq_int(ask(v[k].c, v[k].i, v[k].status, v[k].body).kind,
		    NOTICE_NONE);
}

T_CASE(a_spot_interruption_of_aws_has_its_time)
{
	struct notice n = ask(&cloud_aws, 0, 200,
	    "{\"action\": \"terminate\", \"time\": \"2025-11-23T12:15:20Z\"}");

	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, NOW + 120000);
	t_has(n.text, "terminate");
	t_has(n.text, "2025-11-23T12:15:20");
}

T_CASE(hibernation_is_now)
{
	struct notice n = ask(&cloud_aws, 0, 200, "{\"action\":\"hibernate\"}");

	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, NOW);
}

T_CASE(a_time_long_past_is_a_leftover_and_no_notice)
{
	t_eq_int(ask(&cloud_aws, 0, 200, "{\"action\":\"stop\",\"time\":"
	    "\"2015-01-05T18:02:00Z\"}").kind, NOTICE_NONE);
	t_eq_int(ask(&cloud_alibaba, 0, 200, "2015-01-05T18:02:00Z").kind,
	    NOTICE_NONE);
	t_eq_int(ask(&cloud_tencent, 0, 200, "2018-08-18 12:05:33").kind,
	    NOTICE_NONE);
}

T_CASE(a_rebalance_recommendation_is_only_early)
{
	t_eq_int(ask(&cloud_aws, 1, 200,
	    "{\"noticeTime\":\"2025-11-23T12:12:00Z\"}").kind, NOTICE_EARLY);
}

T_CASE(a_recommendation_from_before_the_boot_is_over)
{
	t_eq_int(ask(&cloud_aws, 1, 200,
	    "{\"noticeTime\":\"2025-11-23T12:11:00Z\"}").kind, NOTICE_NONE);
}

T_CASE(a_time_before_the_daemon_began_was_survived)
{
	static const struct {
		const struct cloud *c;
		int i;
		const char *over, *stands;
	} v[] = {
		{ &cloud_aws, 0,
		    "{\"action\":\"stop\",\"time\":\"2025-11-23T12:12:20Z\"}",
		    "{\"action\":\"stop\",\"time\":\"2025-11-23T12:12:21Z\"}" },
		{ &cloud_aws, 2, "[{\"NotBefore\":\"23 Nov 2025 12:12:20 GMT\","
		    "\"Code\":\"system-reboot\",\"State\":\"active\"}]",
		    "[{\"NotBefore\":\"23 Nov 2025 12:12:21 GMT\","
		    "\"Code\":\"system-reboot\",\"State\":\"active\"}]" },
		{ &cloud_alibaba, 0, "2025-11-23T12:12:20Z",
		    "2025-11-23T12:12:21Z" },
		{ &cloud_tencent, 0, "2025-11-23 20:12:20",
		    "2025-11-23 20:12:21" },
		{ &cloud_volcengine, 0, "1763899940", "1763899941" },
	};

	for (size_t k = 0; k < RK_ARRAY_LEN(v); k++) {
		t_eq_int(ask(v[k].c, v[k].i, 200, v[k].over).kind, NOTICE_NONE);
		t_eq_int(ask(v[k].c, v[k].i, 200, v[k].stands).kind,
		    NOTICE_LEAVE);
	}
}

T_CASE(an_error_and_garbage_do_not_say_that_there_is_no_notice)
{
	static const struct {
		const struct cloud *c;
		int i, status;
		const char *body;
		bool says;
	} v[] = {
		{ &cloud_aws, 0, 404, "", true },
		{ &cloud_aws, 0, 401, "", false },
		{ &cloud_aws, 0, 500, "", false },
		{ &cloud_aws, 0, 200, "<html>", false },
		{ &cloud_aws, 2, 200, "[]", true },
		{ &cloud_aws, 3, 200, "InService", true },
		{ &cloud_gcp, 0, 200, "FALSE", true },
		{ &cloud_gcp, 0, 200, "", false },
		{ &cloud_gcp, 0, 503, "FALSE", false },
		{ &cloud_azure, 0, 200, "{\"Events\":[]}", true },
		{ &cloud_azure, 0, 200, "{}", false },
		{ &cloud_azure, 0, 200, "{", false },
		{ &cloud_azure, 0, 429, "{\"Events\":[]}", false },
		{ &cloud_alibaba, 0, 404, "", true },
		{ &cloud_alibaba, 0, 200, "\n", true },
		{ &cloud_alibaba, 0, 200, "soon", false },
		{ &cloud_tencent, 0, 404, "", true },
		{ &cloud_tencent, 0, 500, "", false },
		{ &cloud_volcengine, 0, 200, "", true },
		{ &cloud_volcengine, 0, 200, "soon", false },
	};

	for (size_t k = 0; k < RK_ARRAY_LEN(v); k++) {
		struct sight s = { .me = "vm-7", .now_ms = NOW,
		    .begun_ms = BEGUN };
		struct notice n = { 0 };
		t_eq_int(v[k].c->read(v[k].i, v[k].status, v[k].body,
		    strlen(v[k].body), &s, &n), v[k].says);
		t_eq_int(n.kind, NOTICE_NONE);
	}
}

T_CASE(a_scheduled_event_of_aws_is_early_until_it_is_near)
{
	static const char far[] = "[{\"NotBefore\":\"25 Nov 2025 09:00:43 GMT\""
	    ",\"Code\":\"system-reboot\",\"State\":\"active\"}]";
	static const char near[] = "[{\"NotBefore\":\"23 Nov 2025 12:18:00 GMT"
	    "\",\"Code\":\"instance-stop\",\"State\":\"active\","
	    "\"EventId\":\"e-1\"}]";
	static const char done[] = "[{\"NotBefore\":\"23 Nov 2025 12:18:00 GMT"
	    "\",\"Code\":\"instance-stop\",\"State\":\"completed\"}]";

	t_eq_int(ask(&cloud_aws, 2, 200, far).kind, NOTICE_EARLY);
	struct notice n = ask(&cloud_aws, 2, 200, near);
	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, ms_of("2025-11-23T12:18:00Z"));
	t_eq_str(n.id, "e-1");
	t_eq_int(ask(&cloud_aws, 2, 200, done).kind, NOTICE_NONE);
}

T_CASE(gcp_says_preempted_without_a_time)
{
	struct notice n = ask(&cloud_gcp, 0, 200, "TRUE\n");

	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, 0);
	t_eq_int(n.lead_ms, LEAD_CONFIGURED);
	n = ask(&cloud_gcp, 1, 200, "TERMINATE_ON_HOST_MAINTENANCE");
	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, 0);
	t_eq_int(n.lead_ms, 3600 * 1000);
	t_eq_int(ask(&cloud_gcp, 1, 200, "MIGRATE_ON_HOST_MAINTENANCE").kind,
	    NOTICE_NONE);
}

#define AZURE(type, who, before, status) \
	"{\"DocumentIncarnation\":3,\"Events\":[{\"EventId\":\"A-1\"," \
	"\"EventType\":\"" type "\",\"ResourceType\":\"VirtualMachine\"," \
	"\"Resources\":[\"" who "\"],\"EventStatus\":\"" status "\"," \
	"\"NotBefore\":\"" before "\"}]}"

T_CASE(an_event_of_azure_counts_when_it_names_this_machine)
{
	struct notice n = ask(&cloud_azure, 0, 200, AZURE("Preempt", "VM-7",
	    "Sun, 23 Nov 2025 12:14:00 GMT", "Scheduled"));

	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, ms_of("2025-11-23T12:14:00Z"));
	t_eq_str(n.id, "A-1");
	t_eq_int(ask(&cloud_azure, 0, 200, AZURE("Preempt", "vm-8",
	    "Sun, 23 Nov 2025 12:14:00 GMT", "Scheduled")).kind, NOTICE_NONE);
}

T_CASE(an_event_of_azure_that_has_started_has_no_time_and_still_counts)
{
	struct notice n = ask(&cloud_azure, 0, 200, AZURE("Terminate", "vm-7",
	    "", "Started"));

	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, 0);
	t_eq_int(n.lead_ms, SHORTEST_MS);
}

T_CASE(an_event_of_azure_that_had_started_at_the_first_answer_is_over)
{
	static const char started[] = AZURE("Reboot", "vm-7", "", "Started");
	static const char past[] = AZURE("Reboot", "vm-7",
	    "Sun, 23 Nov 2025 12:12:20 GMT", "Scheduled");
	static const char ahead[] = AZURE("Reboot", "vm-7",
	    "Sun, 23 Nov 2025 12:28:20 GMT", "Scheduled");
	const char *const over[] = { started, past };

	for (size_t k = 0; k < RK_ARRAY_LEN(over); k++) {
		struct sight s = { .me = "vm-7", .now_ms = NOW,
		    .begun_ms = BEGUN, .first = true };
		t_eq_int(see(&s, &cloud_azure, 0, 200, over[k]).kind,
		    NOTICE_NONE);
		s.first = false;
		t_eq_int(see(&s, &cloud_azure, 0, 200, started).kind,
		    NOTICE_NONE);
	}
	struct sight s = { .me = "vm-7", .now_ms = NOW, .begun_ms = BEGUN,
	    .first = true };
	t_eq_int(see(&s, &cloud_azure, 0, 200, ahead).kind, NOTICE_LEAVE);
	s.first = false;
	t_eq_int(see(&s, &cloud_azure, 0, 200, started).kind, NOTICE_LEAVE);
}

T_CASE(only_what_ends_the_machine_ends_it)
{
#define ENDS(type) ask(&cloud_azure, 0, 200, AZURE(type, "vm-7", \
	"Sun, 23 Nov 2025 12:14:00 GMT", "Scheduled")).ends
	t_check(ENDS("Preempt"));
	t_check(ENDS("Terminate"));
	t_check(!ENDS("Reboot"));
	t_check(!ENDS("Redeploy"));
	t_check(!ENDS("Freeze"));
}

T_CASE(a_freeze_of_azure_is_only_early)
{
	t_eq_int(ask(&cloud_azure, 0, 200, AZURE("Freeze", "vm-7",
	    "Sun, 23 Nov 2025 12:14:00 GMT", "Scheduled")).kind, NOTICE_EARLY);
}

T_CASE(tencent_means_utc_plus_8)
{
	struct notice n = ask(&cloud_tencent, 0, 200, "2025-11-23 20:15:20");

	t_eq_int(n.kind, NOTICE_LEAVE);
	t_eq_int(n.when_ms, NOW + 120000);
}

T_CASE(alibaba_and_volcengine_have_their_time)
{
	t_eq_int(ask(&cloud_alibaba, 0, 200, "2025-11-23T12:18:20Z\n").when_ms,
	    NOW + 300000);
	t_eq_int(ask(&cloud_volcengine, 0, 200, "2025-11-23T12:18:20Z").when_ms,
	    NOW + 300000);
	t_eq_int(ask(&cloud_volcengine, 0, 200, "2025-11-23 20:18:20").when_ms,
	    NOW + 300000);
	t_eq_int(ask(&cloud_volcengine, 0, 200, "1763900300").when_ms,
	    NOW + 300000);
}

T_CASE(the_firmware_says_which_cloud_it_is)
{
	t_eq_int(detect_from("Amazon EC2", "m5.large", "Amazon EC2", ""),
	    CLOUD_AWS);
	t_eq_int(detect_from("Xen", "HVM domU", "", "ec2e1916-9099"),
	    CLOUD_AWS);
	t_eq_int(detect_from("Google", "Google Compute Engine", "", ""),
	    CLOUD_GCP);
	t_eq_int(detect_from("Microsoft Corporation", "Virtual Machine",
	    "7783-7084-3265-9085-8269-3286-77", ""), CLOUD_AZURE);
	/* Hyper-V at home. */
	t_eq_int(detect_from("Microsoft Corporation", "Virtual Machine", "", ""),
	    CLOUD_NONE);
	t_eq_int(detect_from("Alibaba Cloud", "Alibaba Cloud ECS", "", ""),
	    CLOUD_ALIBABA);
	t_eq_int(detect_from("Tencent Cloud", "CVM", "", ""), CLOUD_TENCENT);
	t_eq_int(detect_from("ByteDance", "Volcengine", "", ""),
	    CLOUD_VOLCENGINE);
	t_eq_int(detect_from("QEMU", "Standard PC", "", ""), CLOUD_NONE);
	t_eq_int(detect_from("", "", "", ""), CLOUD_NONE);
}

T_MAIN
