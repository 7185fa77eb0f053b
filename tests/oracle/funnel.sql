-- How many times over did the unit send the events of all steps, in their order? Events of one time and id are one.
-- Of each hour the first 500 are read.
WITH matched AS (
    SELECT w.run, w.metric, w.variable, w.unit, e.time, e.id, count(*) AS events,
        bit_or(list_sum([1 << i - 1 FOR f, i IN w.facts IF f = e.fact])::BIGINT) AS steps -- a bit for each that it is
    FROM windows w JOIN happened e
        ON e.unit = w.unit AND list_contains(w.facts, e.fact) AND e.time >= w.since AND e.time < w.until
    WHERE w.kind = 'funnel'
    GROUP BY ALL
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY run, metric, variable, unit, time // 3600000 ORDER BY time, id) AS rank
    FROM matched
),
sequences AS (
    SELECT run, metric, variable, unit, sum(events) AS events,
        list(steps ORDER BY time, id) FILTER (rank <= 500) AS steps
    FROM ranked GROUP BY ALL
),
walked AS (
    SELECT w.run, w.metric, w.variable, w.unit, w.role, w.totals, coalesce(s.events, 0) AS events,
        list_reduce(coalesce(s.steps, []), lambda taken, steps: taken + (steps >> taken % len(w.facts) & 1), 0)
            // len(w.facts) AS completed
    FROM windows w LEFT JOIN sequences s USING (run, metric, variable, unit)
    WHERE w.kind = 'funnel'
)
SELECT run, metric, variable, unit, role, events,
    CASE WHEN totals THEN completed ELSE least(completed, 1) END AS x
FROM walked
