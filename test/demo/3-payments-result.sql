SELECT detector, count(*) AS alerts, min(event_time) AS first, max(event_time) AS last
FROM streamproc.anomalies WHERE detector IN ('large_payment'::regclass, 'velocity'::regclass)
GROUP BY detector ORDER BY detector;

SELECT event_time, customer_id, payment_id, amount, alerts
FROM large_payment ORDER BY amount DESC LIMIT 3;

SELECT event_time::timestamptz(0), customer_id, payments, total, alerts
FROM velocity ORDER BY payments DESC, event_time LIMIT 3;

SELECT payments, total, largest, revision FROM payment_total;

SELECT name, reason, event_time, row_data->>'payment_id' AS payment_id
FROM streamproc.dead_letter ORDER BY id;
