/*
 * Models of batch methods as values: what they have learned of some rows, for others to be scored by.
 */

CREATE TYPE streamproc.model;

CREATE FUNCTION streamproc.model_in(cstring)
RETURNS streamproc.model
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_in';

COMMENT ON FUNCTION streamproc.model_in(cstring) IS
	'reads a model: METHOD:HEX';

CREATE FUNCTION streamproc.model_out(streamproc.model)
RETURNS cstring
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_out';

COMMENT ON FUNCTION streamproc.model_out(streamproc.model) IS
	'writes a model: METHOD:HEX';

CREATE FUNCTION streamproc.model_recv(internal)
RETURNS streamproc.model
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_recv';

COMMENT ON FUNCTION streamproc.model_recv(internal) IS
	'reads a model in binary';

CREATE FUNCTION streamproc.model_send(streamproc.model)
RETURNS bytea
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_send';

COMMENT ON FUNCTION streamproc.model_send(streamproc.model) IS
	'writes a model in binary';

CREATE TYPE streamproc.model (
	INPUT = streamproc.model_in,
	OUTPUT = streamproc.model_out,
	RECEIVE = streamproc.model_recv,
	SEND = streamproc.model_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = external);

COMMENT ON TYPE streamproc.model IS
	'what a batch method has learned of some rows: see streamproc.score()';

CREATE FUNCTION streamproc.model_info(model streamproc.model)
RETURNS jsonb
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_info';

COMMENT ON FUNCTION streamproc.model_info(streamproc.model) IS
	'what a model is: its method, parameters, rows it was trained on, columns, bytes';

