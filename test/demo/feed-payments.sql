-- Commits :from to :to - 1 of the plan, each its own transaction.
SELECT format('INSERT INTO payment SELECT payment_id, customer_id, amount, ts FROM plan.commit WHERE number = %s', n)
FROM generate_series(:from, :to - 1) n \gexec
