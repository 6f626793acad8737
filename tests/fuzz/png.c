/* module: image */
/* Any bytes as a PNG: what must hold is the same as of a JPEG. */
#include "jpeg.c"
