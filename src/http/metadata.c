/*
 * Addresses at which a cloud hands out secrets to whoever asks: a stranger's
 * URL must not lead there.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "impl.h"

/* EC2 and EKS by IPv6, Google by IPv6, Alibaba, Volcengine, Azure, Oracle */
static const char *const addresses[] = {
	"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "100.100.100.200",
	"100.96.0.96", "168.63.129.16", "192.0.0.192",
};

static const char *const names[] = {
	"metadata.google.internal", "metadata.goog", "metadata",
	"instance-data.ec2.internal", "instance-data",
	"metadata.tencentyun.com",
};

/* Prefixes of IPv6 behind which an IPv4 address stands: mapped, compatible,
 * NAT64 (RFC 6052), and 6to4, where it comes at once. */
static const struct {
	unsigned char prefix[12];
	size_t n, at;
} carriers[] = {
	{ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 12, 12 },
	{ { 0 }, 12, 12 },
	{ { 0x00, 0x64, 0xff, 0x9b }, 12, 12 },
	{ { 0x20, 0x02 }, 2, 2 },
};

bool
http_is_metadata(const char *ip)
{
	unsigned char a[16], b[16];
	bool v6 = inet_pton(AF_INET6, ip, a) == 1;

	if (!v6 && inet_pton(AF_INET, ip, a) != 1)
		return false;
	for (size_t i = 0; v6 && i < RK_ARRAY_LEN(carriers); i++) {
		if (memcmp(a, carriers[i].prefix, carriers[i].n) != 0)
			continue;
		memmove(a, a + carriers[i].at, 4);
		v6 = false;
	}
	if (v6 ? a[0] == 0xfe && (a[1] & 0xc0) == 0x80 :
	    a[0] == 169 && a[1] == 254)
		return true;
	for (size_t i = 0; i < RK_ARRAY_LEN(addresses); i++) {
		if (inet_pton(v6 ? AF_INET6 : AF_INET, addresses[i], b) == 1 &&
		    memcmp(a, b, v6 ? 16 : 4) == 0)
			return true;
	}
	return false;
}

/* The host of a URL without name, port and brackets; a new string. */
static char *
host_of(const char *url)
{
	const char *p = strstr(url, "://"), *at;
	size_t n;

	p = p != NULL ? p + 3 : url;
	n = strcspn(p, "/?#");
	for (at = p + n; at > p && at[-1] != '@'; at--)
		;
	n -= (size_t)(at - p);
	if (n > 0 && *at == '[')
		return xstrndup(at + 1, strcspn(at + 1, "]%/?#"));
	n = RK_MIN(n, strcspn(at, ":"));
	while (n > 0 && at[n - 1] == '.')
		n--;
	return xstrndup(at, n);
}

bool
http_leads_to_metadata(const char *url)
{
	/* Numbers only: "2852039166" and "0xa9.0xfe.43518", too. */
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST,
		.ai_socktype = SOCK_STREAM }, *list = NULL;
	char *host = host_of(url), ip[INET6_ADDRSTRLEN];
	bool yes = false;

	for (size_t i = 0; i < RK_ARRAY_LEN(names); i++)
		yes = yes || strcasecmp(host, names[i]) == 0;
	if (getaddrinfo(host, NULL, &hints, &list) == 0) {
		yes = yes || (getnameinfo(list->ai_addr, list->ai_addrlen, ip,
		    sizeof(ip), NULL, 0, NI_NUMERICHOST) == 0 &&
		    http_is_metadata(ip));
		freeaddrinfo(list);
	}
	free(host);
	return yes;
}
