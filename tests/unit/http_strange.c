/* Where a stranger's URL may lead. */
#include "rekindle/http.h"
#include "t.h"
#include "http_calls.h"

T_CASE(metadata_services_are_known_by_their_address_however_it_is_written)
{
	static const char *const yes[] = { "169.254.169.254", "169.254.0.1",
	    "169.254.170.2", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe",
	    "fe80::1", "febf::1", "fd00:ec2::254", "100.100.100.200",
	    "::ffff:100.100.100.200", "100.96.0.96" };
	static const char *const no[] = { "127.0.0.1", "::1", "10.0.0.1",
	    "169.253.1.1", "168.254.1.1", "100.100.100.201", "fec0::1",
	    "fd00:ec2::253", "2001:db8::1", "8.8.8.8", "", "localhost",
	    "169.254.169.254.example" };

	for (size_t i = 0; i < RK_ARRAY_LEN(yes); i++) {
		if (!http_is_metadata(yes[i]))
			t_fail("%s is one", yes[i]);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(no); i++) {
		if (http_is_metadata(no[i]))
			t_fail("%s is none", no[i]);
	}
}

T_CASE(a_strangers_name_that_leads_to_a_metadata_service_is_not_connected_to)
{
	open_plain();
	struct http_request r = get("");
	r.url = "http://169.254.169.254/latest/meta-data/";
	r.strange = true;
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_BAD_REQUEST);
	t_has(g.error, "169.254.169.254 is the address of a metadata service");
	/* By whatever it resolves to. */
	r.url = "http://models.example:80/x";
	r.resolve = "models.example:80:fd00:ec2::254";
	g = perform(r);
	t_eq_int(g.end, HTTP_BAD_REQUEST);
	t_has(g.error, "fd00:ec2::254 is the address of a metadata service");
	/* Others are, and so is whoever the configuration names. */
	r = get("/status/200");
	r.strange = true;
	t_eq_int(perform(r).end, HTTP_ANSWERED);
	close_all();
}

T_MAIN
