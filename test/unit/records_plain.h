/*
 * records_plain.h
 *	  Leaky records once more: written plainly, in double precision, without thought of speed or
 *	  of what is kept; for test_records.c to compare with.
 */
#ifndef SP_RECORDS_PLAIN_H
#define SP_RECORDS_PLAIN_H

#include <math.h>
#include <string.h>
#include <time.h>

#define MAX_ROWS	12000
#define SECOND		INT64_C(1000000)
#define MINUTE		(60 * SECOND)

typedef struct Series
{
	int			n;
	int64_t		time[MAX_ROWS];
	double		x[MAX_ROWS];
} Series;

static double
plain_gain(int i, double alpha)
{
	return fmax(1.0 / (i + 1), alpha);
}

typedef struct PlainRecord
{
	double		hi;
	double		lo;
	double		c;
} PlainRecord;

/* Two-sided; *shared: the center that the record shares, or NULL. */
static double
plain_record(PlainRecord *r, double y, int i, double tau, const double *shared, double mean)
{
	double		range;
	double		e = 0.0;

	if (i == 0)
	{
		r->hi = r->lo = r->c = y;
		return 0.0;
	}
	range = r->hi - r->lo + 1e-9 * fabs(mean) + 1e-12;
	if (i > 50 && y > r->hi)
		e = (y - r->hi) / range;
	if (i > 50 && y < r->lo)
		e = (r->lo - y) / range;
	r->c += plain_gain(i, 1.0 / tau) * (y - r->c);
	if (shared != NULL)
		r->c = *shared;
	r->hi = fmax(r->hi - (r->hi - r->c) / tau, y);
	r->lo = fmin(r->lo + (r->c - r->lo) / tau, y);
	return e;
}

/* One-sided, of a running mean of y. */
static double
plain_peak(PlainRecord *r, double *running, double alpha, double y, int i, double taus, double k1)
{
	double		e = 0.0;

	*running += plain_gain(i, alpha) * (y - *running);
	if (i > 100 && *running > r->hi)
		e = (*running - r->hi) / (r->hi + k1 * r->c + 1e-9);
	r->c += plain_gain(i, 1.0 / taus) * (*running - r->c);
	r->hi = fmax(r->hi - (r->hi - r->c) / taus, *running);
	return e;
}

static double
plain_surprise(int *row, int length, int j, double lap, int cap)
{
	double		total = 0.0;
	double		surprise;

	for (int k = 0; k < length; k++)
		total += row[k];
	surprise = log((total + lap * length) / (row[j] + lap));
	row[j]++;
	for (int k = 0; k < length && row[j] >= cap; k++)
	{
		if (k != j)
			row[k] /= 2;
		else if (k == length - 1)
			break;
	}
	if (row[j] >= cap)
		row[j] /= 2;
	return surprise;
}

static int
plain_level(double v, double hi, double lo, int levels)
{
	double		u = hi > lo ? (v - lo) / (hi - lo) : 0.0;

	return (int) fmin(floor(levels * u), levels - 1);
}

/* Which score is emitted. */
static double
plain_emit(double s, double *m, int *last, int i, double rest, double crest)
{
	if (i - *last > rest)
		*m = 0.0;
	if (!(s > 0.0) || !(s > crest * *m))
		return 0.0;
	*m = s;
	*last = i;
	return s;
}

static int
plain_hour_of_week(int64_t time)
{
	time_t		t = (time_t) (time / SECOND + 946684800);
	struct tm	tm;

	gmtime_r(&t, &tm);
	return tm.tm_wday * 24 + tm.tm_hour;
}

