-- 300 commits of one row. After each COMMIT has returned, look until the alert is there.
CREATE TABLE reading (id int, value float8);
SELECT streamproc.create_stream('reading');
SELECT streamproc.create_detector('reading_alert', 'reading', method => 'rule',
	rules => ARRAY['value > 100 AS "Too high"'], carry => ARRAY['id AS reading_id']);
CREATE TABLE latency (us int);
SELECT streamproc.wait_for();
DO $$
DECLARE
	returned timestamptz;
	seen int[] = '{}';
BEGIN
	FOR i IN 1 .. 300 LOOP
		INSERT INTO reading VALUES (i, 100 + i);
		COMMIT;
		returned = clock_timestamp();
		WHILE NOT EXISTS (SELECT FROM reading_alert WHERE reading_id = i) LOOP
			IF clock_timestamp() > returned + interval '20 seconds' THEN
				RAISE EXCEPTION 'no alert for reading %', i;
			END IF;
		END LOOP;
		seen = seen || (1e6 * extract(epoch FROM clock_timestamp() - returned))::int;
	END LOOP;
	-- The first few find caches cold.
	INSERT INTO latency SELECT unnest(seen[21:]);
END $$;
