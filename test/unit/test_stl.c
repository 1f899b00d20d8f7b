/*
 * test_stl.c
 *	  Season and trend of a series, beside those that statsmodels 0.15 makes of it.
 */
#include "batch.h"

#include "kernel/batch/stl.h"

#define N		40
#define PERIOD	7

/* STL(y, period=7, seasonal=7, robust=False).fit(inner_iter=5, outer_iter=0), and robust, 2 and 15. */
static const double season_plain[N] = {
	-3.45100101094261, 2.47016455154116, -0.296019040979474, -0.355608361156688,
	2.26078667366688, 1.02899513323449, -1.58039274199906, -3.67810124663225,
	1.64166915219891, -0.533142106612291, 1.83355106315112, 2.04627113049835,
	0.556613300023593, -1.74900347560947, -3.79837591232055, 0.973757233138542,
	-0.645550428159657, 3.10432697555542, 1.99733990580948, 0.207339389575152,
	-1.80292892726018, -3.6760110781812, 0.857768849150896, -0.609264690830807,
	2.41911786600535, 2.30484677810233, 0.200237375892285, -1.24190096170578,
	-3.30652316321818, 1.38788329580796, -0.313095887626849, -0.625093070717995,
	2.96380527925193, 0.410113651889251, -0.454042810698047, -2.82765012869903,
	2.04021158707646, -0.0116065394495636, -3.81015711507163, 3.62528384897373
};
static const double trend_plain[N] = {
	3.4199676367938, 3.68347196908557, 3.94357084416147, 4.19733066370267,
	4.44150026216881, 4.67753710017092, 4.91242702676824, 5.16606668925238,
	5.46536407515593, 5.78832146564888, 6.09365407896522, 6.47937427053643,
	7.15781679078414, 8.01029924777363, 8.83281524812873, 9.49856568328361,
	9.96906643322386, 10.276463018331, 10.5002840546626, 10.5358212677107,
	10.3545427240497, 10.0155200743535, 9.6535922055548, 9.46711384286132,
	9.57109931385794, 9.74869081612393, 9.91700662998819, 10.1312627244744,
	10.4228830172466, 10.7614243901198, 11.0712368280228, 11.2898433623441,
	11.4892602736089, 11.7797567353952, 12.0689540187769, 12.3543469147836,
	12.6400336063642, 12.9284441841642, 13.2213821306295, 13.5198253182141
};
static const double season_robust[N] = {
	-3.50259017233442, 2.52131303775934, -0.082373169154498, -1.9682069724855,
	2.6052044521297, 1.2492080453159, -0.888470938861213, -3.24133508229742,
	2.2015087738007, 0.0313322041664142, -1.98820148913594, 2.72876263679601,
	1.11127284465911, -0.880922151362561, -3.01682835308557, 1.90597761366128,
	0.112498997882194, -2.00005129105721, 2.87745752964963, 0.986593291422602,
	-0.840074559937029, -2.93045994566849, 1.78207492590356, 0.0666500311278526,
	-2.01970974106883, 3.02928503915573, 0.785572877242705, -0.663684091940457,
	-2.95044214582416, 1.82717826465036, -0.0809502287648436, -1.96368132309777,
	3.13499380945268, 0.546188937754093, -0.471594537407626, -2.97999143783002,
	1.890255428199, -0.237909546275847, -1.88807357082345, 3.24257568845336
};
static const double trend_robust[N] = {
	3.55224329537116, 3.77902160427931, 4.00554340987685, 4.23174771092878,
	4.45763031229627, 4.68321182099245, 4.90830121614699, 5.13260355918929,
	5.36084659149899, 5.59844323612085, 5.84047369183355, 6.08724587620012,
	6.33661281979891, 6.58872070451328, 6.84373602964027, 7.0989169083878,
	7.35134560306447, 7.59633953637295, 7.83524576514278, 8.07932470624523,
	8.33185317320627, 8.58519797550472, 8.83667371323092, 9.09268669034249,
	9.3504814912852, 9.6132554593015, 9.88436598960361, 10.1531675049571,
	10.4170945411473, 10.6798891201128, 10.9411614065344, 11.2030641683709,
	11.4629762449962, 11.7138397332989, 11.9630454916732, 12.2119616054437,
	12.4603309829013, 12.708113539618, 12.9551040850546, 13.2012744301061
};

