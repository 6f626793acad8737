/*
 * remote, driven from outside: `remote_drive --drive` reads commands on stdin,
 * one JSON object a line, and writes results on stdout, one a line.
 *
 * The first line is the configuration, the answer {"ok": true} or {"error": S}:
 *	{"stores": [...], "parts": N, "part_size": N, "stall_ms": N,
 *	 "aws_metadata_url": S, "alibaba_metadata_url": S,
 *	 "up_rate": N, "down_rate": N, "log": "debug"}          all optional
 *
 * Then commands, each with an "id" (any string) that its lines repeat, and
 * optionally "deadline_ms" (from now) and "tries":
 *	{"id", "do": "head" | "delete", "uri"}
 *	{"id", "do": "get", "uri", "max": 65536}
 *	{"id", "do": "put", "uri", "text" or "file", "if_absent": false}
 *	{"id", "do": "list", "uri", "folders": false, "pages": N (stop behind)}
 *	{"id", "do": "pending", "uri"}
 *	{"id", "do": "abort", "uri", "upload_id"}
 *	{"id", "do": "upload", "uri", "file", "sha256", "upload_id",
 *	 "part_size", "began": true (what to answer to began)}
 *	{"id", "do": "download", "uri", "file", "sha256", "max", "etag",
 *	 "have": [[at, n], ...], "room": true (what to answer to sized),
 *	 "sync": true (ranges are synced, and told as `got`)}
 *	{"id", "do": "moved" | "hold" | "go" | "cancel"}        of operation id
 *	{"id", "do": "check", "uri"}   {"do": "totals"}
 *	{"do": "rates", "up": N, "down": N}
 * An operation ends in one line:
 *	{"id", "end": "ok", "error", "code", "status", "tries", "etag", "size",
 *	 "modified_ms", "sha256", "err", "body" or "body_base64"}
 * and may say before: {"id", "event": "entries", "entries": [[key, size, etag,
 * modified_ms], ...]}, "began" (upload_id, part_size), "pending" (key,
 * upload_id, initiated_ms), "sized" (size, etag), "got" (at, n).
 * At the end of stdin it goes on until all operations have ended.
 */
#include "remote_drive.h"

/* The driver itself is what tests/outside uses; this is seen of it here. */
T_CASE(a_configuration_that_is_wrong_is_answered_with_every_fault)
{
	static const char line[] = "{\"stores\": [{\"match\": \"gs://\"}, "
	    "{\"match\": \"s3://b\", \"endpoint\": \"b.example\"}]}";
	struct drive d = {0};
	char *said = NULL;
	size_t n;

	d.out = open_memstream(&said, &n);
	t_eq_int(loop_open(&d.loop), RK_OK);
	on_line(&d, line, strlen(line));
	t_has(said, "{\"error\":\"stores[0].match: ");
	t_has(said, "; stores[1].endpoint: ");
	close_all(&d);
	fclose(d.out);
	free(said);
}

T_MAIN
