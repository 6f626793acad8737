/*
 * Which cloud is this?  What the firmware says (DMI), so that a machine that is
 * in none of them sends no request at all.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "clouds.h"

#define DMI "/sys/class/dmi/id/"
/* The chassis asset tag of every Azure machine. */
#define AZURE_TAG "7783-7084-3265-9085-8269-3286-77"

static char *
first_line(const char *path)
{
	char *s = NULL;
	size_t len;

	if (rk_read_file(AT_FDCWD, path, 4096, &s, &len) != RK_OK)
		return xstrdup("");
	s[strcspn(s, "\n")] = '\0';
	return s;
}

enum preempt_cloud
detect_from(const char *vendor, const char *product, const char *asset_tag,
    const char *hypervisor_uuid)
{
	if (strncmp(vendor, "Amazon", 6) == 0 ||
	    strncmp(hypervisor_uuid, "ec2", 3) == 0)
		return CLOUD_AWS;
	if (strncmp(vendor, "Google", 6) == 0 ||
	    strncmp(product, "Google", 6) == 0)
		return CLOUD_GCP;
	if (strcmp(asset_tag, AZURE_TAG) == 0)
		return CLOUD_AZURE;
	if (strncmp(vendor, "Alibaba", 7) == 0)
		return CLOUD_ALIBABA;
	if (strncmp(vendor, "Tencent", 7) == 0)
		return CLOUD_TENCENT;
	if (strncasecmp(vendor, "Volcengine", 10) == 0 ||
	    strncasecmp(vendor, "ByteDance", 9) == 0)
		return CLOUD_VOLCENGINE;
	return CLOUD_NONE;
}

enum preempt_cloud
detect_cloud(void)
{
	char *vendor = first_line(DMI "sys_vendor");
	char *product = first_line(DMI "product_name");
	char *tag = first_line(DMI "chassis_asset_tag");
	char *uuid = first_line("/sys/hypervisor/uuid");
	enum preempt_cloud c = detect_from(vendor, product, tag, uuid);

	free(vendor);
	free(product);
	free(tag);
	free(uuid);
	return c;
}

const struct cloud *
cloud_of(enum preempt_cloud c)
{
	switch (c) {
	case CLOUD_AWS:        return &cloud_aws;
	case CLOUD_GCP:        return &cloud_gcp;
	case CLOUD_AZURE:      return &cloud_azure;
	case CLOUD_ALIBABA:    return &cloud_alibaba;
	case CLOUD_TENCENT:    return &cloud_tencent;
	case CLOUD_VOLCENGINE: return &cloud_volcengine;
	default:               return NULL;
	}
}
