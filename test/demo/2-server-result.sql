SELECT count(*) AS rows_kept FROM cpu;

SELECT window_start::date AS day, samples, round(mean::numeric, 1) AS mean, peak, is_final
FROM cpu_day ORDER BY day DESC LIMIT 3;

SELECT event_time, alerts[1] AS why FROM cpu_alert ORDER BY event_time;
