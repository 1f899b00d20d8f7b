CREATE TABLE payment (payment_id bigint PRIMARY KEY, customer_id int NOT NULL,
  amount numeric(12,2) NOT NULL, ts timestamptz NOT NULL);

SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '10 seconds');

SELECT streamproc.create_detector('large_payment', 'payment', method => 'rule',
  rules => ARRAY['amount > 10000 AS "Large transaction"'],
  keys  => ARRAY['customer_id'], carry => ARRAY['payment_id', 'amount']);

SELECT streamproc.create_window('payment_5m', 'payment', kind => 'tumbling', size => '5 minutes',
  keys       => ARRAY['customer_id'],
  aggregates => ARRAY['count(*) AS payments', 'sum(amount) AS total']);

SELECT streamproc.create_detector('velocity', 'payment_5m', method => 'rule',
  rules => ARRAY['payments > 5 AS "High velocity"'], carry => ARRAY['payments', 'total']);

SELECT streamproc.create_window('payment_total', 'payment', kind => 'global',
  aggregates => ARRAY['count(*) AS payments', 'sum(amount) AS total', 'max(amount) AS largest']);