static void
plain_full(const Series *in, double *out)
{
	static int	tables[3][18][18];
	static int	hours[16][24];
	static int	levels[MAX_ROWS];
	const int	lags[3] = {15, 45, 45};
	const double alpha[3] = {0.23, 0.099, 0.012};
	const double weight[7] = {1.3, 0.46, 1.4, 2.7, 0.43, 0.49, 0.34};
	double		week[168] = {0};
	int			seen[168] = {0};
	double		m[3] = {0};
	double		r[2] = {0};
	double		running[2] = {0};
	double		emitted = 0.0;
	int			last = 0;
	int			nhours = 0;
	int			nresiduals = 0;
	PlainRecord records[7];
	PlainRecord range = {0};
	PlainRecord peaks[2] = {{0}};

	memset(tables, 0, sizeof(tables));
	memset(hours, 0, sizeof(hours));
	for (int i = 0; i < in->n; i++)
	{
		double		v = in->x[i];
		int			k = plain_hour_of_week(in->time[i]);
		double		residual = seen[k] > 0 ? v - week[k] : 0.0;
		double		y[7];
		double		s = 0.0;
		double		surprise = 0.0;
		double		mean = i == 0 ? v : records[0].c;

		nhours += seen[k] == 0;
		nresiduals += seen[k] > 0;
		seen[k]++;
		week[k] += fmax(1.0 / seen[k], 0.25) * (v - week[k]);
		for (int j = 0; j < 3; j++)
			m[j] = i == 0 ? v : m[j] + plain_gain(i, alpha[j]) * (v - m[j]);
		r[0] += plain_gain(i, 0.23) * (residual - r[0]);
		r[1] += plain_gain(i, 0.27) * (residual - r[1]);

		if (i == 0)
			range.c = range.hi = range.lo = v;
		range.c += plain_gain(i, 0.001) * (v - range.c);
		range.hi = fmax(range.hi - (range.hi - range.c) / 16000, v);
		range.lo = fmin(range.lo + (range.c - range.lo) / 16000, v);
		levels[i] = plain_level(v, range.hi, range.lo, 18);
		for (int j = 0; j < 3; j++)
		{
			if (i >= lags[j])
				surprise += plain_surprise(tables[j][levels[i]], 18, levels[i - lags[j]], 0.23,
										   65535);
		}

		y[0] = v;
		memcpy(y + 1, m, sizeof(m));
		y[4] = residual;
		memcpy(y + 5, r, sizeof(r));
		for (int j = 0; j < 7; j++)
		{
			double		e = plain_record(&records[j], y[j], i, 19000, NULL, mean);

			if (j < 4 || nresiduals > 50)
				s = fmax(s, weight[j] * e);
		}
		s = fmax(s, 2.1 * plain_peak(&peaks[0], &running[0], 0.087, surprise / 3, i, 9300, 1.0));
		surprise = plain_surprise(hours[plain_level(v, range.hi, range.lo, 16)], 24, k % 24, 0.23,
								  65535);
		surprise = plain_peak(&peaks[1], &running[1], 0.11, surprise, i, 9300, 1.0);
		if (nhours >= 24)
			s = fmax(s, 2.7 * surprise);
		out[i] = plain_emit(s, &emitted, &last, i, 104, 2.2);
	}
}

/* What medium, tiny and micro differ in; levels 0: no surprises; hour_weight 0: no hours. */
typedef struct PlainSmall
{
	int			nmeans;
	double		alpha[3];
	double		weight[4];
	double		tau;
	int			levels;
	int			lag;
	double		lap;
	double		pattern_alpha;
	double		pattern_weight;
	double		taus;
	double		k1;
	double		hour_alpha;
	double		hour_weight;
	double		hour_lap;
	double		rest;
	double		crest;
} PlainSmall;

static const PlainSmall plain_sizes[3] = {
	{2, {0.088, 0.0185, 0}, {0.810, 1.093, 1.045, 0}, 9603,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 109, 2.254},
	{3, {0.8565, 0.0786, 0.02}, {0.9171, 0.1926, 0.8218, 1.653}, 9689.6,
	8, 16, 0.736, 0.0955, 2.188, 33215, 1.5243, 0, 0, 0, 114, 3.064},
	{3, {0.25, 0.1, 0.02}, {0.95, 0.34, 0.55, 1.0}, 15000,
	16, 14, 0.33, 0.062, 2, 21000, 1.2, 0.12, 3.3, 0.46, 114, 2.1}
};

static void
plain_small(const PlainSmall *p, const Series *in, double *out)
{
	static int	table[16][16];
	static int	hours[16][24];
	static int	levels[MAX_ROWS];
	double		y[4];
	double		running[2] = {0};
	double		emitted = 0.0;
	double		c = 0.0;
	int			last = 0;
	int			last_hour = 0;
	int			nhours = 0;
	PlainRecord records[4];
	PlainRecord peaks[2] = {{0}};

	memset(table, 0, sizeof(table));
	memset(hours, 0, sizeof(hours));
	for (int i = 0; i < in->n; i++)
	{
		double		v = in->x[i];
		double		s = 0.0;

		y[0] = v;
		for (int j = 1; j <= p->nmeans; j++)
			y[j] = i == 0 ? v : y[j] + plain_gain(i, p->alpha[j - 1]) * (v - y[j]);
		c = i == 0 ? v : c + plain_gain(i, 1 / p->tau) * (v - c);
		for (int j = 0; j <= p->nmeans; j++)
			s = fmax(s, p->weight[j] * plain_record(&records[j], y[j], i, p->tau, &c, c));
		if (p->levels > 0)
		{
			double		surprise = 0.0;
			int			l = plain_level(v, records[0].hi, records[0].lo, p->levels);

			levels[i] = l;
			if (i >= p->lag)
				surprise = plain_surprise(table[l], p->levels, levels[i - p->lag], p->lap, 255);
			s = fmax(s, p->pattern_weight * plain_peak(&peaks[0], &running[0], p->pattern_alpha,
													   surprise, i, p->taus, p->k1));
			if (p->hour_weight > 0)
			{
				int			h = plain_hour_of_week(in->time[i]) % 24;

				nhours += h != last_hour;
				last_hour = h;
				surprise = plain_surprise(hours[l], 24, h, p->hour_lap, 255);
				surprise = plain_peak(&peaks[1], &running[1], p->hour_alpha, surprise, i, p->taus,
									  p->k1);
				if (nhours >= 24)
					s = fmax(s, p->hour_weight * surprise);
			}
		}
		out[i] = plain_emit(s, &emitted, &last, i, p->rest, p->crest);
	}
}

#endif
