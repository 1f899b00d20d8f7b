SELECT name, kind, state, rows, late, rejected, watermark::timestamp(0), lag_bytes
FROM streamproc.status;

SELECT state, rows, commits, results, alerts, checkpoints,
       pg_size_pretty(memory_bytes) AS memory, round(latency_p50_ms::numeric, 1) AS p50_ms
FROM streamproc.worker;
