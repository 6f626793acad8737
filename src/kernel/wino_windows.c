/* Windows to and from the 36 frequencies; see wino.h for the formulas. */
#include "wino_vec.h"

/* u = G w */
HELP void
g(const vec w[3], vec u[SIDE])
{
	const vec p = (w[0] + w[2]) * (-1 / 6.f), q = w[1] * (1 / 6.f);
	const vec r = w[0] * (1 / 24.f) + w[2] * (1 / 6.f);
	const vec t = w[1] * (1 / 12.f);

	u[0] = w[0] * 0.25f;
	u[1] = p - q;
	u[2] = p + q;
	u[3] = r + t;
	u[4] = r - t;
	u[5] = w[2];
}

/* w = Gt u */
HELP void
gt(const vec u[SIDE], vec w[3])
{
	const vec p = (u[1] + u[2]) * (-1 / 6.f), q = (u[2] - u[1]) * (1 / 6.f);
	const vec r = u[3] + u[4], t = u[3] - u[4];

	w[0] = u[0] * 0.25f + p + r * (1 / 24.f);
	w[1] = q + t * (1 / 12.f);
	w[2] = p + r * (1 / 6.f) + u[5];
}

/* taps[i] of LANES windows that are `ns` apart, of which `there` are. */
HELP void
read_windows(const float *w, int64_t ns, int64_t there, const bool turned,
    vec taps[9])
{
	vec r[LANES];
	float last[LANES] = { 0 };

	for (int l = 0; l < LANES; l++) {
		if (l < there) {
			r[l] = load(w + l * ns);
			last[l] = w[l * ns + LANES];
		} else {
			r[l] = (vec){ 0 };
		}
	}
	transpose(r);
	for (int i = 0; i < LANES; i++)
		taps[turned ? 8 - i : i] = r[i];
	taps[turned ? 0 : 8] = load(last);
}

/* u = G g Gt */
HELP void
window_tile(const vec taps[9], float *to, int64_t freq)
{
	vec t[3][SIDE];

	EACH for (int i = 0; i < 3; i++)
		g(taps + 3 * i, t[i]);
	EACH for (int j = 0; j < SIDE; j++) {
		const vec column[3] = { t[0][j], t[1][j], t[2][j] };
		vec u[SIDE];
		g(column, u);
		EACH for (int i = 0; i < SIDE; i++)
			store(to + (i * SIDE + j) * freq, u[i]);
	}
}

FAST void
wino_from_windows(const struct wino_windows *s, const float *w, int64_t k0,
    int64_t k1, int64_t n0, int64_t n1, const struct wino_matrices *to)
{
	const int64_t end = n0 + (n1 - n0 + 15) / 16 * 16;

	for (int64_t n = n0; n < end; n += LANES) {
		const int64_t there = RK_MIN(s->outputs - n, LANES);
		for (int64_t k = k0; k < k1; k++) {
			const float *first = w + k * s->ks + n * s->ns;
			vec taps[9];
			if (s->turned)
				read_windows(first, s->ns, there, true, taps);
			else
				read_windows(first, s->ns, there, false, taps);
			window_tile(taps, element(to, k - k0, n - n0),
			    to->freq);
		}
	}
}

/* g = Gt u G */
HELP void
window_back(const float *u, int64_t freq, vec taps[9])
{
	vec t[3][SIDE];

	EACH for (int j = 0; j < SIDE; j++) {
		vec d[SIDE], o[3];
		EACH for (int i = 0; i < SIDE; i++)
			d[i] = load(u + (i * SIDE + j) * freq);
		gt(d, o);
		EACH for (int i = 0; i < 3; i++)
			t[i][j] = o[i];
	}
	EACH for (int i = 0; i < 3; i++)
		gt(t[i], taps + 3 * i);
}

HELP void
write_windows(const vec taps[9], int64_t ns, int64_t there, bool add, float *w)
{
	vec r[LANES];
	float last[LANES];

	for (int i = 0; i < LANES; i++)
		r[i] = taps[i];
	transpose(r);
	store(last, taps[8]);
	for (int l = 0; l < LANES && l < there; l++) {
		float *window = w + l * ns;
		put(window, r[l], add);
		window[8] = (add ? window[8] : 0) + last[l];
	}
}

FAST void
wino_to_windows(const struct wino_windows *s, const struct wino_matrices *u,
    int64_t k0, int64_t k1, int64_t n0, int64_t n1, bool add, float *w)
{
	for (int64_t n = n0; n < RK_MIN(n1, s->outputs); n += LANES) {
		const int64_t there = RK_MIN(s->outputs - n, LANES);
		for (int64_t k = k0; k < k1; k++) {
			vec taps[9];
			window_back(element(u, k - k0, n - n0), u->freq, taps);
			write_windows(taps, s->ns, there, add,
			    w + k * s->ks + n * s->ns);
		}
	}
}
