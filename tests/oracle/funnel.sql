-- How many times over did the unit send the events of all steps, in their order? Events of one time and id are one, and
-- those of one time stand in the order that takes the unit furthest. Of each hour the first 500 are read.
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
moments AS (
    SELECT run, metric, variable, unit, time, sum(events) AS events, list(steps) FILTER (rank <= 500) AS steps
    FROM ranked GROUP BY ALL
),
sequences AS (
    SELECT run, metric, variable, unit, sum(events) AS events,
        list(steps ORDER BY time) FILTER (steps IS NOT NULL) AS moments
    FROM moments GROUP BY ALL
),
walked AS (
    -- Of a moment's events the longest row of steps for which each set of steps has events enough (Hall's theorem).
    SELECT w.run, w.metric, w.variable, w.unit, w.role, w.totals, coalesce(s.events, 0) AS events,
        list_reduce(
            coalesce(s.moments, []::BIGINT[][]),
            lambda taken, steps: [taken[1] + len(list_filter(
                range(1, len(steps) + 1),
                lambda row: len(list_filter(
                    range(1, 1 << len(w.facts)),
                    lambda of: len(list_filter(range(row), lambda i: of >> (taken[1] + i) % len(w.facts) & 1 = 1))
                        > len(list_filter(steps, lambda each: each & of <> 0))
                )) = 0
            ))],
            [0]::BIGINT[]
        )[1] // len(w.facts) AS completed
    FROM windows w LEFT JOIN sequences s USING (run, metric, variable, unit)
    WHERE w.kind = 'funnel'
)
SELECT run, metric, variable, unit, role, events,
    CASE WHEN totals THEN completed ELSE least(completed, 1) END AS x
FROM walked
