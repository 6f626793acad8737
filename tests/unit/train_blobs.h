/* A model that knows three classes, clouds of points, and jobs that begin from
 * it and whose data lack one of them. */
#ifndef TRAIN_BLOBS_H
#define TRAIN_BLOBS_H

#include <math.h>

#include "train_help.h"

#define BLOB_CLASSES 4

/* n[c] points of class c. */
__attribute__((unused)) static void
write_blobs(const char *path, uint32_t of, const int n[BLOB_CLASSES])
{
	FILE *f = fopen(path, "w");

	t_check(f != NULL);
	for (int c = 0; c < BLOB_CLASSES; c++)
		for (int i = 0; i < n[c]; i++) {
			for (uint32_t k = 0; k < 5; k++)
				fprintf(f, "%.4f,", 0.9 * rk_draw_normal(7, of,
				    k, (uint64_t)(1000 * c + i)) +
				    2 * cos(c * 1.6 + k));
			fprintf(f, "%d\n", c);
		}
	fclose(f);
}

#define BLOBS(outputs, checkpoint, training)                              \
	"name: blobs\n"                                                   \
	"resources: {threads: 2, memory: 64MiB}\n"                        \
	"model:\n"                                                        \
	"  layers:\n"                                                     \
	"    - {type: linear, out: 12, name: fc1}\n"                      \
	"    - {type: batch_norm, name: bn}\n"                            \
	"    - {type: relu}\n"                                            \
	"    - {type: dropout, p: 0.2}\n"                                 \
	"    - {type: linear, out: " outputs ", name: fc2}\n"             \
	checkpoint                                                        \
	"training:\n"                                                     \
	"  epochs: 4\n"                                                   \
	"  batch_size: 16\n"                                              \
	"  optimizer: {type: adam, learning_rate: 0.02}\n"                \
	training                                                          \
	"data:\n"                                                         \
	"  train: {type: csv, path: train.csv, label: -1}\n"              \
	"  validation: {type: csv, path: valid.csv, label: -1}\n"         \
	"checkpoint:\n"                                                   \
	"  every: {steps: 3, epochs: 1}\n"                                \
	"  keep: {last: 100, best: 1}\n"

#define BLOBS_FROM "  checkpoint: a/model.safetensors\n"

/* a/model.safetensors knows three classes; the data then lack class 2 but where
 * they are validated. */
__attribute__((unused)) static void
learn_blobs(void)
{
	static const int all[] = { 60, 60, 60, 0 }, seen[] = { 80, 60, 0, 0 };
	static const int held[] = { 70, 40, 60, 0 };

	write_blobs("train.csv", 1, all);
	write_blobs("valid.csv", 2, held);
	write_file("job.yaml", BLOBS("3", "", ""));
	train_ok("--run-dir", "a", "job.yaml");
	t_check(rename("a/checkpoints/step-000000048/model.safetensors",
	    "a/model.safetensors") == 0);
	write_blobs("train.csv", 3, seen);
}

/* checkpoint.json of r's step, changed and with a digest of its own again. */
__attribute__((unused)) static void
write_info(const char *dir, json_t *v)
{
	char *path = xasprintf("r/checkpoints/%s/checkpoint.json", dir);
	char hex[RK_SHA256_HEX];

	json_object_del(v, "check");
	char *text = rkj_text(v);
	rk_sha256_of(text, strlen(text), hex);
	json_object_set_new(v, "check", json_string(hex));
	free(text);
	text = rkj_text(v);
	write_file(path, text);
	free(text);
	free(path);
}

#endif
