/* spec_faults - what is wrong with a job, for who has its file's name. */
#ifndef REKINDLE_SPEC_FAULTS_H
#define REKINDLE_SPEC_FAULTS_H

#include "rekindle/spec.h"

/* Move the faults of a job in the file `path` into why, and free own.  Those
 * that name no field begin with the file: a text that cannot be read as YAML, a
 * job that is no object.  Returns rc. */
enum rk_err spec_faults_of(const char *path, struct rk_why *own,
    enum rk_err rc, struct rk_why *why) RK_MUSTCHECK;

#endif
