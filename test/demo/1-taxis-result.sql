SELECT window_start::date AS day, weekday, passengers, busiest_half_hour, is_final, revision
FROM taxi_day ORDER BY day DESC LIMIT 3;

SELECT event_time::date AS day, to_char(event_time, 'Dy') AS weekday, alerts[1] AS why
FROM taxi_alert ORDER BY event_time;
