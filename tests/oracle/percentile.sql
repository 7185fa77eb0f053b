-- How many values do the unit's events have?
SELECT w.run, w.metric, w.variable, w.unit, w.role, count(e.id) AS events, count(e.id) AS x
FROM windows w LEFT JOIN happened e
    ON e.unit = w.unit AND e.fact = w.facts[1] AND e.time >= w.since AND e.time < w.until
        AND abs(e.value) < 1::HUGEINT << 62
WHERE w.kind = 'percentile'
GROUP BY ALL
