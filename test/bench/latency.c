/*
 * latency.c
 *	  How long after its writer's commit a row's alert is committed.
 *
 * usage: latency CONNINFO TABLE RATE SECONDS CONNECTIONS
 *
 * Commits one row at a time into TABLE (id int8, value float8) at a fixed rate, spread
 * over connections: open loop, so a slow commit delays what follows on its connection
 * but not the schedule.  Prints "id microseconds" (since 1970, CLOCK_REALTIME, the
 * server's clock too) for each commit when it has returned, and on stderr the rate
 * reached.  The ids of a connection are its number modulo CONNECTIONS.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Writer
{
	pthread_t	thread;
	PGconn	   *conn;
	int			number;
	int64_t		ncommits;		/* to make */
	int64_t    *returned_us;	/* ncommits */
} Writer;

static int	nwriters;
static double rate;				/* of all writers, a second */
static int64_t start_ns;

/* Nanoseconds of the clock that the server uses. */
static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void
sleep_until(int64_t when_ns)
{
	struct timespec when = {when_ns / 1000000000, when_ns % 1000000000};

	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, NULL) == EINTR)
		;
}

/* Stop with the server's message. */
static void
fail(PGconn *conn, const char *what)
{
	fprintf(stderr, "latency: %s: %s", what, PQerrorMessage(conn));
	exit(1);
}

/* One connection's commits. */
static void *
write_rows(void *arg)
{
	Writer	   *writer = arg;

	for (int64_t i = 0; i < writer->ncommits; i++)
	{
		int64_t		id = i * nwriters + writer->number;
		char		text[32];
		const char *params[1] = {text};
		PGresult   *result;

		sleep_until(start_ns + (int64_t) (id / rate * 1e9));
		snprintf(text, sizeof(text), "%lld", (long long) id);
		result = PQexecPrepared(writer->conn, "put", 1, params, NULL, NULL, 0);
		writer->returned_us[i] = now_ns() / 1000;
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			fail(writer->conn, "insert");
		PQclear(result);
	}
	return NULL;
}

/* Connect and prepare. */
static void
open_writer(Writer *writer, int number, const char *conninfo, const char *table, int64_t ncommits)
{
	char		query[256];
	PGresult   *result;

	writer->number = number;
	writer->ncommits = ncommits;
	writer->returned_us = malloc(ncommits * sizeof(int64_t));
	writer->conn = PQconnectdb(conninfo);
	if (writer->returned_us == NULL || PQstatus(writer->conn) != CONNECTION_OK)
		fail(writer->conn, "connection");
	snprintf(query, sizeof(query), "INSERT INTO %s VALUES ($1::int8, 1)", table);
	result = PQprepare(writer->conn, "put", query, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(writer->conn, "prepare");
	PQclear(result);
}

int
main(int argc, char **argv)
{
	Writer	   *writers;
	int64_t		ncommits;
	int64_t		end_ns;

	if (argc != 6)
	{
		fprintf(stderr, "usage: latency CONNINFO TABLE RATE SECONDS CONNECTIONS\n");
		return 2;
	}
	rate = atof(argv[3]);
	nwriters = atoi(argv[5]);
	ncommits = rate * atof(argv[4]) / nwriters;
	if (nwriters < 1 || ncommits < 1 || (writers = calloc(nwriters, sizeof(Writer))) == NULL)
		return 2;

	for (int i = 0; i < nwriters; i++)
		open_writer(&writers[i], i, argv[1], argv[2], ncommits);
	start_ns = now_ns() + 10000000;
	for (int i = 0; i < nwriters; i++)
		if (pthread_create(&writers[i].thread, NULL, write_rows, &writers[i]) != 0)
			return 1;
	for (int i = 0; i < nwriters; i++)
		pthread_join(writers[i].thread, NULL);
	end_ns = now_ns();

	for (int i = 0; i < nwriters; i++)
		for (int64_t j = 0; j < ncommits; j++)
			printf("%lld\t%lld\n", (long long) (j * nwriters + i), (long long) writers[i].returned_us[j]);
	fprintf(stderr, "%.0f\n", ncommits * nwriters * 1e9 / (end_ns - start_ns));
	return 0;
}
