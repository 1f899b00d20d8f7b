--
-- What compares and hashes keys of somebody's own type has the rights of the window's owner, also when state is read back.
--
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE ROLE regress_speaker;
CREATE SCHEMA words AUTHORIZATION regress_speaker;
SET search_path = words, public;
CREATE TYPE word AS (letters text);
CREATE FUNCTION compare(a word, b word) RETURNS int IMMUTABLE LANGUAGE plpgsql SET search_path = words AS $$
BEGIN
	IF current_user <> 'regress_speaker' THEN
		RAISE EXCEPTION '% compares words', current_user;
	END IF;
	RETURN bttextcmp(a.letters, b.letters);
END $$;
CREATE FUNCTION hash(a word) RETURNS int IMMUTABLE LANGUAGE plpgsql SET search_path = words AS $$
BEGIN
	IF current_user <> 'regress_speaker' THEN
		RAISE EXCEPTION '% hashes words', current_user;
	END IF;
	RETURN hashtext(a.letters);
END $$;
CREATE FUNCTION lt(a word, b word) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT words.compare(a, b) < 0';
CREATE FUNCTION le(a word, b word) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT words.compare(a, b) <= 0';
CREATE FUNCTION eq(a word, b word) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT words.compare(a, b) = 0';
CREATE FUNCTION ge(a word, b word) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT words.compare(a, b) >= 0';
CREATE FUNCTION gt(a word, b word) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT words.compare(a, b) > 0';
CREATE OPERATOR < (LEFTARG = word, RIGHTARG = word, FUNCTION = lt);
CREATE OPERATOR <= (LEFTARG = word, RIGHTARG = word, FUNCTION = le);
CREATE OPERATOR = (LEFTARG = word, RIGHTARG = word, FUNCTION = eq, HASHES, MERGES);
CREATE OPERATOR >= (LEFTARG = word, RIGHTARG = word, FUNCTION = ge);
CREATE OPERATOR > (LEFTARG = word, RIGHTARG = word, FUNCTION = gt);
CREATE OPERATOR CLASS word_order DEFAULT FOR TYPE word USING btree AS OPERATOR 1 <, OPERATOR 2 <=,
	OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 compare(word, word);
CREATE OPERATOR CLASS word_hash DEFAULT FOR TYPE word USING hash AS OPERATOR 1 =, FUNCTION 1 hash(word);
SET ROLE regress_speaker;
CREATE TABLE said (id int, what word, ts timestamptz);
INSERT INTO said SELECT i, format('("word %s")', i % 3)::word, timestamptz '2026-01-01 00:00+00' + i * interval '20 seconds' FROM generate_series(1, 9) i;
SELECT streamproc.create_stream('said', 'ts');
SELECT streamproc.create_window('by_word', 'said', 'tumbling', size => '1 minute', keys => '{what}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('word_stays', 'said', 'session', gap => '1 hour', keys => '{what}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('word_rate', 'said', 'sliding', size => '1 hour', keys => '{what}', carry => '{id AS id}',
	aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('word_hops', 'said', 'hopping', size => '2 minutes', slide => '1 minute', keys => '{what}',
	aggregates => '{count(*) AS n}');
SELECT streamproc.create_detector('word_alerts', 'said', 'rule', rules => '{id > 0 AS any}', keys => '{what}', cooldown => '1 hour');
SELECT streamproc.wait_for();
INSERT INTO said SELECT i, format('("word %s")', i % 3)::word, timestamptz '2026-01-01 00:00+00' + i * interval '20 seconds' FROM generate_series(10, 12) i;
SELECT streamproc.wait_for();
SELECT name, state, reason FROM streamproc.status WHERE name::text LIKE '%word%' ORDER BY name::text;
SELECT (what).letters, n FROM word_stays ORDER BY 1;
SELECT id, n FROM word_rate ORDER BY 1;
SELECT count(*), sum(n) FROM by_word;
RESET ROLE;
SELECT streamproc.drop_stream('said', cascade => true);
DROP SCHEMA words CASCADE;
DROP ROLE regress_speaker;
