/* The network as lines for people. */
#include "ops.h"

static int64_t
params_of(const struct nn *n, const struct nn_node *nd)
{
	int64_t sum = 0;

	for (int i = 0; i < nd->nparams; i++)
		sum += n->params[nd->param[i]].t.count;
	return sum;
}

/* "conv2d 5x5, relu" */
static void
kind(const struct nn_node *nd, char *out, size_t size)
{
	char window[48] = "";

	if (nd->win.k[0] > 0)
		snprintf(window, sizeof(window), " %lldx%lld",
		    (long long)nd->win.k[0], (long long)nd->win.k[1]);
	snprintf(out, size, "%s%s%s", nd->op->name, window,
	    nd->fused ? ", relu" : "");
}

void
nn_describe(const struct nn *n, struct strbuf *out)
{
	char shape[NN_SHAPE], what[80], count[RK_HUMAN];
	const struct nn_value *in = &n->vals[0];

	sb_addf(out, "%-16s %-24s %-16s\n", "input", "",
	    nn_shape_text(shape, sizeof(shape), in->ndim, in->d));
	for (int i = 0; i < n->nnodes; i++) {
		const struct nn_node *nd = &n->nodes[i];
		const struct nn_value *y = nn_y(n, nd);
		int64_t np = params_of(n, nd);
		kind(nd, what, sizeof(what));
		sb_addf(out, "%-16s %-24s %-16s %14s\n", nd->name, what,
		    nn_shape_text(shape, sizeof(shape), y->ndim, y->d),
		    np > 0 ? rk_group_digits(count, np) : "");
	}
	sb_addf(out, "%-16s %-24s %-16s %14s\n", "parameters", "", "",
	    rk_group_digits(count, n->nparam));
}
