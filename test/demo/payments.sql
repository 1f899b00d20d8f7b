-- 20,000 payments of 500 customers within three days, in the order in which they will be committed, 50 at a time.
-- Everything follows from the seed, also the fraud in it: 12 amounts over 10,000, and 8 bursts of 7 or 8 payments of one
-- customer within three minutes. Five payments of a terminal that was offline arrive a day late.
CREATE SCHEMA plan;

-- A number in [0, 1) for an integer and a purpose.
CREATE FUNCTION plan.dice(i bigint, purpose text) RETURNS float8 LANGUAGE sql IMMUTABLE
RETURN (('x' || substr(md5('2026 ' || purpose || i), 1, 12))::bit(48)::bigint)::float8 / 2 ^ 48;

CREATE TABLE plan.payment AS
WITH ordinary AS (
	SELECT i AS n, 1 + floor(500 * plan.dice(i, 'customer'))::int AS customer_id,
		round((3 + 400 * -ln(1 - plan.dice(i, 'amount')) / 4)::numeric, 2) AS amount,
		'2026-01-05 00:00+00'::timestamptz + i * interval '13 seconds' AS ts
	FROM generate_series(1, 19928) i),
large AS (
	SELECT i AS n, 1 + floor(500 * plan.dice(i, 'large customer'))::int AS customer_id,
		round((10000.01 + 60000 * plan.dice(i, 'large amount'))::numeric, 2) AS amount,
		'2026-01-05 00:00+00'::timestamptz + 70 * plan.dice(i, 'large time') * interval '1 hour' AS ts
	FROM generate_series(1, 12) i),
burst AS (
	-- Each within one window of five minutes, from its second minute on.
	SELECT b AS n, 1 + floor(500 * plan.dice(b, 'burst customer'))::int AS customer_id,
		round((40 + 100 * plan.dice(10 * b + i, 'burst amount'))::numeric, 2) AS amount,
		'2026-01-05 00:01+00'::timestamptz + floor(800 * plan.dice(b, 'burst time')) * interval '5 minutes'
			+ i * interval '20 seconds' AS ts
	FROM generate_series(1, 8) b, generate_series(1, 7 + b % 2) i)
SELECT row_number() OVER (ORDER BY ts, customer_id, amount) AS payment_id, customer_id, amount, ts,
	kind, n AS kind_number, false AS offline
FROM (SELECT *, 'ordinary' AS kind FROM ordinary
	UNION ALL SELECT *, 'large' FROM large
	UNION ALL SELECT *, 'burst' FROM burst) everything;

UPDATE plan.payment SET offline = true WHERE kind = 'ordinary' AND payment_id % 3000 = 5 AND payment_id < 14000;

CREATE TABLE plan.commit AS
SELECT (row_number() OVER w - 1) / 50 AS number, payment_id, customer_id, amount, ts
FROM plan.payment
WINDOW w AS (ORDER BY ts + CASE WHEN offline THEN interval '1 day' ELSE '0' END, payment_id);
CREATE INDEX ON plan.commit (number);
