CREATE TABLE cpu (ts timestamp, busy float8) USING streamproc;

SELECT streamproc.create_stream('cpu', time_column => 'ts');

SELECT streamproc.create_window('cpu_day', 'cpu', kind => 'tumbling', size => '1 day',
  aggregates => ARRAY['count(*) AS samples', 'avg(busy) AS mean', 'max(busy) AS peak']);

SELECT streamproc.create_detector('cpu_alert', 'cpu', method => 'ewma',
  value => 'busy', params => '{"alpha": 0.05}', threshold => 6);
