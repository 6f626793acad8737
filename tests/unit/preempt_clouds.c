/* What the clouds' answers mean: each with its oddities. */
#include "clouds.h"
#include "t.h"

#define NOW 1763900000000LL             /* 2025-11-23T12:13:20Z */

static struct notice
ask(const struct cloud *c, int i, int status, const char *body)
{
	struct notice n = { 0 };

	c->read(i, status, body, strlen(body), "vm-7", NOW, &n);
	return n;
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
	    "{\"noticeTime\":\"2025-11-23T12:10:00Z\"}").kind, NOTICE_EARLY);
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
	t_eq_int(ask(&cloud_gcp, 1, 200, "TERMINATE_ON_HOST_MAINTENANCE").kind,
	    NOTICE_LEAVE);
	t_eq_int(ask(&cloud_gcp, 1, 200, "MIGRATE_ON_HOST_MAINTENANCE").kind,
	    NOTICE_EARLY);
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