/* Whole numbers' fractions, so that every bit of the series is the same there. */
static void
make_series(double *y)
{
	for (int i = 0; i < N; i++)
		y[i] = 0.25 * i + ((i % 7) * 5) % 7 + ((i * i * 31) % 11) / 8.0 + (i == 17 ? 20 : 0);
}

static void
decompose(const SpStl *stl, const double *y, double *season, double *trend)
{
	Lending		l;

	begin_lending(&l);
	sp_stl(stl, y, N, season, trend, &l.work);
	end_lending(&l);
}

static void
test_table(void)
{
	double		y[N];
	double		season[N];
	double		trend[N];
	SpStl		stl;

	make_series(y);
	for (int robust = 0; robust < 2; robust++)
	{
		sp_stl_defaults(&stl, PERIOD, 7, robust == 1);
		stl.seasonal_jump = stl.trend_jump = stl.low_pass_jump = 1;
		decompose(&stl, y, season, trend);
		for (int i = 0; i < N; i++)
		{
			check_near(season[i], robust ? season_robust[i] : season_plain[i], 1e-9);
			check_near(trend[i], robust ? trend_robust[i] : trend_plain[i], 1e-9);
		}
	}
}

/* Jumps make little difference; a line and a season that repeats are found as they are. */
static void
test_jumps(void)
{
	double		y[N];
	double		season[N];
	double		trend[N];
	SpStl		stl;

	sp_stl_defaults(&stl, PERIOD, 7, false);
	check(stl.trend == 15 && stl.low_pass == 9 && stl.trend_jump == 2);
	make_series(y);
	decompose(&stl, y, season, trend);
	for (int i = 0; i < N; i++)
		check_near(season[i] + trend[i], season_plain[i] + trend_plain[i], 0.5);
	for (int i = 0; i < N; i++)
		y[i] = 3 - 2.0 * i + (i % PERIOD == 2 ? 6 : -1);
	decompose(&stl, y, season, trend);
	for (int i = 0; i < N; i++)
	{
		check_near(trend[i], 3 - 2.0 * i, 1e-9);
		check_near(season[i], i % PERIOD == 2 ? 6 : -1, 1e-9);
	}
}

/* Scores are in deviations by the median of the residuals' sizes. */
static void
test_score(void)
{
	static const double y[5] = {1, -2, 3, -4, 10};
	static const double zero[5] = {0};
	double		scores[5];
	Lending		l;

	begin_lending(&l);
	sp_stl_score(y, zero, zero, 5, scores, &l.work);
	for (int i = 0; i < 5; i++)
		check_near(scores[i], fabs(y[i]) / 3 * 0.6744897501960817, 1e-12);
	sp_stl_score(y, y, zero, 5, scores, &l.work);
	check(scores[0] == 0 && scores[4] == 0);
	end_lending(&l);
}

/* What rounding leaves of a series that is nothing but season and trend is no anomaly; a spike in it is. */
static void
test_rounding(void)
{
	static const int periods[] = {4, 7, 10, 24};
	enum
	{
		LONG = 2000
	};
	static double y[LONG];
	static double season[LONG];
	static double trend[LONG];
	static double scores[LONG];
	SpStl		stl;

	for (int round = 0; round < 32; round++)
	{
		int			period = periods[round % 4];
		bool		repeats = (round / 4) % 2 == 1;
		bool		has_spike = round / 16 == 1;
		Lending		l;

		for (int i = 0; i < LONG; i++)
			y[i] = repeats ? i % period * 0.1 : 0.1;
		y[LONG / 2] += has_spike ? 1 : 0;
		sp_stl_defaults(&stl, period, 7, (round / 8) % 2 == 1);
		begin_lending(&l);
		sp_stl(&stl, y, LONG, season, trend, &l.work);
		sp_stl_score(y, season, trend, LONG, scores, &l.work);
		end_lending(&l);
		for (int i = 0; i < LONG && !has_spike; i++)
			check(scores[i] < 3);
		check(scores[LONG / 2] > 3 || !has_spike);
	}
}

int
main(void)
{
	test_table();
	test_jumps();
	test_score();
	test_rounding();
	return failures > 0;
}
