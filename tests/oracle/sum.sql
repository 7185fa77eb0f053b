-- The total of a property of the unit's events. A value beyond 2^62 counts as such where it is capped.
SELECT w.run, w.metric, w.variable, w.unit, w.role, count(e.id) AS events, coalesce(sum(e.value), 0) AS x
FROM windows w LEFT JOIN happened e
    ON e.unit = w.unit AND e.fact = w.facts[1] AND e.time >= w.since AND e.time < w.until
        AND (abs(e.value) < 1::HUGEINT << 62 OR w.role = 'after' AND if(e.value > 0, w.cap, w.lower_cap) IS NOT NULL)
WHERE w.kind = 'sum'
GROUP BY ALL
