/* Where a stranger's URL may lead. */
#include "rekindle/http.h"
#include "t.h"
#include "http_calls.h"

T_CASE(metadata_services_are_known_by_their_address_however_it_is_written)
{
	static const char *const yes[] = { "169.254.169.254", "169.254.0.1",
	    "169.254.170.2", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe",
	    "fe80::1", "febf::1", "fd00:ec2::254", "100.100.100.200",
	    "::ffff:100.100.100.200", "100.96.0.96", "fd00:ec2::23",
	    "fd20:ce::254", "168.63.129.16", "192.0.0.192",
	    "64:ff9b::a9fe:a9fe", "::a9fe:a9fe", "2002:a9fe:a9fe::1" };
	static const char *const no[] = { "127.0.0.1", "::1", "10.0.0.1",
	    "169.253.1.1", "168.254.1.1", "100.100.100.201", "fec0::1",
	    "fd00:ec2::253", "2001:db8::1", "8.8.8.8", "", "localhost",
	    "169.254.169.254.example", "64:ff9b::808:808",
	    "2002:7f00:1::" };

	for (size_t i = 0; i < RK_ARRAY_LEN(yes); i++) {
		if (!http_is_metadata(yes[i]))
			t_fail("%s is one", yes[i]);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(no); i++) {
		if (http_is_metadata(no[i]))
			t_fail("%s is none", no[i]);
	}
}

T_CASE(hosts_of_urls_are_known_before_anybody_resolves_them)
{
	static const char *const yes[] = { "http://169.254.169.254/latest",
	    "http://169.254.169.254", "http://169.254.169.254:80?x",
	    "https://2852039166/", "http://0xa9fea9fe/x",
	    "http://0251.0376.0251.0376/", "http://0xa9.254.43518/",
	    "http://[::ffff:a9fe:a9fe]:80/", "http://[fe80::1%25eth0]/",
	    "http://u:p@169.254.169.254/", "http://Metadata.Google.Internal./",
	    "http://metadata/computeMetadata/v1/" };
	static const char *const no[] = { "http://127.0.0.1/169.254.169.254",
	    "http://example.com/?http://169.254.169.254/",
	    "http://169.254.169.254.example/", "http://metadata.example/",
	    "http://[::1]/", "http:///x", "x", "" };

	for (size_t i = 0; i < RK_ARRAY_LEN(yes); i++) {
		if (!http_leads_to_metadata(yes[i]))
			t_fail("%s leads to one", yes[i]);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(no); i++) {
		if (http_leads_to_metadata(no[i]))
			t_fail("%s leads to none", no[i]);
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
