CREATE TABLE taxi (ts timestamp PRIMARY KEY, passengers int NOT NULL);

SELECT streamproc.create_stream('taxi', time_column => 'ts');

SELECT streamproc.create_window('taxi_day', 'taxi', kind => 'tumbling', size => '1 day',
  keys       => ARRAY['extract(isodow FROM ts)::int AS weekday'],
  aggregates => ARRAY['sum(passengers) AS passengers', 'max(passengers) AS busiest_half_hour']);

SELECT streamproc.create_detector('taxi_alert', 'taxi_day', method => 'ewma',
  value => 'passengers', params => '{"alpha": 0.1, "warmup": 8}', threshold => 4);
