-- The average of a property of the unit's events, rounded half to even; 0 without events.
WITH totals AS (
    SELECT w.run, w.metric, w.variable, w.unit, w.role, count(e.id) AS events,
        greatest(count(e.id), 1)::HUGEINT AS n, coalesce(sum(e.value), 0) AS total
    FROM windows w LEFT JOIN happened e
        ON e.unit = w.unit AND e.fact = w.facts[1] AND e.time >= w.since AND e.time < w.until
            AND (abs(e.value) < 1::HUGEINT << 62 OR w.role = 'after' AND if(e.value > 0, w.cap, w.lower_cap) IS NOT NULL)
    WHERE w.kind = 'mean'
    GROUP BY ALL
),
parts AS (SELECT *, ((total % n) + n) % n AS rest, (total - ((total % n) + n) % n) // n AS below FROM totals)
SELECT run, metric, variable, unit, role, events,
    below + CASE WHEN 2 * rest > n OR (2 * rest = n AND below % 2 <> 0) THEN 1 ELSE 0 END AS x
FROM parts
