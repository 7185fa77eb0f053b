-- How the values of percentiles lie in buckets, by unit: totals of units, or the values of their events. A bucket keeps
-- the 9 highest bits. Of events also what makes the sum of squares of how many values are at most so large.
WITH valued AS (
    SELECT n.run, n.metric, n.unit, n.x AS value FROM numbers n JOIN metrics m USING (run, metric)
    WHERE m.spread = 'units' AND abs(n.x) < 1::HUGEINT << 62
    UNION ALL
    SELECT w.run, w.metric, w.unit, e.value
    FROM windows w JOIN happened e
        ON e.unit = w.unit AND e.fact = w.facts[1] AND e.time >= w.since AND e.time < w.until
    WHERE w.kind = 'percentile' AND abs(e.value) < 1::HUGEINT << 62
),
sized AS (SELECT *, greatest(length(ltrim(bin(abs(value)::BIGINT), '0')) - 9, 0) AS halvings FROM valued),
placed AS (
    SELECT run, metric, unit, sign(value)::BIGINT * (halvings * 256 + (abs(value)::BIGINT >> halvings)) AS bucket,
        count(*) AS c
    FROM sized GROUP BY ALL
),
counted AS (
    SELECT *, sum(c) OVER (PARTITION BY run, metric, unit ORDER BY bucket) - c AS below,
        sum(c) OVER (PARTITION BY run, metric, unit) AS m
    FROM placed
)
SELECT run, metric, unit, bucket, c, if(spread = 'events', c * (2 * below + c), 0) AS squares,
    if(spread = 'events', c * m, 0) AS products
FROM counted JOIN metrics USING (run, metric)
