-- Everything that is published of the units, but for the zeros. Parameters: $clock, $horizon, $minute (ms).
WITH
covered AS ( -- a to f: the numbers of a unit, of which no metric here has more
    SELECT s.run, s.unit, s.allocation, s.variant, s.segments, s.entry, m.metric, m.version, m.span,
        max(x.x) FILTER (x.number = 0) AS a, max(x.x) FILTER (x.number = 1) AS b,
        max(x.x) FILTER (x.number = 2) AS c, max(x.x) FILTER (x.number = 3) AS d,
        max(x.x) FILTER (x.number = 4) AS e, max(x.x) FILTER (x.number = 5) AS f,
        bool_or(abs(x.x) >= 1::HUGEINT << 62) AS withheld,
        sum(x.events) FILTER (x.is_after) AS events,
        m.width IS NOT NULL AND (s.entry // m.width - 14) * m.width >= m.recorded AS looked_back
    FROM members s JOIN metrics m ON m.run = s.run AND s.entry >= m.since
    JOIN numbers x ON x.run = s.run AND x.metric = m.metric AND x.unit = s.unit
    GROUP BY ALL
),
readings AS (
    SELECT 'live' AS reading, * FROM covered WHERE NOT withheld
    UNION ALL
    SELECT 'settled', * FROM covered WHERE NOT withheld AND $clock > entry + span + $horizon
),
terms AS (
    SELECT run, metric, version, reading, allocation, variant, segments, [
            {i: NULL, j: NULL, x: count(*)::HUGEINT}, {i: NULL, j: 0, x: count(*) FILTER (a <> 0)},
            {i: 0, j: NULL, x: sum(a)}, {i: 1, j: NULL, x: sum(b)}, {i: 2, j: NULL, x: sum(c)},
            {i: 3, j: NULL, x: sum(d)}, {i: 4, j: NULL, x: sum(e)}, {i: 5, j: NULL, x: sum(f)},
            {i: 0, j: 0, x: sum(a * a)}, {i: 0, j: 1, x: sum(a * b)}, {i: 0, j: 2, x: sum(a * c)},
            {i: 0, j: 3, x: sum(a * d)}, {i: 0, j: 4, x: sum(a * e)}, {i: 0, j: 5, x: sum(a * f)},
            {i: 1, j: 1, x: sum(b * b)}, {i: 1, j: 2, x: sum(b * c)}, {i: 1, j: 3, x: sum(b * d)},
            {i: 1, j: 4, x: sum(b * e)}, {i: 1, j: 5, x: sum(b * f)}, {i: 2, j: 2, x: sum(c * c)},
            {i: 2, j: 3, x: sum(c * d)}, {i: 2, j: 4, x: sum(c * e)}, {i: 2, j: 5, x: sum(c * f)},
            {i: 3, j: 3, x: sum(d * d)}, {i: 3, j: 4, x: sum(d * e)}, {i: 3, j: 5, x: sum(d * f)},
            {i: 4, j: 4, x: sum(e * e)}, {i: 4, j: 5, x: sum(e * f)}, {i: 5, j: 5, x: sum(f * f)}
        ] AS terms
    FROM readings GROUP BY ALL
),
split AS (SELECT * EXCLUDE (segments, terms), unnest(segments) AS segment, terms FROM terms),
apart AS (SELECT * EXCLUDE terms, unnest(terms) AS term FROM split),
sums AS (
    SELECT run, metric, version, reading, allocation, variant, segment, term.i, term.j, sum(term.x) AS x
    FROM apart GROUP BY ALL
),
spreads AS (
    SELECT s.run, r.metric, r.version, r.reading, r.allocation, r.variant, unnest(r.segments) AS segment, s.bucket,
        s.c, s.squares, s.products
    FROM readings r JOIN spread s ON s.run = r.run AND s.metric = r.metric AND s.unit = r.unit
),
bins AS (
    SELECT * EXCLUDE (c, squares, products), sum(c) AS c, sum(squares) AS squares, sum(products) AS products
    FROM spreads GROUP BY ALL
),
binned AS (
    SELECT * EXCLUDE (c, squares, products),
        unnest([{j: 0, x: c}, {j: 1, x: squares}, {j: 2, x: products}]) AS each
    FROM bins
),
shown AS (SELECT * FROM exposures WHERE NOT late AND NOT inactive AND NOT forced),
jumpers AS (SELECT run, unit FROM shown GROUP BY run, unit, allocation HAVING count(DISTINCT variant) > 1),
moved AS (
    SELECT run, unit FROM shown ANTI JOIN jumpers USING (run, unit)
    GROUP BY run, unit HAVING count(DISTINCT variant) > 1
),
entered AS (SELECT run, unit, min(time) AS entry FROM shown GROUP BY ALL), -- jumpers too
watched AS ( -- the stretch of time in which a unit's events of a fact concern a metric of a run
    SELECT e.run, m.metric, f.fact, f.caps, e.unit, e.entry AS since,
        least(e.entry + coalesce(m.span, 1::BIGINT << 60), coalesce(r.ends, 1::BIGINT << 60)) AS until
    FROM entered e JOIN metrics m ON m.run = e.run AND e.entry >= m.since JOIN runs r ON r.run = e.run
    JOIN (
        SELECT run, metric, fact, arg_min({above: cap, below: lower_cap}, variable) AS caps
        FROM (SELECT *, unnest(facts) AS fact FROM variables WHERE NOT is_other) GROUP BY ALL
    ) f ON f.run = m.run AND f.metric = m.metric
),
pairs AS (
    SELECT *, lag(time) OVER (PARTITION BY fact, unit, id ORDER BY time) AS before FROM happened
),
counted AS (
    SELECT run, NULL AS metric, 'exposures' AS what, count(*) AS x FROM shown GROUP BY run
    UNION ALL SELECT run, NULL, 'late exposures', count(*) FROM exposures
        WHERE late AND NOT inactive AND NOT forced GROUP BY run
    UNION ALL SELECT run, NULL, 'inactive', count(*) FROM exposures WHERE inactive GROUP BY run
    UNION ALL SELECT run, NULL, 'forced', count(*) FROM exposures WHERE forced AND NOT inactive GROUP BY run
    UNION ALL SELECT run, NULL, 'jumpers', count(DISTINCT unit) FROM jumpers GROUP BY run
    UNION ALL SELECT run, NULL, 'reassigned', count(*) FROM moved GROUP BY run
    UNION ALL SELECT run, NULL, concat_ws('/', 'units', allocation, variant), count(*) FROM members GROUP BY ALL
    UNION ALL SELECT run, NULL, 'pairs', sum(coalesce(time // $minute = before // $minute, FALSE)::INT + is_disputed::INT)
        FROM (SELECT DISTINCT w.run, p.* FROM pairs p JOIN watched w
            ON w.fact = p.fact AND w.unit = p.unit AND p.time >= w.since AND p.time < w.until) GROUP BY run
    UNION ALL SELECT run, metric, 'events', sum(events) FROM covered GROUP BY ALL
    UNION ALL SELECT run, metric, 'withheld', count(*) FROM covered WHERE withheld GROUP BY ALL
    UNION ALL SELECT run, metric, 'looked back', count(*) FROM covered WHERE looked_back GROUP BY ALL
    UNION ALL SELECT w.run, w.metric, 'late', count(*) FROM watched w
        JOIN events e ON e.fact = w.fact AND e.unit = w.unit AND e.time >= w.since AND e.time < w.until
        WHERE e.late GROUP BY ALL
    UNION ALL SELECT w.run, w.metric, 'unusable', count(*) FROM watched w
        JOIN events e ON e.fact = w.fact AND e.unit = w.unit AND e.time >= w.since AND e.time < w.until
        WHERE NOT e.late AND (e.unusable
            OR abs(e.value) >= 1::HUGEINT << 62 AND if(e.value > 0, w.caps.above, w.caps.below) IS NULL)
        GROUP BY ALL
    UNION ALL SELECT w.run, w.metric, 'duplicates', sum(e.repeats) FROM watched w
        JOIN happened e ON e.fact = w.fact AND e.unit = w.unit AND e.time >= w.since AND e.time < w.until GROUP BY ALL
)
SELECT 'sums' AS what, run, metric, version, reading, allocation, variant, segment, i, j, x::VARCHAR FROM sums
WHERE x <> 0
UNION ALL
SELECT 'spread', run, metric, version, reading, allocation, variant, segment, bucket, each.j, each.x::VARCHAR FROM binned
WHERE each.x <> 0
UNION ALL
SELECT what, run, metric, NULL, NULL, NULL, NULL, NULL, NULL, NULL, x::VARCHAR FROM counted WHERE x <> 0
