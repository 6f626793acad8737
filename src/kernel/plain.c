/* The plain loops, for float. */
#include <math.h>
#include <string.h>

#include "plain.h"
#include "window.h"

#include "plain_images.inc"
#include "plain_places.inc"
#include "plain_rows.inc"