CREATE FUNCTION streamproc.score(model streamproc.model, features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_score_array';

COMMENT ON FUNCTION streamproc.score(streamproc.model, float8[]) IS
	'how anomalous a row is by a model; higher is more anomalous';

CREATE FUNCTION streamproc.score(model streamproc.model, feature float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_score_columns';

COMMENT ON FUNCTION streamproc.score(streamproc.model, float8) IS
	'how anomalous a row is by a model of one column; higher is more anomalous';

CREATE FUNCTION streamproc.score(model streamproc.model, feature float8, VARIADIC others float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_model_score_columns';

COMMENT ON FUNCTION streamproc.score(streamproc.model, float8, float8[]) IS
	'how anomalous a row is by a model; higher is more anomalous';

CREATE FUNCTION streamproc.explain(model streamproc.model, features float8[], names text[] = NULL)
RETURNS jsonb
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_explain_array';

COMMENT ON FUNCTION streamproc.explain(streamproc.model, float8[], text[]) IS
	'what each feature contributes to the score by a model';

CREATE FUNCTION streamproc.model_train_combine(internal, internal)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_training_combine';

COMMENT ON FUNCTION streamproc.model_train_combine(internal, internal) IS
	'part of the aggregates that gather rows';

CREATE FUNCTION streamproc.model_train_serialize(internal)
RETURNS bytea
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_training_serialize';

COMMENT ON FUNCTION streamproc.model_train_serialize(internal) IS
	'part of the aggregates that gather rows';

CREATE FUNCTION streamproc.model_train_deserialize(bytea, internal)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_training_deserialize';

COMMENT ON FUNCTION streamproc.model_train_deserialize(bytea, internal) IS
	'part of the aggregates that gather rows';

CREATE FUNCTION streamproc.model_train_final(internal)
RETURNS streamproc.model
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_final';

COMMENT ON FUNCTION streamproc.model_train_final(internal) IS
	'part of the aggregates that make models';

CREATE FUNCTION streamproc.isolation_forest_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.isolation_forest_train_step(internal, float8[]) IS
	'part of isolation_forest_train()';

CREATE FUNCTION streamproc.isolation_forest_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.isolation_forest_train_step(internal, float8[], jsonb) IS
	'part of isolation_forest_train()';

CREATE AGGREGATE streamproc.isolation_forest_train(features float8[]) (
	SFUNC = streamproc.isolation_forest_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.isolation_forest_train(float8[]) IS
	'a model of the rows: a forest of cuts by chance, of a sample of the rows';

CREATE AGGREGATE streamproc.isolation_forest_train(features float8[], params jsonb) (
	SFUNC = streamproc.isolation_forest_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.isolation_forest_train(float8[], jsonb) IS
	'a model of the rows: a forest of cuts by chance, of a sample of the rows';

CREATE FUNCTION streamproc.extended_isolation_forest_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.extended_isolation_forest_train_step(internal, float8[]) IS
	'part of extended_isolation_forest_train()';

CREATE FUNCTION streamproc.extended_isolation_forest_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.extended_isolation_forest_train_step(internal, float8[], jsonb) IS
	'part of extended_isolation_forest_train()';

CREATE AGGREGATE streamproc.extended_isolation_forest_train(features float8[]) (
	SFUNC = streamproc.extended_isolation_forest_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.extended_isolation_forest_train(float8[]) IS
	'a model of the rows: a forest of cuts in directions by chance, of a sample of the rows';

CREATE AGGREGATE streamproc.extended_isolation_forest_train(features float8[], params jsonb) (
	SFUNC = streamproc.extended_isolation_forest_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.extended_isolation_forest_train(float8[], jsonb) IS
	'a model of the rows: a forest of cuts in directions by chance, of a sample of the rows';

CREATE FUNCTION streamproc.hbos_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.hbos_train_step(internal, float8[]) IS
	'part of hbos_train()';

CREATE FUNCTION streamproc.hbos_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.hbos_train_step(internal, float8[], jsonb) IS
	'part of hbos_train()';

CREATE AGGREGATE streamproc.hbos_train(features float8[]) (
	SFUNC = streamproc.hbos_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.hbos_train(float8[]) IS
	'a model of the rows: a histogram of each column';

CREATE AGGREGATE streamproc.hbos_train(features float8[], params jsonb) (
	SFUNC = streamproc.hbos_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.hbos_train(float8[], jsonb) IS
	'a model of the rows: a histogram of each column';

CREATE FUNCTION streamproc.ecod_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.ecod_train_step(internal, float8[]) IS
	'part of ecod_train()';

CREATE FUNCTION streamproc.ecod_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.ecod_train_step(internal, float8[], jsonb) IS
	'part of ecod_train()';

CREATE AGGREGATE streamproc.ecod_train(features float8[]) (
	SFUNC = streamproc.ecod_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.ecod_train(float8[]) IS
	'a model of the rows: how the values of each column are distributed';

CREATE AGGREGATE streamproc.ecod_train(features float8[], params jsonb) (
	SFUNC = streamproc.ecod_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.ecod_train(float8[], jsonb) IS
	'a model of the rows: how the values of each column are distributed';

CREATE FUNCTION streamproc.pca_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.pca_train_step(internal, float8[]) IS
	'part of pca_train()';

CREATE FUNCTION streamproc.pca_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.pca_train_step(internal, float8[], jsonb) IS
	'part of pca_train()';

CREATE AGGREGATE streamproc.pca_train(features float8[]) (
	SFUNC = streamproc.pca_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.pca_train(float8[]) IS
	'a model of the rows: principal components';

CREATE AGGREGATE streamproc.pca_train(features float8[], params jsonb) (
	SFUNC = streamproc.pca_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.pca_train(float8[], jsonb) IS
	'a model of the rows: principal components';

CREATE FUNCTION streamproc.mahalanobis_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.mahalanobis_train_step(internal, float8[]) IS
	'part of mahalanobis_train()';

CREATE FUNCTION streamproc.mahalanobis_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.mahalanobis_train_step(internal, float8[], jsonb) IS
	'part of mahalanobis_train()';

CREATE AGGREGATE streamproc.mahalanobis_train(features float8[]) (
	SFUNC = streamproc.mahalanobis_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.mahalanobis_train(float8[]) IS
	'a model of the rows: mean and covariance';

CREATE AGGREGATE streamproc.mahalanobis_train(features float8[], params jsonb) (
	SFUNC = streamproc.mahalanobis_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.mahalanobis_train(float8[], jsonb) IS
	'a model of the rows: mean and covariance';

CREATE FUNCTION streamproc.mcd_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.mcd_train_step(internal, float8[]) IS
	'part of mcd_train()';

CREATE FUNCTION streamproc.mcd_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.mcd_train_step(internal, float8[], jsonb) IS
	'part of mcd_train()';

CREATE AGGREGATE streamproc.mcd_train(features float8[]) (
	SFUNC = streamproc.mcd_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.mcd_train(float8[]) IS
	'a model of the rows: mean and covariance of the half of the rows that lies closest together';

CREATE AGGREGATE streamproc.mcd_train(features float8[], params jsonb) (
	SFUNC = streamproc.mcd_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.mcd_train(float8[], jsonb) IS
	'a model of the rows: mean and covariance of the half of the rows that lies closest together';

CREATE FUNCTION streamproc.loda_train_step(internal, float8[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.loda_train_step(internal, float8[]) IS
	'part of loda_train()';

CREATE FUNCTION streamproc.loda_train_step(internal, float8[], jsonb)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_model_train_step';

COMMENT ON FUNCTION streamproc.loda_train_step(internal, float8[], jsonb) IS
	'part of loda_train()';

CREATE AGGREGATE streamproc.loda_train(features float8[]) (
	SFUNC = streamproc.loda_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.loda_train(float8[]) IS
	'a model of the rows: histograms on lines by chance';

CREATE AGGREGATE streamproc.loda_train(features float8[], params jsonb) (
	SFUNC = streamproc.loda_train_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.model_train_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.loda_train(float8[], jsonb) IS
	'a model of the rows: histograms on lines by chance';

CREATE TYPE streamproc.robust_summary AS (
	n bigint,
	min float8,
	q1 float8,
	median float8,
	q3 float8,
	max float8,
	mad float8,
	mean float8,
	deviation float8);

COMMENT ON TYPE streamproc.robust_summary IS
	'what values are like: see robust_stats(); mad is the median distance from the median, deviation that of the population';

CREATE FUNCTION streamproc.robust_stats_step(internal, float8)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_robust_stats_step';

COMMENT ON FUNCTION streamproc.robust_stats_step(internal, float8) IS
	'part of robust_stats()';

CREATE FUNCTION streamproc.robust_stats_final(internal)
RETURNS streamproc.robust_summary
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_robust_stats_final';

COMMENT ON FUNCTION streamproc.robust_stats_final(internal) IS
	'part of robust_stats()';

CREATE AGGREGATE streamproc.robust_stats(v float8) (
	SFUNC = streamproc.robust_stats_step,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = streamproc.robust_stats_final,
	COMBINEFUNC = streamproc.model_train_combine,
	SERIALFUNC = streamproc.model_train_serialize,
	DESERIALFUNC = streamproc.model_train_deserialize,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.robust_stats(float8) IS
	'number, quartiles, extremes, median absolute deviation, mean and deviation of values, in one pass; NULL, NaN and infinity are left out';
