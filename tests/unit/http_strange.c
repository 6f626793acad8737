/* Where a stranger's URL may lead. */
#include "rekindle/http.h"
#include "t.h"

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

T_MAIN
